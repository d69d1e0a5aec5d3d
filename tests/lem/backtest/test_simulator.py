from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lem.backtest.simulator import simulate
from lem.errors import OrderError
from lem.execution.orders import SCENARIOS, Benchmark, Side, Target
from lem.strategies.base import Decision
from lem.strategies.twap import Twap
from tests.lem.builders import PROPERTY, Erratic, random_limits, random_market, terms_of

ORDERS = 8
MARKETS = (st.integers(0, 2**32 - 1), st.integers(1, 14), st.floats(0, 1))


def run(seed, horizon, eagerness):
    """Random orders, market and strategy: slices (K, A, 8), what became of them, and the limits of each order."""
    rng = np.random.default_rng(seed)
    terms, market = random_limits(rng, ORDERS, horizon), random_market(rng, ORDERS, horizon)
    done = simulate(Erratic(seed, eagerness), market, terms)
    limits = {name: getattr(terms, f"{name}_O")[:, 0].numpy() for name in ("m", "n", "min_rate", "max_rate")}
    return done.slices_KO[:, :, 0].numpy(), done, market, limits


@PROPERTY
@given(*MARKETS)
def test_every_order_is_traded_in_full_within_its_limits_and_its_time(seed, horizon, eagerness):
    slices_KAS, done, _, limit = run(seed, horizon, eagerness)
    end_AS = done.end_bar_O[:, 0].numpy()
    bar_K11 = np.arange(horizon)[:, None, None]
    assert np.abs(slices_KAS.sum(axis=0) - 1).max() < 1e-9
    assert (slices_KAS >= 0).all()
    assert (slices_KAS <= limit["max_rate"] + 1e-9).all(), "the cap holds in every bar, the last included"
    assert (end_AS >= limit["m"]).all()
    assert (end_AS <= limit["n"]).all()
    assert (slices_KAS[np.broadcast_to(bar_K11 >= end_AS, slices_KAS.shape)] == 0).all(), "nothing after the end"
    remaining_KAS = 1 - np.concatenate([np.zeros((1, ORDERS, 8)), slices_KAS.cumsum(axis=0)[:-1]])
    smallest_KAS = np.minimum(limit["min_rate"], remaining_KAS)
    traded = bar_K11 < end_AS
    assert (slices_KAS >= smallest_KAS - 1e-9)[traded].all(), "at least min_rate unless less remains"


@PROPERTY
@given(*MARKETS)
def test_an_order_ends_in_the_first_bar_from_m_on_with_nothing_remaining(seed, horizon, eagerness):
    slices_KAS, done, _, limit = run(seed, horizon, eagerness)
    left_KAS = 1 - slices_KAS.cumsum(axis=0)
    may_KAS = (np.arange(1, horizon + 1)[:, None, None] >= limit["m"]) & (left_KAS < 1e-9)
    assert (may_KAS.argmax(axis=0) + 1 == done.end_bar_O[:, 0].numpy()).all()


@PROPERTY
@given(*MARKETS)
def test_gain_is_side_times_benchmark_less_achieved_over_benchmark(seed, horizon, eagerness):
    slices_KAS, done, market, _ = run(seed, horizon, eagerness)
    price_AK, volume_AK = market.price_AK.numpy(), market.volume_AK.numpy()
    for a in range(ORDERS):
        for s, scenario in enumerate(SCENARIOS):
            end = int(done.end_bar_O[a, 0, s])
            x, p, v = slices_KAS[:end, a, s], price_AK[a, :end], volume_AK[a, :end]
            spent = (x * p).sum() / x.sum()
            average = spent if scenario.target is Target.QUANTITY else x.sum() / (x / p).sum()
            market_price = (v * p).sum() / v.sum() if scenario.benchmark is Benchmark.VWAP else p.mean()
            side = 1 if scenario.side is Side.BUY else -1
            expected = side * (market_price - average) / market_price
            assert float(done.gain_O[a, 0, s]) == pytest.approx(expected, abs=1e-13)
            assert float(done.achieved_O[a, 0, s]) == pytest.approx(average, rel=1e-13)
            assert float(done.benchmark_O[a, 0, s]) == pytest.approx(market_price, rel=1e-13)


@PROPERTY
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_a_twap_of_a_quantity_gains_nothing_over_twap(seed, horizon):
    market = random_market(np.random.default_rng(seed), 4, horizon)
    done = simulate(Twap(), market, terms_of(horizon, horizon))
    same = [s.benchmark is Benchmark.TWAP and s.target is Target.QUANTITY for s in SCENARIOS]
    assert done.gain_O[..., same].abs().max() < 1e-12
    assert (done.end_bar_O == horizon).all()


def test_a_market_without_moves_gives_no_gain_to_anybody():
    market = random_market(np.random.default_rng(0), 4, 12, sigma=0.0)
    assert simulate(Erratic(1), market, terms_of(1, 12)).gain_O.abs().max() < 1e-15


def test_buys_and_sells_with_the_same_slices_have_opposite_gains():
    class Sameways(Erratic):
        def decide(self, view):
            decision = super().decide(view)
            return Decision(*(x[..., :1].expand(x.shape) for x in (decision.slice_O, decision.finish_O)))

    done = simulate(Sameways(3), random_market(np.random.default_rng(3), 5, 12), terms_of(2, 12))
    assert torch.equal(done.gain_O[..., :4], -done.gain_O[..., 4:])


def test_strategies_decide_on_one_thread_and_the_callers_threads_come_back():
    class Counting(Twap):
        def decide(self, view):
            seen.add(torch.get_num_threads())
            return super().decide(view)

    seen, before = set(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        simulate(Counting(), random_market(np.random.default_rng(0), 2, 6), terms_of(1, 6))
        assert (seen, torch.get_num_threads()) == ({1}, 2)
    finally:
        torch.set_num_threads(before)


def test_a_slice_that_is_not_finite_is_refused():
    class Broken:
        name = "broken"

        def decide(self, view):
            slice_O = torch.full_like(view.ledger.remaining_O, 0.1)
            slice_O[0, 0, 5] = float("nan") if view.k == 2 else 0.1
            return Decision(slice_O, torch.zeros_like(slice_O, dtype=torch.bool))

    market = random_market(np.random.default_rng(0), 2, 6)
    with pytest.raises(OrderError, match="strategy broken: a slice of bar 2 is not finite"):
        simulate(Broken(), market, terms_of(1, 6))


def test_orders_of_one_batch_do_not_see_each_other():
    rng = np.random.default_rng(5)
    market, limits = random_market(rng, 6, 12), (torch.tensor([1.0, 6.0, 12.0]).reshape(1, 3, 1), 12)
    together = simulate(Twap(), market, terms_of(*limits))
    for j, m in enumerate((1, 6, 12)):
        alone = simulate(Twap(), market, terms_of(m, 12))
        assert torch.equal(alone.gain_O[:, 0], together.gain_O[:, j])
