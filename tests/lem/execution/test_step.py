"""One step of an order, stated once more in plain Python; and that backtest, live orders and training all take it."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import lem.advice.live_orders
import lem.execution.step
from lem.advice.live_orders import LiveOrders
from lem.backtest.simulator import Market, simulate
from lem.execution.fills import open_ledger
from lem.execution.orders import SCENARIOS, TOLERANCE, Benchmark, Order, Target
from lem.execution.step import FINISH_AT, allowed_end, book, over, step
from lem.execution.terms import Terms, make_terms, terms_of_orders
from lem.strategies.base import Decision, View
from lem.strategies.learned import Learned
from lem.training.objective import Tape, expected_outcome
from tests.conftest import ROOT
from tests.lem.builders import TINY, lively_model, random_order

HORIZON = 8


@dataclass
class Bars:
    """Prices, volumes, asks and wishes to end of O orders, each in a market of its own, by bar of the order: (K, O).

    fill_KO: share of a decided slice that is filled.
    """

    price_KO: np.ndarray
    volume_KO: np.ndarray
    asked_KO: np.ndarray
    chance_KO: np.ndarray
    fill_KO: np.ndarray


def random_bars(rng: np.random.Generator, orders: int, bars: int) -> Bars:
    """Any asks, also for less than nothing and more than the order; wishes to end, some exactly at the threshold."""
    shape = bars, orders
    return Bars(
        price_KO=np.exp(rng.normal(0, 0.1, shape)),
        volume_KO=np.exp(rng.normal(0, 0.7, shape)),
        asked_KO=np.where(rng.random(shape) < 0.2, 0.0, rng.normal(0.2, 0.3, shape)),
        chance_KO=np.where(rng.random(shape) < 0.1, FINISH_AT, rng.random(shape) * rng.random()),
        fill_KO=np.where(rng.random(shape) < 0.6, 1.0, rng.random(shape)),
    )


@dataclass
class Done:
    """What became of one order: shares traded by bar, how it ended, its gain."""

    slices: list[float]
    end_bar: int
    gain: float


def by_hand(order: Order, bars: Bars, o: int, fills: bool = False) -> Done:
    """One order in plain numbers; with `fills`, bars of volume 0 do not count and a slice may be filled in part."""
    m, n, kind = order.min_bars, order.max_bars, order.scenario
    left, units, cash, weight, weighted, k = 1.0, 0.0, 0.0, 0.0, 0.0, 0
    slices = []
    for bar in range(len(bars.price_KO)):
        price, volume = float(bars.price_KO[bar, o]), float(bars.volume_KO[bar, o])
        high = min(left, order.max_rate)
        low = min(max(order.min_rate, left - order.max_rate * (n - (k + 1))), high)
        fits, may = left <= order.max_rate + TOLERANCE, m <= k + 1
        wish = bars.chance_KO[bar, o] >= 0.5 and may and fits
        if wish or n <= k + 1 or (may and left <= max(order.min_rate, TOLERANCE)):
            share = left if fits else high
        else:
            share = min(max(float(bars.asked_KO[bar, o]), low), high)
        if fills:
            share *= float(bars.fill_KO[bar, o])
        if volume > 0:
            k += 1
            mass = volume if kind.benchmark is Benchmark.VWAP else 1.0
            weight, weighted = weight + mass, weighted + mass * price
        left -= share
        units += share * (1.0 / price) if kind.target is Target.NOTIONAL else share
        cash += share if kind.target is Target.NOTIONAL else share * price
        slices.append(share)
        if (m <= k and left <= TOLERANCE) or n <= k:
            break
    against = weighted / weight
    return Done(slices, k, kind.side.sign * (against - (cash / units if units > 0 else against)) / against)


class Asks:
    """A strategy that asks for what stands in the bars."""

    name = "asks"

    def __init__(self, bars: Bars) -> None:
        self.asked_KO, self.chance_KO = torch.from_numpy(bars.asked_KO), torch.from_numpy(bars.chance_KO)

    def decide(self, view: View) -> Decision:
        asked_O, chance_O = (x_KO[view.k][:, None, None] for x_KO in (self.asked_KO, self.chance_KO))
        return Decision(asked_O, chance_O >= FINISH_AT)


def simulated(orders: list[Order], bars: Bars) -> list[Done]:
    columns = vars(terms_of_orders(orders)[0]).values()
    price_AK, volume_AK = (torch.from_numpy(x_KO.T.copy()) for x_KO in (bars.price_KO, bars.volume_KO))
    market = Market(price_AK, volume_AK, torch.ones_like(price_AK), torch.ones(len(orders)).double(), price_AK > 0)
    done = simulate(Asks(bars), market, Terms(*(column[:, None, None] for column in columns)))
    figures = [x_O.flatten().tolist() for x_O in (done.end_bar_O, done.gain_O)]
    slices_OK = done.slices_KO.flatten(1).T.tolist()
    return [Done(slices[:end], end, gain) for slices, end, gain in zip(slices_OK, *figures, strict=True)]


def lived(orders: list[Order], bars: Bars, opens: list[int], patch: pytest.MonkeyPatch, fills: bool) -> list[Done]:
    """Live orders that are opened one after the other, so that each has its own k, in one group."""
    live = LiveOrders(lively_model(), markets=len(orders), horizon=HORIZON)
    order_of: list[int] = []
    slices: list[list[float]] = [[] for _ in orders]
    done: dict[int, Done] = {}
    now = 0

    def asked(*_):
        rows = [order_of[i] for i in live.running()[0].tolist()]
        at = [now - opens[o] for o in rows]
        return torch.from_numpy(bars.asked_KO[at, rows]), torch.from_numpy(bars.chance_KO[at, rows])

    patch.setattr(lem.advice.live_orders, "within_limits", asked)
    for now in range(max(opens) + len(bars.price_KO)):
        arriving = [o for o, first in enumerate(opens) if first == now]
        live.open([orders[o] for o in arriving], arriving, 1.0, 1.0, 1.0)
        order_of += arriving
        decided = live.decide(torch.zeros(len(orders), TINY.hidden), 1.0)
        rows = [order_of[i] for i in decided.id_O.tolist()]
        at = np.clip(now - np.array(opens), 0, len(bars.price_KO) - 1), np.arange(len(orders))
        filled_O = None
        shares_O = decided.slice_O
        if fills:
            filled_O = shares_O = decided.slice_O * torch.from_numpy(bars.fill_KO[at])[rows]
        for o, share in zip(rows, shares_O.tolist(), strict=True):
            slices[o].append(share)
        ended = live.settle(bars.price_KO[at], bars.volume_KO[at], filled_O)
        figures = [x_O.tolist() for x_O in (ended.id_O, ended.end_bar_O, ended.gain_bps_O)]
        for i, end, gain in zip(*figures, strict=True):
            done[order_of[i]] = Done(slices[order_of[i]], end, gain / 1e4)
    return [done[o] for o in range(len(orders))]


def same(found: list[Done], known: list[Done]) -> None:
    for mine, theirs in zip(found, known, strict=True):
        assert (mine.slices, mine.end_bar) == (theirs.slices, theirs.end_bar)
        assert mine.gain == pytest.approx(theirs.gain, rel=1e-12, abs=1e-15)


seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=40)
@given(seeds, st.integers(1, 12))
def test_simulator_and_live_orders_take_the_step_that_is_stated_by_hand(seed, count):
    rng = np.random.default_rng(seed)
    orders = [random_order(rng, HORIZON) for _ in range(count)]
    bars = random_bars(rng, count, HORIZON)
    known = [by_hand(order, bars, o) for o, order in enumerate(orders)]
    same(simulated(orders, bars), known)
    with pytest.MonkeyPatch.context() as patch:
        same(lived(orders, bars, rng.integers(0, 4, count).tolist(), patch, fills=False), known)
    for done in known:
        assert math.isclose(sum(done.slices), 1.0, abs_tol=1e-9)


@settings(deadline=None, max_examples=25)
@given(seeds, st.integers(1, 8))
def test_a_step_serves_partial_fills_and_bars_without_volume(seed, count):
    rng = np.random.default_rng(seed)
    orders = [random_order(rng, HORIZON) for _ in range(count)]
    bars = random_bars(rng, count, 4 * HORIZON)
    # One bar in two has no volume, but never so many that an order does not end.
    bars.volume_KO[::2] *= rng.random(bars.volume_KO[::2].shape) < 0.5
    known = [by_hand(order, bars, o, fills=True) for o, order in enumerate(orders)]
    with pytest.MonkeyPatch.context() as patch:
        same(lived(orders, bars, rng.integers(0, 4, count).tolist(), patch, fills=True), known)


@settings(deadline=None, max_examples=60)
@given(seeds)
def test_whatever_is_asked_for_a_step_keeps_limits_budget_and_end(seed):
    rng = np.random.default_rng(seed)
    order = random_order(rng, HORIZON)
    terms, _ = terms_of_orders([order])
    ledger, traded = open_ledger(terms, torch.Size([1])), 0
    always = torch.ones(1, dtype=torch.bool)
    for k in range(order.max_bars):
        asked = torch.tensor([rng.choice([-1.0, 0.0, 1e9, rng.random()])])
        taken = step(ledger, terms, k, asked, torch.tensor([bool(rng.random() < 0.3)]))
        assert -1e-12 <= float(taken.slice_O) <= min(order.max_rate, float(ledger.remaining_O)) + TOLERANCE
        ledger = book(ledger, terms, taken.slice_O, torch.ones(1), torch.ones(1), always)
        traded = k + 1
        assert bool(taken.ends_O) == bool(over(ledger.remaining_O, terms, traded))
        if taken.ends_O:
            break
    assert order.min_bars <= traded <= order.max_bars
    assert abs(float(ledger.remaining_O)) <= TOLERANCE


def test_a_wish_to_end_is_granted_where_it_may_be_and_the_end_comes_where_it_must():
    terms = make_terms(SCENARIOS[:1] * 4, [1, 2, 1, 1], [3, 3, 3, 1], max_rate=[1.0, 1.0, 0.4, 1.0])
    ledger = open_ledger(terms, torch.Size([4]))
    chance_O = torch.tensor([0.3, 0.3, 0.3, 0.3], dtype=torch.float64)
    assert allowed_end(chance_O, ledger, terms, 0).tolist() == [0.3, 0.0, 0.0, 1.0]
    for wish in (True, False):
        got = allowed_end(torch.full((4,), wish), ledger, terms, 0)
        assert got.dtype is torch.bool
        assert got.tolist() == [wish, False, False, True]


def test_a_bar_without_price_touches_nothing_but_what_traded_in_it():
    terms = make_terms(SCENARIOS[:1] * 2, 1, 3)
    ledger = open_ledger(terms, torch.Size([2]))
    slice_O, price_O = torch.tensor([0.0, 0.25]).double(), torch.tensor([math.nan, 2.0]).double()
    after = book(ledger, terms, slice_O, price_O, torch.zeros(2).double(), torch.zeros(2, dtype=torch.bool))
    assert after.remaining_O.tolist() == [1.0, 0.75]
    assert after.units_O.tolist() == [0.0, 0.25]
    assert after.cash_O.tolist() == [0.0, 0.5]
    assert after.weight_O.tolist() == after.weighted_O.tolist() == [0.0, 0.0]


def three_users() -> dict[str, list[float]]:
    """Mean gains of one model on one market: simulated, live, and as training expects them."""
    rng = np.random.default_rng(3)
    model, orders = lively_model(scale=1.0), [Order(scenario, 1, 6) for scenario in SCENARIOS]
    bars = random_bars(rng, 5, 6)
    price_AK, volume_AK = (torch.from_numpy(x_KO.T.copy()) for x_KO in (bars.price_KO, bars.volume_KO))
    one_A = torch.ones(5, dtype=torch.float64)
    context_AKH = torch.zeros(5, 6, TINY.hidden)
    market = Market(price_AK, volume_AK, torch.ones_like(price_AK), one_A, price_AK > 0, context_AKH)
    done = simulate(Learned(model), market, make_terms(SCENARIOS, 1, 6))
    live = LiveOrders(model, markets=5, horizon=6)
    for row in range(5):
        live.open(orders, [row] * len(orders), 1.0, 1.0, 1.0)
    gain_bps: list[float] = []
    for price_N, volume_N in zip(bars.price_KO, bars.volume_KO, strict=True):
        live.decide(torch.zeros(5, TINY.hidden), 1.0)
        gain_bps += live.settle(price_N, volume_N).gain_bps_O.tolist()
    tape = Tape(*(x.float()[None] for x in (price_AK, volume_AK, torch.ones_like(price_AK), one_A)), price_AK[None] > 0)
    terms = make_terms(SCENARIOS, torch.ones(1, 5, 8), 6, dtype=torch.float32)
    with torch.no_grad():
        expected = expected_outcome(model, torch.zeros(1, 12, TINY.hidden), 1, tape, terms)
    return {
        "backtest": done.gain_O.flatten().tolist(),
        "live": gain_bps,
        "training": expected.mean_O.flatten().tolist(),
    }


def booked_at_twice_the_price(ledger, terms, slice_O, price_O, volume_O, fill_O=None):
    after = lem.execution.fills.advance(ledger, terms, slice_O, price_O, volume_O, fill_O)
    return replace(after, cash_O=ledger.cash_O + 2 * (after.cash_O - ledger.cash_O))


BROKEN = {
    "must_finish": lambda ledger, terms, k: torch.ones_like(ledger.remaining_O, dtype=torch.bool),
    "may_finish": lambda ledger, terms, k: torch.zeros_like(ledger.remaining_O, dtype=torch.bool),
    "advance": booked_at_twice_the_price,
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_rule_that_is_broken_in_the_step_is_broken_for_backtest_live_orders_and_training(rule, monkeypatch):
    whole = three_users()
    monkeypatch.setattr(lem.execution.step, rule, BROKEN[rule])
    broken = three_users()
    assert [user for user in whole if broken[user] == whole[user]] == []


def test_the_threshold_for_finishing_stands_in_one_file():
    found = set()
    for path in (ROOT / "lem").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.GtE):
                found |= {path.name for x in node.comparators if isinstance(x, ast.Constant) and x.value == 0.5}
    assert not found, "compare with lem.execution.step.FINISH_AT"
