from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from lem.backtest.simulator import Market, simulate
from lem.errors import OrderError
from lem.execution.orders import SCENARIOS, Benchmark, Target
from lem.strategies.bounds import FillLaw, bound, fill_law, stopping_rule
from lem.strategies.optimal_stopping import OptimalStopping
from lem.strategies.twap import Twap
from tests.lem.builders import brownian_panel, brownian_steps, terms_of

GOLDEN = {
    1: (0.3665, 0.2990, 0.4444),
    3: (0.3650, 0.2990, 0.4332),
    4: (0.3513, 0.2958, 0.4068),
    5: (0.3261, 0.2815, 0.3702),
    6: (0.2923, 0.2572, 0.3269),
    7: (0.2523, 0.2254, 0.2790),
    8: (0.2077, 0.1877, 0.2275),
    9: (0.1595, 0.1455, 0.1735),
    10: (0.1085, 0.0997, 0.1172),
    11: (0.0552, 0.0510, 0.0593),
    12: (0.0, 0.0, 0.0),
}
ROUNDING = 5e-4
ARRIVALS, TINY_SIGMA = 60_000, 1e-5
TWAP_QUANTITY = [i for i, s in enumerate(SCENARIOS) if (s.benchmark, s.target) == (Benchmark.TWAP, Target.QUANTITY)]


@pytest.mark.parametrize("m", GOLDEN)
def test_bounds_of_the_three_markets_are_the_known_ones(m):
    for fills, expected in zip(("bar", "point", "peek"), GOLDEN[m], strict=True):
        assert bound(m, 12, fills) == pytest.approx(expected, abs=ROUNDING), fills


@pytest.mark.parametrize("fills", ["bar", "point", "peek"])
def test_nothing_is_gained_where_nothing_can_be_timed(fills):
    for n in (1, 2, 5, 12, 24):
        assert bound(n, n, fills) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("n", [2, 3, 7, 12])
def test_more_freedom_is_never_worth_less(n):
    for fills in ("bar", "point", "peek"):
        values = [bound(m, n, fills) for m in range(1, n + 1)]
        assert all(a >= b - 1e-9 for a, b in itertools.pairwise(values))
        assert values[0] <= bound(1, n + 1, fills) + 1e-9
    assert bound(1, n, "point") <= bound(1, n, "bar") <= bound(1, n, "peek")


def test_two_and_three_bars_by_hand():
    """With two bars the only choice is made before anything is known. With three, after one bar, going on is worth
    E[d'] / 3 = d / 6 where d = e - y > 0, of variance 1/3."""
    assert bound(1, 2) == pytest.approx(0.0, abs=1e-9)
    by_hand = np.sqrt(1 / 3) / 6 / np.sqrt(2 * np.pi)
    assert bound(1, 3) == pytest.approx(by_hand, abs=1e-4)
    assert bound(2, 3) == pytest.approx(by_hand, abs=1e-4)
    assert stopping_rule(2, 3).threshold[1] == pytest.approx(0.0, abs=0.05)


def test_a_rule_never_ends_before_m_and_always_at_the_last_bar():
    rule = stopping_rule(6, 12)
    assert all(t == -np.inf for t in rule.threshold[:5])
    assert all(np.isfinite(rule.threshold[5:11]))
    assert rule.threshold[11] == np.inf


def test_impossible_limits_are_refused():
    for wrong in ((0, 5), (6, 5)):
        for ask in (stopping_rule, bound, lambda m, n: bound(m, n, "peek")):
            with pytest.raises(OrderError, match="allowed: 1 <= min_bars <= max_bars"):
                ask(*wrong)


def market_of_steps(e: np.ndarray, y: np.ndarray) -> Market:
    """Bars of an arithmetic path, so small that prices are linear in it; equal volumes."""
    close = np.cumsum(e, axis=1)
    before = np.concatenate([np.zeros((ARRIVALS, 1)), close[:, :-1]], axis=1)
    return Market(
        price_AK=torch.from_numpy(1 + TINY_SIGMA * (before + y)),
        volume_AK=torch.ones(ARRIVALS, 12, dtype=torch.float64),
        last_close_AK=torch.from_numpy(1 + TINY_SIGMA * before),
        sigma_A=torch.full((ARRIVALS,), TINY_SIGMA, dtype=torch.float64),
        accepted_A=torch.ones(ARRIVALS, dtype=torch.bool),
    )


@pytest.fixture(scope="module")
def brownian_market() -> Market:
    """Bar averages of an arithmetic Brownian path."""
    return market_of_steps(*brownian_steps(np.random.default_rng(11), (ARRIVALS, 12)))


@pytest.mark.parametrize("m", [1, 3, 6, 9, 11])
def test_optimal_stopping_reaches_the_bound_and_does_not_exceed_it(brownian_market, m):
    gains = simulate(OptimalStopping(), brownian_market, terms_of(m, 12)).gain_O[:, 0].numpy() / TINY_SIGMA
    for scenario, gain_A in zip(SCENARIOS, gains.T, strict=True):
        if scenario.benchmark is Benchmark.TWAP and scenario.target is Target.QUANTITY:
            error = gain_A.std() / np.sqrt(ARRIVALS)
            assert error < 0.006
            assert abs(gain_A.mean() - bound(m, 12)) <= 3 * error, str(scenario)


def test_twap_reaches_nothing(brownian_market):
    gain_O = simulate(Twap(), brownian_market, terms_of(1, 12)).gain_O / TINY_SIGMA
    assert gain_O.abs().max() < 1e-3


OVER_NIGHT = FillLaw(0.64, 0.77)


def test_the_rule_for_bars_that_move_over_night_reaches_their_bound_which_is_lower_than_that_for_averages():
    rng = np.random.default_rng(12)
    e, other = rng.standard_normal((2, ARRIVALS, 12))
    y = OVER_NIGHT.covariance * e + np.sqrt(OVER_NIGHT.variance - OVER_NIGHT.covariance**2) * other
    done = simulate(OptimalStopping(OVER_NIGHT), market_of_steps(e, y), terms_of(3, 12))
    for gain_A in (done.gain_O[:, 0].numpy()[:, TWAP_QUANTITY] / TINY_SIGMA).T:
        assert abs(gain_A.mean() - bound(3, 12, OVER_NIGHT)) <= 3 * gain_A.std() / np.sqrt(ARRIVALS)
    assert bound(3, 12, "point") + 0.02 < bound(3, 12, OVER_NIGHT) < bound(3, 12) - 0.02


def test_a_law_is_measured_on_bars_with_features_alone():
    law = fill_law(brownian_panel(120, assets=2))
    assert (law.variance, law.covariance) == pytest.approx((1 / 3, 1 / 2), abs=0.02)
    with pytest.raises(OrderError, match="no two bars with features"):
        fill_law(brownian_panel(1))


@pytest.mark.parametrize(("variance", "covariance"), [(0.2, 0.5), (-0.1, 0.0), (float("nan"), 0.5), (float("inf"), 1)])
def test_a_law_that_no_market_has_is_refused(variance, covariance):
    with pytest.raises(OrderError, match="allowed: variance >= 0 and covariance"):
        FillLaw(variance, covariance)
