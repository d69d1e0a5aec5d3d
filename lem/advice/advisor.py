"""The advisor: the next slice of live orders, once a bar, by the champion of the day on which each order arrived.

A slice is decided when its bar opens, on what had closed by then, and is stored before anybody sees it. Asked again for
the same bar, the stored slice comes back, marked as repeated. When the next bar is decided, the bars before it are
settled: what the desk confirmed as filled counts, else what was advised; a bar that nobody asked about counts with
nothing filled.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import pandas as pd

from lem.advice.clock import Moment, moment
from lem.advice.deciding import BarOutcome, decide_bar
from lem.advice.feed import Feed
from lem.advice.market import LiveMarket
from lem.advice.order import OrderState, ParentOrder, check_order
from lem.advice.records import Decided, OpenOrder, OrderRecord, SliceRecord, ledger_of
from lem.advice.store import AdviceStore
from lem.errors import AdviceError, OrderStateError, UnknownOrderError
from lem.execution.fills import achieved, benchmark, gain
from lem.execution.terms import terms_of_orders
from lem.lake import Lake
from lem.registry import Registry
from lem.sources.base import Source
from lem.sources.limits import CLOCK, Clock
from lem.universe import Universe
from lem.universe.calendars import bar_close


@dataclass(frozen=True)
class Advice:
    """The slice of one bar.

    Args:
        order_id: of the order.
        asset: canonical name.
        side: buy or sell.
        bar: open of the bar to trade in, UTC.
        bar_end: its close, UTC.
        as_of: close of the last bar that the decision knows, UTC.
        advised_at: when it was decided, UTC.
        number: of the bar in the order, from 1.
        amount: to trade in the bar, in the order's unit.
        share: the same as a share of the order.
        unit: of amounts: base currency, or quote currency of a notional.
        remaining: amount left before the bar.
        finish: the order ends with this bar.
        reason: a key of `lem.advice.deciding.REASONS`.
        probability: pi, of finishing in this bar.
        last_close: the last known close, in quote currency.
        benchmark_price: over the bars before this one, in quote currency; None before the first.
        achieved: average price so far, in quote currency; None before the first bar.
        gain_bps: so far; None before the first bar.
        model_id: that decided.
        filled: amount that the desk confirmed, None if it did not.
        repeated: it was advised before.
    """

    order_id: str
    asset: str
    side: str
    bar: dt.datetime
    bar_end: dt.datetime
    as_of: dt.datetime
    advised_at: dt.datetime
    number: int
    amount: float
    share: float
    unit: str
    remaining: float
    finish: bool
    reason: str
    probability: float
    last_close: float
    benchmark_price: float | None
    achieved: float | None
    gain_bps: float | None
    model_id: str
    filled: float | None
    repeated: bool


@dataclass(frozen=True)
class Advised:
    """Answer for a bar.

    Args:
        at: the bar.
        slices: of the orders that trade in it.
        ended: orders that ended with the bars before it.
        refused: why others have no slice, by id.
        waiting: start of those that have not begun, by id.
    """

    at: Moment
    slices: list[Advice]
    ended: list[OrderState]
    refused: dict[str, str]
    waiting: dict[str, dt.datetime]


class Advisor:
    """Advises the live orders of a universe.

    Methods may be called from several threads, and by several processes on one database.

    Args:
        universe: whose orders they are.
        lake: its bars up to the last night.
        registry: its models and decisions.
        store: of the orders.
        source: of the bars that are not in the lake yet.
        clock: says which bar is next.
    """

    def __init__(
        self,
        universe: Universe,
        lake: Lake,
        registry: Registry,
        store: AdviceStore,
        source: Source,
        clock: Clock = CLOCK,
    ) -> None:
        self.universe, self.store, self.clock = universe, store, clock
        self.market = LiveMarket(universe, lake, registry, Feed(universe, lake, source))
        self._one_at_a_time = threading.Lock()

    def now(self) -> Moment:
        """Which bar is next.

        Raises:
            AdviceError: the universe has no bars at this time.
        """
        return moment(self.universe, self.clock.now())

    def start_of(self, order_id: str | None) -> dt.datetime:
        """When an order begins whose sender leaves it out: with the bar that is next, and when it began if it is there.

        So the same order may be sent again after its first bar, and still is the same.

        Raises:
            AdviceError: the universe has no bars at this time.
        """
        if order_id is not None and self.store.has(order_id):
            return self.store.order(order_id).order.start
        return self.now().bar

    def submit(self, order: ParentOrder) -> tuple[OrderState, bool]:
        """Take an order on; it is stored when this returns. Returns it and whether it is new.

        Raises:
            OrderError: it could never be advised on.
            OrderStateError: the id belongs to another order.
            AdviceError: the universe has no bars at this time.
        """
        if not self.store.has(order.id):
            check_order(order, self.universe, self.now())
        return self.store.add(order, self.clock.now())

    def order(self, order_id: str) -> OrderState:
        """A stored order of this universe.

        Raises:
            UnknownOrderError: there is none of this id.
        """
        state = self.store.order(order_id)
        if state.order.universe != self.universe.name:
            raise UnknownOrderError(
                f"order {order_id} is of universe {state.order.universe}; allowed: orders of {self.universe.name}"
            )
        return state

    def cancel(self, order_id: str) -> OrderState:
        """Cancel an open order. Raises as `order`, and OrderStateError when it has ended."""
        self.order(order_id)
        return self.store.cancel(order_id)

    def fill(self, order_id: str, bar: dt.datetime, amount: float) -> Advice:
        """Confirm what was filled in an order's last slice. Raises as `order` and as `AdviceStore.fill`."""
        self.order(order_id)
        return _advice([self.store.fill(order_id, bar, amount)], {order_id}, self.universe)[0]

    def history(self, order_id: str) -> list[Advice]:
        """Every slice that was advised for an order. Raises as `order`."""
        self.order(order_id)
        return _advice(self.store.slices(order_id), {order_id}, self.universe)

    def refresh(self) -> tuple[Moment, dict[str, str]]:
        """Bring the market of all open orders up to now: the advice that follows then takes no longer than it must.

        Returns:
            The moment, and why there is no advice on an asset, for those that have no current bars.

        Raises:
            AdviceError: the universe has no bars at this time.
        """
        with self._one_at_a_time:
            at = self.now()
            return at, self._refresh(self.store.booked(self.universe.name), at)

    def advise(self, order_id: str | None = None) -> Advised:
        """The slices of the bar that is next, of all open orders or of one.

        Raises:
            AdviceError: the universe has no bars at this time; of one order: there is no advice, and why.
            UnknownOrderError: there is no such order.
            OrderStateError: it has ended.
        """
        if order_id is not None:
            state = self.order(order_id)
            if state.status not in ("waiting", "live"):
                raise OrderStateError(f"order {order_id} is {state.status}; allowed: advice on one that is open")
        with self._one_at_a_time:
            at = self.now()
            booked = self.store.booked(self.universe.name, order_id)
            repeated = {b.id: b.last for b in booked if b.last is not None and b.last.bar == at.bar}
            outcome = BarOutcome(repeated=repeated)
            fresh = [b for b in booked if b.id not in repeated]
            if fresh:
                problems = self._refresh(fresh, at)
                outcome, booked = self._decide(at, problems, order_id)
        advised = self._advised(at, booked, outcome)
        if order_id is not None and order_id in advised.refused:
            raise AdviceError(advised.refused[order_id])
        return advised

    def _refresh(self, booked: Sequence[OpenOrder], at: Moment) -> dict[str, str]:
        wanted: dict[str, dt.date] = {}
        contexts: set[tuple[str, dt.date, str]] = set()
        for order in booked:
            date = (order.arrival.first_bar if order.arrival else at.bar).date()
            if order.start <= at.bar:
                wanted[order.asset] = min(date, wanted.get(order.asset, date))
            if order.arrival:
                contexts.add((order.arrival.model_id, date, order.asset))
        problems = self.market.refresh(wanted, at)
        # Contexts take the longest of what is left to do: made here, they do not hold up other writers.
        for model_id, date, asset in contexts:
            if asset in wanted and asset not in problems:
                # One that cannot be made is no matter of other orders: the decision refuses its own, and says why.
                with suppress(AdviceError):
                    self.market.context(model_id, date, asset)
        self.market.forget(min(wanted.values(), default=at.bar.date()))
        return problems

    def _decide(self, at: Moment, problems: dict[str, str], order_id: str | None) -> tuple[BarOutcome, list[OpenOrder]]:
        found: list[tuple[BarOutcome, list[OpenOrder]]] = []

        def choose(booked: list[OpenOrder]) -> Decided:
            # An order that came after the market was read has no bars here yet: it is asked for again.
            unread = {b.asset for b in booked if b.start <= at.bar} - self.market.known(at)
            absent = {asset: f"{asset}: its bars are not read yet; no advice: ask again" for asset in unread}
            outcome = decide_bar(booked, self.market, at, absent | problems, self.universe.horizon, self.universe.costs)
            found.append((outcome, booked))
            return outcome.decided

        self.store.decide(self.universe.name, choose, order_id)
        return found[0]

    def _advised(self, at: Moment, booked: list[OpenOrder], outcome: BarOutcome) -> Advised:
        orders, decided = {b.id: b for b in booked}, outcome.decided
        begun = {key: orders[key].begun(arrival) for key, arrival in decided.begun.items()}
        given: list[tuple[OrderRecord, SliceRecord]] = []
        given += [(begun.get(s.order_id, orders[s.order_id]), s) for s in decided.slices if s.bar == at.bar]
        given += [(orders[key], last) for key, last in outcome.repeated.items()]
        return Advised(
            at,
            _advice(given, set(outcome.repeated), self.universe),
            [orders[key].ended(result).state() for key, result in decided.ended.items()],
            outcome.refused,
            outcome.waiting,
        )


def _advice(given: Sequence[tuple[OrderRecord, SliceRecord]], repeated: set[str], universe: Universe) -> list[Advice]:
    if not given:
        return []
    terms, _ = terms_of_orders([order.terms for order, _ in given])
    ledger = ledger_of([last for _, last in given])
    figures = [x_O.tolist() for x_O in (benchmark(ledger), achieved(ledger), gain(ledger, terms))]
    bars = sorted({last.bar for _, last in given})
    ends = dict(zip(bars, bar_close(universe, pd.DatetimeIndex(bars)).to_pydatetime(), strict=True))
    out = []
    for (order, last), against, price, gained in zip(given, *figures, strict=True):
        arrived, begun, traded = order.arrived(), last.weight > 0, last.units > 0
        out.append(
            Advice(
                order_id=order.id,
                asset=order.asset,
                side=order.side,
                bar=last.bar,
                bar_end=ends[last.bar],
                as_of=last.as_of,
                advised_at=last.advised_at,
                number=last.bars_done + 1,
                amount=last.share * order.size,
                share=last.share,
                unit=order.target,
                remaining=last.remaining * order.size,
                finish=last.finish,
                reason=last.reason,
                probability=last.probability,
                last_close=last.last_close,
                benchmark_price=against * arrived.arrival_price if begun else None,
                achieved=price * arrived.arrival_price if traded else None,
                gain_bps=1e4 * gained if begun and traded else None,
                model_id=arrived.model_id,
                filled=None if last.filled is None else last.filled * order.size,
                repeated=order.id in repeated,
            )
        )
    return out
