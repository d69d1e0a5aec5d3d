from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lem.backtest.oracle import oracle_gain
from lem.backtest.simulator import simulate
from lem.errors import OrderError
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import SCENARIOS, Benchmark, Side, Target
from lem.strategies.base import Decision, Setting
from lem.strategies.rules import make_rules
from tests.lem.builders import PROPERTY, Erratic, random_limits, random_market, terms_of

CURVE_W = torch.from_numpy(np.exp(np.random.default_rng(4).normal(0, 1, 24)))
SLACK = 1e-10
"""An order may leave a rest of 1e-9 of itself unsold, which moves a gain by less than this."""


class Hindsight:
    """Knows the market it trades on, and trades the bars in the order of their prices as far as it may."""

    name = "hindsight"

    def __init__(self, market, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.market, self.eagerness, self.last = market, rng.random(), int(rng.integers(1, 20))
        self.generator = torch.Generator().manual_seed(seed)

    def decide(self, view):
        price_A11K = self.market.price_AK[:, None, None, view.k : view.k + self.last] * view.terms.sign_O[..., None]
        best_O = price_A11K.argmin(-1) == 0
        slice_O = torch.where(best_O, view.terms.max_rate_O, view.terms.min_rate_O)
        finish_O = best_O & (torch.rand(best_O.shape, generator=self.generator) < self.eagerness)
        return Decision(slice_O.expand_as(view.ledger.remaining_O), finish_O)


@PROPERTY
@given(st.integers(0, 2**32 - 1), st.integers(1, 14), st.floats(0, 1))
def test_no_strategy_gains_more_than_perfect_foresight(seed, horizon, eagerness):
    rng = np.random.default_rng(seed)
    terms, market = random_limits(rng, 8, horizon), random_market(rng, 8, horizon)
    best_O = oracle_gain(market, terms)
    assert best_O.shape == (8, 1, 8)
    assert torch.isfinite(best_O).all()
    rules = make_rules(Setting(horizon, CostsConfig(), CURVE_W))
    for strategy in (*rules, Erratic(seed, eagerness), Hindsight(market, seed)):
        assert (simulate(strategy, market, terms).gain_O <= best_O + SLACK).all(), strategy.name


def by_hand(price, volume, scenario, m, n, low, high, step) -> float:
    """Every schedule whose slices are multiples of `step`, one after the other."""
    best, sign = -np.inf, 1 if scenario.side is Side.BUY else -1
    allowed = np.arange(0, high + step / 2, step)
    for bars in range(1, n + 1):
        end = max(m, bars)
        weight = volume[:end] if scenario.benchmark is Benchmark.VWAP else np.ones(end)
        market = (weight * price[:end]).sum() / weight.sum()
        for x in itertools.product(allowed, repeat=bars):
            slices = np.array(x)
            if abs(slices.sum() - 1) > 1e-9 or (slices[:-1] < low - 1e-9).any():
                continue
            quantity = scenario.target is Target.QUANTITY
            average = (slices * price[:bars]).sum() if quantity else 1 / (slices / price[:bars]).sum()
            best = max(best, sign * (market - average) / market)
    return best


@pytest.mark.parametrize(
    ("m", "n", "low", "high"),
    [(1, 4, 0.0, 1.0), (3, 4, 0.25, 0.5), (2, 5, 0.0, 0.25), (4, 4, 0.25, 0.75), (1, 5, 0.5, 1.0), (5, 5, 0.2, 0.2)],
)
def test_it_is_the_best_of_all_schedules(m, n, low, high):
    """All limits are multiples of one step, so that the best schedule is one of those tried."""
    market = random_market(np.random.default_rng(7), 3, 6, sigma=0.05)
    best_O, step = oracle_gain(market, terms_of(m, n, low, high)), 0.2 if low == 0.2 else 0.25
    for a, (s, scenario) in itertools.product(range(3), enumerate(SCENARIOS)):
        price, volume = market.price_AK[a].numpy(), market.volume_AK[a].numpy()
        expected = by_hand(price, volume, scenario, m, n, low, high, step)
        assert float(best_O[a, 0, s]) == pytest.approx(expected, abs=1e-12), (a, str(scenario))


def test_the_simulator_lets_an_order_come_as_close_to_it_as_one_likes():
    """Without rates: almost all in the best bar before the best end, a hair in the end's bar."""
    hair, market = 1e-7, random_market(np.random.default_rng(3), 20, 8)

    class Best:
        name = "best"

        def __init__(self, end: int) -> None:
            self.end = end

        def decide(self, view):
            price_AK = market.price_AK[:, : self.end, None, None] * view.terms.sign_O
            best_O = price_AK.argmin(1) == view.k
            slice_O = torch.where(best_O, view.ledger.remaining_O - hair, 0.0)
            return Decision(slice_O, torch.full_like(best_O, view.k + 1 == self.end))

    terms = terms_of(3, 8)
    reached_O = torch.stack([simulate(Best(end), market, terms).gain_O for end in range(3, 9)]).amax(0)
    torch.testing.assert_close(reached_O, oracle_gain(market, terms), rtol=0, atol=1e-7)


def test_more_freedom_is_never_worth_less_and_a_fixed_schedule_is_worth_what_it_is():
    market = random_market(np.random.default_rng(5), 10, 12)
    best = [oracle_gain(market, terms_of(m, 12)) for m in range(1, 13)]
    assert all((a >= b).all() for a, b in itertools.pairwise(best))
    assert (oracle_gain(market, terms_of(6, 12, 0.0, 0.3)) <= best[5]).all()
    assert (oracle_gain(market, terms_of(6, 12, 0.05, 1.0)) <= best[5]).all()
    even = terms_of(12, 12, 1 / 12, 1 / 12)
    torch.testing.assert_close(oracle_gain(market, even), simulate(Erratic(1), market, even).gain_O)


def test_an_infeasible_order_is_refused():
    with pytest.raises(OrderError, match=r"max_rate 0\.1 over max_bars 6"):
        oracle_gain(random_market(np.random.default_rng(0), 2, 6), terms_of(1, 6, 0.0, 0.1))
