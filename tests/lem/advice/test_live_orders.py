from __future__ import annotations

import doctest
import math
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import lem.advice.live_orders
from lem.advice.live_orders import LiveOrders
from lem.backtest.market import market_of
from lem.backtest.simulator import Executions, simulate
from lem.data.panel import Panel, panel_table
from lem.errors import OrderError
from lem.execution.costs import largest_size
from lem.execution.costs_config import CostsConfig
from lem.execution.fills import Ledger
from lem.execution.orders import SCENARIOS, Order, Target
from lem.execution.terms import Terms, terms_of_orders
from lem.model.lem import LEM
from lem.model.streaming import MarketStream
from lem.strategies.learned import Learned
from tests.lem.builders import (
    TINY,
    brownian_bars,
    brownian_panel,
    features_of,
    lively_model,
    random_order,
    without_values,
)

HORIZON, WARM = 12, 60


@dataclass
class Placed:
    """Parent orders, the row of each one's market, and the position of its first bar in the panel."""

    orders: list[Order]
    asset_O: np.ndarray
    bar_O: np.ndarray


COSTS = CostsConfig(impact=1.0, order_size=0.25, participation_cap=0.0625)
"""An order of a quarter of a bar, no more than a quarter of it a bar. Powers of two: sizes in currency lose no bit."""


def affordable(order: Order, costs: CostsConfig) -> bool:
    """The cap lets the order trade in its bars, and lets its smallest slice trade."""
    return float(largest_size(terms_of_orders([order])[0], costs)) >= costs.order_size


def random_orders(
    rng: np.random.Generator, panel: Panel, count: int, within: int = 20, costs: CostsConfig | None = None
) -> Placed:
    """Any mix of feasible orders that arrive at random bars where the backtest accepts them."""
    accepted = np.argwhere(panel.accepted(HORIZON))
    accepted = accepted[(accepted[:, 1] >= WARM) & (accepted[:, 1] < WARM + within)]
    chosen = accepted[rng.integers(len(accepted), size=count)]
    drawn = (random_order(rng, HORIZON) for _ in iter(int, 1))
    fitting = (order for order in drawn if costs is None or affordable(order, costs))
    return Placed(list(islice(fitting, count)), chosen[:, 0], chosen[:, 1])


def backtest(
    model: LEM, panel: Panel, placed: Placed, costs: CostsConfig | None = None
) -> tuple[Executions, torch.Tensor]:
    """The simulator with the strategy `lem`: each order an arrival, in all eight scenarios; and the one it is in."""
    terms, head_O = terms_of_orders(placed.orders)
    columns = {name: getattr(terms, name)[:, None, None] for name in Terms.__dataclass_fields__}
    every, _ = terms_of_orders([replace(placed.orders[0], scenario=scenario) for scenario in SCENARIOS])
    columns |= {name: getattr(every, name) for name in ("sign_O", "vwap_O", "notional_O")}
    market = market_of(panel, placed.asset_O, placed.bar_O, HORIZON, model)
    return simulate(Learned(model), market, Terms(**columns), costs), head_O


def in_own_unit(panel: Panel, placed: Placed, bars: float) -> np.ndarray:
    """Sizes of so many trailing mean bar volumes at arrival: base quantity, or notional in currency."""
    at = placed.asset_O, placed.bar_O - 1
    notional_O = [order.scenario.target is Target.NOTIONAL for order in placed.orders]
    return bars * (panel.mean_volume_NT[at] * np.where(notional_O, panel.close_NT[at], 1.0))


@dataclass
class Lived:
    """What live orders did: slices by bar of the order, gains in bps, bars used, prices."""

    slices_KO: torch.Tensor
    gain_bps_O: torch.Tensor
    end_bar_O: torch.Tensor
    achieved_O: torch.Tensor
    benchmark_O: torch.Tensor


def trade(model: LEM, panel: Panel, placed: Placed, costs: CostsConfig | None = None) -> Lived:
    """Walk through the panel bar by bar, opening each order when its first bar opens."""
    count, markets = len(placed.orders), len(panel.assets)
    stream, live = MarketStream(model, markets), LiveOrders(model, markets, HORIZON, costs)
    size_O = in_own_unit(panel, placed, costs.order_size if costs else 0.0)
    features, valid = torch.from_numpy(panel.features_NTF), torch.from_numpy(panel.valid_NT)
    mean_volume_NT = panel.mean_volume_NT
    known = Lived(torch.zeros(HORIZON, count, dtype=torch.float64), *torch.full((4, count), math.nan).double())
    order_of_id: list[int] = []
    context = stream.warm(features[:, :WARM], valid[:, :WARM])[:, -1]
    for bar in range(WARM, int(placed.bar_O.max()) + HORIZON):
        arriving = np.flatnonzero(placed.bar_O == bar)
        at = placed.asset_O[arriving], bar - 1
        ids = live.open(
            [placed.orders[o] for o in arriving],
            market_O=placed.asset_O[arriving],
            sigma_O=panel.sigma_NT[at],
            arrival_price_O=panel.close_NT[at],
            mean_volume_O=mean_volume_NT[at],
            size_O=size_O[arriving],
        )
        assert ids.tolist() == list(range(len(order_of_id), len(order_of_id) + len(arriving)))
        order_of_id.extend(arriving.tolist())
        decided = live.decide(context, panel.close_NT[:, bar - 1])
        rows = [order_of_id[i] for i in decided.id_O.tolist()]
        known.slices_KO[bar - placed.bar_O[rows], rows] = decided.slice_O
        finished = live.settle(panel.vwap_NT[:, bar], panel.volume_NT[:, bar])
        rows = [order_of_id[i] for i in finished.id_O.tolist()]
        assert finished.id_O.tolist() == decided.id_O[decided.finish_O].tolist()
        assert known.gain_bps_O[rows].isnan().all(), "an order ends once"
        for name in ("gain_bps_O", "end_bar_O", "achieved_O", "benchmark_O"):
            getattr(known, name)[rows] = getattr(finished, name).double()
        context = stream.advance(features[:, bar], valid[:, bar])
    assert len(live) == 0
    assert len(order_of_id) == count
    return known


def compare(model: LEM, panel: Panel, placed: Placed, costs: CostsConfig | None = None, atol: float = 1e-5) -> Lived:
    lived, (done, head_O) = trade(model, panel, placed, costs), backtest(model, panel, placed, costs)
    rows = torch.arange(len(head_O)), torch.zeros_like(head_O), head_O
    arrival_O = torch.from_numpy(panel.close_NT[placed.asset_O, placed.bar_O - 1])
    assert torch.equal(lived.end_bar_O, done.end_bar_O[rows].double())
    torch.testing.assert_close(lived.slices_KO, done.slices_KO[:, *rows], rtol=0, atol=atol)
    torch.testing.assert_close(lived.gain_bps_O / 1e4, done.gain_O[rows], rtol=0, atol=1e-5)
    for name in ("achieved_O", "benchmark_O"):
        torch.testing.assert_close(getattr(lived, name) / arrival_O, getattr(done, name)[rows], rtol=1e-5, atol=0)
    return lived


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 60), st.sampled_from([None, COSTS]))
def test_live_orders_do_what_the_backtest_did(seed, assets, count, costs):
    rng = np.random.default_rng(seed)
    model = lively_model(TINY.model_copy(update={"dropout": 0.2}), seed=seed % 991, scale=1.0).train()
    panel = brownian_panel(5, assets, seed=seed % 983)
    placed = random_orders(rng, panel, count, costs=costs)
    lived = compare(model, panel, placed, costs)
    cap = costs.largest_rate if costs else 1.0
    for o, order in enumerate(placed.orders):
        end, slices = int(lived.end_bar_O[o]), lived.slices_KO[:, o]
        left = 1.0 - slices.cumsum(0) + slices
        assert order.min_bars <= end <= order.max_bars
        assert abs(float(slices[:end].sum()) - 1) < 1e-9
        assert (slices <= min(order.max_rate, cap) + 1e-9).all()
        assert (slices[:end] >= left[:end].clamp(max=order.min_rate) - 1e-9).all()


@pytest.mark.parametrize("size", [0.0625, 0.25, 1.0])
def test_with_costs_the_slices_of_an_untrained_model_are_the_backtests(size):
    """The heads add nothing yet: what differs can only be terms, size, cap or theory."""
    costs = COSTS.model_copy(update={"order_size": size, "participation_cap": 0.125})
    panel = brownian_panel(5, 2)
    placed = random_orders(np.random.default_rng(4), panel, 40, costs=costs)
    with_costs = compare(LEM(TINY), panel, placed, costs, atol=1e-15)
    blind = trade(LEM(TINY), panel, placed)
    assert not torch.equal(with_costs.slices_KO, blind.slices_KO)


def test_each_order_of_a_batch_has_impact_and_cap_of_its_own_size():
    panel, model = brownian_panel(5, 1), lively_model(seed=5)
    arrival = panel.sigma_NT[0, 60], panel.close_NT[0, 60], panel.mean_volume_NT[0, 60]
    one_bar, context = panel.mean_volume_NT[0, 60], torch.full((1, TINY.hidden), 0.3)
    order, sizes = Order(SCENARIOS[2], 3, 12), [1e-6 * one_bar, 0.25 * one_bar, 0.7 * one_bar]

    def first_slices(sizes: list[float]) -> list[float]:
        live = LiveOrders(model, 1, HORIZON, COSTS)
        live.open([order] * len(sizes), [0] * len(sizes), *arrival, size_O=sizes)
        return live.decide(context, arrival[1]).slice_O.tolist()

    together = first_slices(sizes)
    assert together == pytest.approx([first_slices([size])[0] for size in sizes], abs=1e-6)
    assert len(set(together)) == 3
    assert together[2] <= 0.0625 / 0.7


@pytest.mark.parametrize(
    "change", [{"base": "even"}, {"independent_heads": False}, {"recurrence": "lstm"}, {"attention": False}]
)
def test_live_orders_do_what_the_backtest_did_with_every_kind_of_model(change):
    model = lively_model(TINY.model_copy(update=change), seed=2, scale=1.0)
    panel = brownian_panel(5, 2)
    compare(model, panel, random_orders(np.random.default_rng(2), panel, 40))
    compare(model, panel, random_orders(np.random.default_rng(2), panel, 40, costs=COSTS), COSTS)


def test_live_orders_over_a_history_with_outages_and_bars_without_trades_do_what_the_backtest_did():
    bars = [brownian_bars(8, seed) for seed in (0, 1)]
    bars[0] = without_values(without_values(bars[0], [75, 76], "outage"), [110], "no_trades")
    panel = Panel.from_table(panel_table({name: features_of(b) for name, b in zip(("AAA", "BBB"), bars, strict=True)}))
    placed = random_orders(np.random.default_rng(1), panel, 120, within=120)
    of_first = placed.bar_O[placed.asset_O == 0]
    assert of_first.min() < 75 < 110 < of_first.max()
    lived = compare(lively_model(seed=3, scale=1.0), panel, placed)
    assert len(lived.end_bar_O.unique()) > 6


def two_markets(seed: int = 0) -> tuple[LiveOrders, torch.Tensor]:
    """Ten live orders in two markets with an arrival price of 100 and 50, and a context."""
    rng = np.random.default_rng(seed)
    live = LiveOrders(lively_model(seed=seed), 2, HORIZON)
    market_O = np.arange(10) % 2
    live.open([random_order(rng, HORIZON) for _ in market_O], market_O, 0.01, np.where(market_O, 50.0, 100.0), 10.0)
    return live, torch.randn(2, TINY.hidden, generator=torch.Generator().manual_seed(seed))


CLOSE, VOLUME = np.array([100.0, 50.0]), np.array([9.0, 12.0])


def run_to_the_end(live: LiveOrders, context: torch.Tensor) -> dict[int, tuple[float, int]]:
    """Gain and bars used of each order, while the market rises."""
    ended = {}
    for bar in range(HORIZON):
        live.decide(context, CLOSE * 1.01**bar)
        done = live.settle(CLOSE * 1.01 ** (bar + 0.4), VOLUME)
        rows = zip(done.id_O.tolist(), done.gain_bps_O.tolist(), done.end_bar_O.tolist(), strict=True)
        ended |= {order: (gain, end) for order, gain, end in rows}
    assert len(live) == 0
    return ended


def test_a_bar_in_which_a_market_does_not_trade_counts_for_none_of_its_orders():
    live, context = two_markets()
    other, _ = two_markets()
    before = live.decide(context, CLOSE)
    finished = live.settle([math.nan, math.nan], [0.0, 0.0])
    assert len(finished.id_O) == 0
    again = live.decide(context, CLOSE)
    assert torch.equal(before.slice_O, again.slice_O)
    assert run_to_the_end(live, context) == run_to_the_end(other, context)
    live, _ = two_markets()
    live.decide(context, CLOSE)
    live.settle([math.nan, 50.0], [0.0, 12.0])
    after = live.decide(context, CLOSE)
    waiting = {i: x for i, x in zip(before.id_O.tolist(), before.slice_O.tolist(), strict=True) if i % 2 == 0}
    assert waiting.items() <= dict(zip(after.id_O.tolist(), after.slice_O.tolist(), strict=True)).items()


def test_deciding_again_before_the_bar_settles_gives_the_same_slices():
    live, context = two_markets()
    one, two = live.decide(context, CLOSE), live.decide(context, CLOSE)
    for name in ("id_O", "slice_O", "finish_O"):
        assert torch.equal(getattr(one, name), getattr(two, name))


def test_a_worked_example_with_units():
    """Half at 101 and half at 103 against a VWAP with three times the volume in the second bar."""
    live = LiveOrders(lively_model(), 1, HORIZON)
    buy = Order(SCENARIOS[0], 2, 2, min_rate=0.5, max_rate=0.5)
    live.open([buy], [0], 0.01, 100.0, mean_volume_O=1000.0)
    context = torch.zeros(1, TINY.hidden)
    for price, volume in ((101.0, 500.0), (103.0, 1500.0)):
        assert live.decide(context, 100.0).slice_O.tolist() == [0.5]
        done = live.settle(price, volume)
    assert float(done.achieved_O) == pytest.approx(102.0)
    assert float(done.benchmark_O) == pytest.approx(102.5)
    assert float(done.gain_bps_O) == pytest.approx(1e4 * 0.5 / 102.5)
    assert done.end_bar_O.tolist() == [2]


def test_no_orders_are_a_bar_without_work():
    live = LiveOrders(lively_model().train(), 2, HORIZON)
    assert not live.model.training
    context = torch.zeros(2, TINY.hidden)
    for _ in range(2):
        assert len(live.open([], [], [], [], [])) == 0
        assert len(live.decide(context, math.nan).slice_O) == 0
        assert len(live.settle(math.nan, math.nan).gain_bps_O) == 0


ORDER = Order(SCENARIOS[0], 1, 3)


@pytest.mark.parametrize(
    ("orders", "numbers", "message"),
    [
        ([ORDER, Order(SCENARIOS[0], 1, 13)], ([0, 0], 0.01, 1.0, 1.0), "order 1 .* max_bars 13; allowed: at most 12"),
        ([ORDER, ORDER], ([0, 2], 0.01, 1.0, 1.0), "order 1 of this call is in market 2; allowed: 0 to 1"),
        ([ORDER, ORDER], ([-1, 0], 0.01, 1.0, 1.0), "order 0 of this call is in market -1"),
        ([ORDER, ORDER], ([0], 0.01, 1.0, 1.0), "1 markets for 2 orders; allowed: one for each"),
        ([ORDER, ORDER], ([0, 0], [0.1, 0.0], 1.0, 1.0), "order 1 of this call has sigma 0; allowed: a positive"),
        ([ORDER, ORDER], ([0, 0], 0.1, [math.nan, 1.0], 1.0), "order 0 of this call has arrival price nan"),
        ([ORDER, ORDER], ([0, 0], 0.1, 1.0, -5.0), "order 0 of this call has mean volume -5"),
        ([ORDER, ORDER], ([0, 0], 0.1, [1.0, 1.0, 1.0], 1.0), r"arrival price of shape \(3,\) for 2 orders"),
    ],
)
def test_an_order_that_cannot_be_taken_on_is_refused_and_none_beside_it_is_opened(orders, numbers, message):
    live = LiveOrders(lively_model(), 2, HORIZON)
    with pytest.raises(OrderError, match=message):
        live.open(orders, *numbers)
    assert len(live) == 0
    assert live.open([ORDER], [0], 0.01, 1.0, 1.0).tolist() == [0]


LARGE = {"market_O": [0, 0], "sigma_O": 0.01, "arrival_price_O": 50.0, "mean_volume_O": 30.0}


@pytest.mark.parametrize(
    ("order", "size", "message"),
    [
        (
            Order(SCENARIOS[0], 1, 3),
            7.0,
            "order 1 of this call has a size of 7 (base quantity), 0.2333 mean bar volumes; allowed: at most 5.625, "
            "what the participation_cap of 0.0625 mean bar volumes lets it trade in 3 bars",
        ),
        (
            Order(SCENARIOS[1], 1, 7),
            700.0,
            "order 1 of this call has a size of 700 (notional), 0.4667 mean bar volumes; allowed: at most 656.25, "
            "what the participation_cap of 0.0625 mean bar volumes lets it trade in 7 bars",
        ),
        (
            Order(SCENARIOS[0], 1, 12, min_rate=0.3),
            7.0,
            "order 1 of this call has a size of 7 (base quantity), 0.2333 mean bar volumes; allowed: at most 6.25, "
            "what the participation_cap of 0.0625 mean bar volumes lets it trade at its min_rate of 0.3",
        ),
    ],
)
def test_an_order_too_large_for_its_cap_is_refused_in_its_own_unit_and_what_is_allowed_is_taken(order, size, message):
    live = LiveOrders(lively_model(), 2, HORIZON, COSTS)
    with pytest.raises(OrderError) as error:
        live.open([ORDER, order], **LARGE, size_O=[1.0, size])
    assert str(error.value) == f"live: {message}"
    assert len(live) == 0
    allowed = float(message.partition("at most ")[2].partition(",")[0])
    assert live.open([ORDER, order], **LARGE, size_O=[1.0, allowed]).tolist() == [0, 1]


def test_the_largest_size_is_rounded_down_so_that_what_is_allowed_is_taken():
    live, awkward = LiveOrders(lively_model(), 2, HORIZON, COSTS), LARGE | {"mean_volume_O": 29.9999997}
    with pytest.raises(OrderError, match=r"allowed: at most 5\.62499, what"):
        live.open([ORDER], **awkward | {"market_O": [0]}, size_O=5.63)
    live.open([ORDER], **awkward | {"market_O": [0]}, size_O=5.62499)


def test_with_costs_an_order_without_a_size_is_refused():
    live = LiveOrders(lively_model(), 2, HORIZON, COSTS)
    with pytest.raises(OrderError, match="order 0 of this call has size 0; allowed: a positive number"):
        live.open([ORDER, ORDER], **LARGE)


@pytest.mark.parametrize("min_rate", [0.0, 0.25])
def test_of_an_order_that_trades_already_the_cap_stands_and_what_it_does_not_let_trade_is_left(min_rate):
    """Taken on without a cap, or behind with its bars: 80 % is left, and the cap lets 6.25 % trade in a bar."""
    live, order = LiveOrders(lively_model(), 2, HORIZON, COSTS), Order(SCENARIOS[0], 2, 4, min_rate=min_rate)
    ledger = Ledger(*torch.tensor([[0.8], [0.2], [0.2], [1.0], [1.0]], dtype=torch.float64))
    at = {"market_O": [1], "sigma_O": 0.01, "arrival_price_O": 50.0, "mean_volume_O": 30.0, "size_O": 30.0}
    with pytest.raises(OrderError, match=r"allowed: at most 7\.5"):
        live.open([order], **at)
    live.open([order], **at, ledger=ledger, bars_done_O=1.0)
    slices = []
    for _ in range(3):
        slices += live.decide(torch.zeros(2, TINY.hidden), CLOSE).slice_O.tolist()
        done = live.settle(CLOSE, VOLUME)
    assert slices == [0.0625] * 3
    assert done.end_bar_O.tolist() == [4]
    assert done.filled_O.tolist() == pytest.approx([0.2 + 3 * 0.0625])


def test_bars_go_decide_settle_and_orders_are_opened_between_two():
    live, context = two_markets()
    with pytest.raises(OrderError, match="settle without decide; allowed: decide, then settle"):
        live.settle(CLOSE, VOLUME)
    live.decide(context, CLOSE)
    with pytest.raises(OrderError, match="opened within a bar; allowed: before decide, or after settle"):
        live.open([ORDER], [0], 0.01, 100.0, 10.0)
    live.settle(CLOSE, VOLUME)
    with pytest.raises(OrderError, match="settle without decide"):
        live.settle(CLOSE, VOLUME)


@pytest.mark.parametrize(
    ("call", "numbers", "message"),
    [
        ("decide", ([math.nan, 50.0],), "market 0 has a last close that is not a positive number, and live orders"),
        ("decide", ([100.0, 0.0],), r"market 1 has a last close .* \(the first is 1\)"),
        ("decide", ([1.0, 1.0, 1.0],), r"closes of shape \(3,\); allowed: one for 2 markets"),
        ("settle", (CLOSE, [9.0, -1.0]), "market 1 has a volume that is not a number of 0 or more"),
        ("settle", (CLOSE, [math.nan, 1.0]), "market 0 has a volume that is not a number"),
        ("settle", ([math.nan, 50.0], VOLUME), "market 0 has a volume, and a price that is not a positive number"),
        ("settle", ([100.0, math.inf], VOLUME), "market 1 has a volume, and a price"),
    ],
)
def test_what_cannot_be_booked_is_refused_and_changes_nothing(call, numbers, message):
    live, context = two_markets()
    other, _ = two_markets()
    live.decide(context, CLOSE)
    with pytest.raises(OrderError, match=message):
        live.decide(context, *numbers) if call == "decide" else live.settle(*numbers)
    assert run_to_the_end(live, context) == run_to_the_end(other, context)


def test_a_context_of_another_kind_is_refused():
    live, context = two_markets()
    with pytest.raises(OrderError, match=r"context of shape \(1, 8\); allowed: 2 markets, 8 numbers each"):
        live.decide(context[:1], CLOSE)
    context[1, 3] = math.nan
    with pytest.raises(OrderError, match="market 1 has a context that is not finite"):
        live.decide(context, CLOSE)


def test_weights_that_are_not_usable_are_refused():
    live, context = two_markets()
    with torch.no_grad():
        live.model.heads.out_SD2.fill_(math.nan)
    with pytest.raises(OrderError, match="the model's slice of order 0 is not finite"):
        live.decide(context, CLOSE)


def test_the_example_of_the_module_is_true():
    done = doctest.testmod(lem.advice.live_orders)
    assert done.attempted > 10
    assert not done.failed
