from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lem.backtest.simulator import simulate
from lem.execution.fills import achieved, advance, benchmark, gain, limits, may_finish, must_finish, open_ledger
from lem.execution.orders import SCENARIOS, Benchmark, Side, Target
from lem.execution.terms import Terms, terms_of_orders
from lem.strategies.twap import Twap
from tests.lem.builders import PROPERTY, random_limits, random_market, random_order, terms_of

SHAPE = torch.Size((1, 1, 8))


def test_a_fresh_ledger_has_all_remaining_and_stands_at_the_arrival_price():
    terms = terms_of(1, 4)
    ledger = open_ledger(terms, SHAPE)
    assert torch.equal(ledger.remaining_O, torch.ones(SHAPE, dtype=torch.float64))
    for price in (benchmark(ledger), achieved(ledger)):
        assert torch.equal(price, torch.ones(SHAPE, dtype=torch.float64))
    assert torch.equal(gain(ledger, terms), torch.zeros(SHAPE, dtype=torch.float64))


@pytest.mark.parametrize("scenario", range(8))
def test_gain_of_a_worked_example_by_hand(scenario):
    """Half at 100 in a bar of volume 3, half at 110 in a bar of volume 1, relative to an arrival at 100."""
    terms = terms_of(1, 2)
    ledger = open_ledger(terms, SHAPE)
    for price, volume in ((1.0, 3.0), (1.1, 1.0)):
        ones = torch.ones(SHAPE, dtype=torch.float64)
        ledger = advance(ledger, terms, 0.5 * ones, price * ones, volume * ones)
    kind = SCENARIOS[scenario]
    average = 1.05 if kind.target is Target.QUANTITY else 1 / (0.5 / 1.0 + 0.5 / 1.1)
    market = 1.05 if kind.benchmark is Benchmark.TWAP else (3 * 1.0 + 1 * 1.1) / 4
    expected = (market - average) / market * (1 if kind.side is Side.BUY else -1)
    assert float(gain(ledger, terms)[0, 0, scenario]) == pytest.approx(expected, abs=1e-15)


def test_a_bar_that_may_not_finish_is_before_m_or_under_a_cap():
    terms = terms_of(3, 5, 0.0, 0.4)
    ledger = open_ledger(terms, SHAPE)
    low = replace(ledger, remaining_O=torch.full(SHAPE, 0.3, dtype=torch.float64))
    assert [bool(may_finish(low, terms, k).all()) for k in range(5)] == [False, False, True, True, True]
    assert not may_finish(ledger, terms, 4).any()
    assert [bool(must_finish(low, terms, k).all()) for k in range(5)] == [False] * 4 + [True]


def test_a_rest_no_larger_than_the_smallest_slice_must_finish_from_m_on():
    terms = terms_of(2, 9, 0.2, 1.0)
    rest = replace(open_ledger(terms, SHAPE), remaining_O=torch.full(SHAPE, 0.15, dtype=torch.float64))
    assert not must_finish(rest, terms, 0).any()
    assert must_finish(rest, terms, 1).all()


@PROPERTY
@given(st.integers(0, 2**32 - 1), st.integers(1, 14))
def test_any_slice_within_the_limits_leaves_a_rest_that_can_be_traded(seed, horizon):
    rng = np.random.default_rng(seed)
    terms, market = random_limits(rng, 6, horizon), random_market(rng, 6, horizon)
    ledger = open_ledger(terms, torch.Size((6, 1, 8)))
    for k in range(horizon):
        low, high = limits(ledger, terms, k)
        assert (low <= high).all()
        assert (low >= -1e-12).all()
        left = (terms.n_O - k).clamp(min=0.0)
        open_orders = terms.n_O > k
        assert (ledger.remaining_O <= terms.max_rate_O * left + 1e-9)[open_orders.expand(6, 1, 8)].all()
        share = torch.from_numpy(rng.random((6, 1, 8)))
        slices = torch.where(open_orders, low + (high - low) * share, 0.0)
        ledger = advance(ledger, terms, slices, *(x[:, k, None, None] for x in (market.price_AK, market.volume_AK)))


LIMITS = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@PROPERTY
@given(LIMITS, st.integers(0, 30))
def test_a_batch_of_orders_keeps_the_terms_and_the_head_of_each(rng, count):
    orders = [random_order(rng, 14) for _ in range(count)]
    terms, head_O = terms_of_orders(orders)
    assert head_O.dtype == torch.int64
    for i, order in enumerate(orders):
        assert SCENARIOS[int(head_O[i])] == order.scenario
        assert float(terms.sign_O[i]) == order.scenario.side.sign
        assert bool(terms.vwap_O[i]) == (order.scenario.benchmark is Benchmark.VWAP)
        assert bool(terms.notional_O[i]) == (order.scenario.target is Target.NOTIONAL)
        limits = (order.min_bars, order.max_bars, order.min_rate, order.max_rate, order.risk_aversion)
        kept = (terms.m_O, terms.n_O, terms.min_rate_O, terms.max_rate_O, terms.risk_aversion_O)
        assert tuple(float(column[i]) for column in kept) == limits
    assert all(getattr(terms, name).shape == (count,) for name in Terms.__dataclass_fields__)


@PROPERTY
@given(LIMITS, st.integers(1, 14))
def test_a_batch_of_orders_executes_like_the_same_orders_in_a_grid(rng, horizon):
    """An order alone is the column of its scenario in the grid of all eight."""
    market, order = random_market(rng, 3, horizon), random_order(rng, horizon)
    terms, head_O = terms_of_orders([order] * 3)
    alone = simulate(Twap(), market, Terms(*(x[:, None, None] for x in vars(terms).values())))
    limits = (order.min_bars, order.max_bars, order.min_rate, order.max_rate)
    together = simulate(Twap(), market, terms_of(*limits))
    assert torch.equal(alone.gain_O[..., 0], together.gain_O[..., int(head_O[0])])


def test_costs_change_what_was_paid_and_not_the_benchmark():
    terms = terms_of(1, 2)
    ledger, ones = open_ledger(terms, SHAPE), torch.ones(SHAPE, dtype=torch.float64)
    clean = advance(ledger, terms, 0.5 * ones, 1.1 * ones, ones)
    paid = advance(ledger, terms, 0.5 * ones, 1.1 * ones, ones, fill_O=1.2 * ones)
    assert torch.equal(benchmark(paid), benchmark(clean))
    assert torch.equal(paid.remaining_O, clean.remaining_O)
    torch.testing.assert_close(achieved(paid), 1.2 * ones)
