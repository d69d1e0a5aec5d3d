"""What the theory says an order keeps holds on bars that it did not draw: the mean, and the range of 90 in 100."""

from __future__ import annotations

import numpy as np
import pytest

from lem.advice.order import scenario as parse
from lem.advice.theory_gain import Kind, TheoryGains
from lem.backtest.driftless import driftless_panel
from lem.backtest.market import market_of
from lem.backtest.simulator import Market, simulate
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import SCENARIOS
from lem.execution.terms import make_terms
from lem.model.lem import LEM
from lem.strategies.learned import Learned
from tests.lem.builders import TINY

COSTS = CostsConfig()


@pytest.fixture(scope="module")
def markets() -> dict[int, tuple[Market, LEM]]:
    """Orders on a driftless market with the pipeline's own features, by the number of their bars."""
    model = LEM(TINY).eval()
    panel = driftless_panel(8, 60, seed=11, sigma=0.004)
    out = {}
    for bars in (3, 7, 16):
        asset_A, bar_A = np.nonzero(panel.accepted(bars))
        # None overlaps with the next: each order is a draw of its own.
        chosen = np.arange(0, len(asset_A), bars)[:1500]
        out[bars] = market_of(panel, asset_A[chosen], bar_A[chosen], bars, model), model
    return out


@pytest.mark.parametrize(
    ("kind", "scenario", "size"),
    [
        (Kind("vwap", 1, 7, 0.0, 1.0, 1.0), ("buy", "vwap", "quantity"), 0.2),
        (Kind("twap", 2, 7, 0.0, 1.0, 0.0), ("sell", "twap", "notional"), 0.37),
        (Kind("vwap", 3, 3, 0.0, 1.0, 1.0), ("sell", "vwap", "quantity"), 0.05),
        (Kind("twap", 1, 3, 0.0, 0.6, 1.0), ("buy", "twap", "quantity"), 0.28),
        (Kind("vwap", 5, 16, 0.05, 0.4, 2.0), ("buy", "vwap", "notional"), 0.9),
    ],
)
def test_the_range_covers_90_of_100_orders_of_other_simulated_bars_and_the_mean_is_theirs(
    markets, kind, scenario, size
):
    market, model = markets[kind.max_bars]
    gains = TheoryGains(COSTS)
    found = [gains.of(kind, size, sigma) for sigma in market.sigma_A.tolist()]
    terms = make_terms(SCENARIOS, *kind[1:])
    sized = COSTS.model_copy(update={"order_size": size})
    place = SCENARIOS.index(parse(*scenario))
    gain_A = 1e4 * simulate(Learned(model), market, terms, sized).net_gain_O[:, 0, place].numpy()
    low_A, high_A, mean_A = (
        np.array([getattr(one, name) for one in found]) for name in ("low_bps", "high_bps", "mean_bps")
    )
    below, above = (gain_A < low_A).mean(), (gain_A > high_A).mean()
    # Of 1,500 orders, or somewhat fewer, 75 are expected on either side, give or take 8.
    assert 0.035 <= below <= 0.07
    assert 0.035 <= above <= 0.07
    assert abs(gain_A.mean() - mean_A.mean()) < 3 * gain_A.std() / np.sqrt(len(gain_A)) + 0.01 * gain_A.std()


def test_between_two_sizes_that_were_simulated_it_is_what_a_simulation_of_the_size_says():
    kind, gains = Kind("twap", 2, 7, 0.0, 1.0, 0.0), TheoryGains(COSTS)
    for size in (0.02, 0.13, 0.2999, 0.3001, 0.37, 0.52):
        found = gains.of(kind, size, 0.004)
        exact = TheoryGains(COSTS).simulated((kind, size, None))
        fixed = COSTS.fee_bps + COSTS.half_spread_bps
        told = [40.0 * number - fixed for number in exact]
        assert [found.mean_bps, found.low_bps, found.high_bps] == pytest.approx(told, abs=0.5)


def test_an_order_that_cannot_be_timed_and_pays_nothing_is_worth_nothing():
    free = CostsConfig(fee_bps=0, half_spread_bps=0, impact=0, participation_cap=10)
    found = TheoryGains(free).of(Kind("vwap", 4, 4, 0.0, 1.0, 1.0), 0.1, 0.01)
    assert abs(found.mean_bps) < 0.02 * found.high_bps
    assert found.low_bps == pytest.approx(-found.high_bps, rel=0.15)


@pytest.mark.parametrize(
    ("kind", "size"), [(Kind("vwap", 1, 4, 0.0, 1.0, 1.0), 0.41), (Kind("vwap", 1, 4, 0.5, 1.0, 1.0), 0.21)]
)
def test_an_order_that_the_cap_does_not_let_trade_has_none(kind, size):
    assert TheoryGains(COSTS).of(kind, size, 0.01) is None
    assert TheoryGains(COSTS).of(kind, size - 0.01, 0.01) is not None
