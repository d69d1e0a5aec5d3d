"""The advisor: the next slice of live orders, once a bar, by the champion of the day on which each order arrived.

A slice is decided when its bar opens, on what had closed by then, and is stored before anybody sees it. Asked again for
the same bar, the stored slice comes back, marked as repeated. When the next bar is decided, the bars before it are
settled: what the desk told of its fills counts, else what was advised or nothing, as the order's mode says; a bar that
nobody asked about counts with nothing filled. Fills of earlier bars, and corrections, count whenever they come.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from functools import partial

from lem.advice import life
from lem.advice.amend import BOUNDS, Amendment, amend
from lem.advice.amounts import as_told, told_number
from lem.advice.answers import Advice, Advised, Columns, Standings, advices, answers
from lem.advice.clock import Moment, moment
from lem.advice.decided import Decided
from lem.advice.deciding import BarOutcome, decide_bar
from lem.advice.expectation import Expectations
from lem.advice.feed import Feed
from lem.advice.fills import Fill, FillNews
from lem.advice.live_orders import check_largest
from lem.advice.market import LiveMarket
from lem.advice.order import OrderState, ParentOrder, check_order
from lem.advice.order_report import OrderReport
from lem.advice.records import OpenOrder, OrderRecord, SliceRecord
from lem.advice.reporting import DayReport, Reporting
from lem.advice.store import AdviceStore
from lem.advice.venue_rules import VenueRules
from lem.errors import AdviceError, OrderStateError, RegistryError, SourceError, UnknownOrderError
from lem.execution.orders import Target
from lem.lake import Lake
from lem.registry import Registry
from lem.sources.base import Source, rules_from
from lem.sources.limits import CLOCK, Clock
from lem.universe import Universe


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
        self._source, self._reporting = source, Reporting(universe, lake, store, source)
        self._standings = Standings(universe, registry, clock)
        self.expectations = Expectations(universe, lake, clock)
        self._at: Moment | None = None
        # Whoever waits for a source holds one of these; orders are read, cancelled and filled without them.
        self._one_at_a_time, self._one_report = threading.Lock(), threading.Lock()

    def now(self) -> Moment:
        """Which bar is next.

        Raises:
            AdviceError: the universe has no bars at this time.
        """
        now, at = self.clock.now(), self._at
        if at is not None and at.as_of <= now < at.bar_end and now.date() == at.now.date():
            return replace(at, now=now)
        self._at = at = moment(self.universe, now)
        return at

    def start_of(self, order_id: str | None) -> dt.datetime:
        """When an order begins whose sender leaves it out: with the bar that is next, and when it began if it is there.

        So the same order may be sent again after its first bar, and still is the same.

        Raises:
            AdviceError: the universe has no bars at this time.
        """
        if order_id is not None and self.store.has(order_id):
            return self.store.order(order_id).order.start
        return self.now().bar

    def submit(self, order: ParentOrder, starts_next: bool = False) -> tuple[OrderState, bool]:
        """Take an order on; it is stored when this returns. Returns it and whether it is new.

        Args:
            order: to be taken on.
            starts_next: its sender left its start out: it begins with the bar that is next now, even where another one
                was when `start_of` was asked.

        Raises:
            OrderError: it could never be advised on.
            OrderStateError: the id belongs to another order.
            AdviceError: the universe has no bars at this time.
        """
        if self.store.has(order.id):
            there = self.store.order(order.id).order
            order = replace(order, rules=there.rules, start=there.start if starts_next else order.start)
        else:
            at = self.now()
            if starts_next:
                order = replace(order, start=max(order.start, at.bar))
            check_order(order, self.universe, at)
            order = replace(order, rules=self._rules(order.asset))
            self._check_size(order, at)
        return self.store.add(order, self.clock.now())

    def _rules(self, symbol: str) -> VenueRules:
        """What the venue takes: what the universe file says, else what the source knows.

        Raises:
            AdviceError: the source has to be asked, and does not answer.
        """
        asset = self.universe.assets[symbol]
        own = VenueRules(asset.lot, asset.tick, asset.min_amount, asset.min_notional)
        if None not in (own.lot, own.tick, own.min_amount, own.min_notional):
            return own
        try:
            return own.or_else(VenueRules(**rules_from(self._source, symbol)))
        except SourceError as error:
            raise AdviceError(f"{symbol}: what the venue takes is not known: {error}; send the order again") from error

    def _check_size(self, order: ParentOrder, at: Moment) -> None:
        """Refuse an order that begins with the bar that is next and is too large for it, or too small for the venue.

        Where the market is not known at this time, or the order begins later, its first bar tells.

        Raises:
            OrderError: it is larger than the participation cap lets trade in its bars, or no bar could trade any of it.
        """
        if order.start > at.bar:
            return
        if order.asset not in self.market.known(at):
            with self._one_at_a_time:
                if self.market.refresh({order.asset: at.bar.date()}, at):
                    return
        try:
            arrival = self.market.arrival(order.asset)
        except AdviceError:
            return
        terms, places = order.order, (arrival.sigma, arrival.price, arrival.mean_volume)
        check_largest(terms, order.size, self.universe.costs, *places)
        bar = arrival.mean_volume * (arrival.price if terms.scenario.target is Target.NOTIONAL else 1.0)
        most = min(terms.max_rate * order.size, self.universe.costs.participation_cap * bar)
        told = as_told(arrival.price), as_told(order.size), as_told(most)
        order.rules.check_most(terms.scenario.target, *told)

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
        return self._change(order_id, life.cancel)

    def pause(self, order_id: str) -> OrderState:
        """Advise nothing on an open order until it is resumed. Raises as `cancel`."""
        return self._change(order_id, life.pause)

    def resume(self, order_id: str) -> OrderState:
        """Go on with an order that was paused. Raises as `cancel`."""
        return self._change(order_id, life.resume)

    def amend(self, order_id: str, wanted: Amendment) -> OrderState:
        """Change terms of an open order; what is left is planned anew from the next bar.

        Raises as `order` and as `lem.advice.amend.amend`.
        """
        state, at, terms = self.order(order_id), self.now(), wanted.terms()
        if state.status == "waiting" and terms.keys() & {"size", *BOUNDS}:
            bounds = {name: value for name, value in terms.items() if name in BOUNDS}
            order = replace(state.order, order=replace(state.order.order, **bounds))
            self._check_size(replace(order, size=terms.get("size", order.size)), at)
        return self._change(order_id, partial(amend, wanted=wanted, universe=self.universe, at=at))

    def close(self, order_id: str) -> OrderState:
        """Close an order that has ended. Raises as `order`, and OrderStateError while it is open."""
        return self._change(order_id, life.close)

    def _change(self, order_id: str, choose: Callable[[OpenOrder, dt.datetime], life.Change | None]) -> OrderState:
        self.order(order_id)
        return self.store.change(order_id, choose, self.clock.now())

    def fill(self, order_id: str, news: FillNews) -> tuple[Fill, bool]:
        """Take a fill; it is stored when this returns. Returns it and whether it is new.

        Raises as `order` and as `AdviceStore.fill`.
        """
        self.order(order_id)
        return self.store.fill(order_id, news, self.clock.now())

    def fills(self, order_id: str) -> list[Fill]:
        """Everything that was told of an order's fills, corrections too. Raises as `order`."""
        self.order(order_id)
        return self.store.fills(order_id)

    def total(self, order_id: str, bar: dt.datetime, amount: float | Decimal) -> Advice:
        """Take the total of what was filled in a bar. Raises as `order` and as `AdviceStore.total`."""
        self.order(order_id)
        given = self.store.total(order_id, bar, told_number(amount, "amount"), self.clock.now())
        return advices(self._answers([given], {order_id}, self.clock.now()))[0]

    def history(self, order_id: str) -> list[Advice]:
        """Every slice that was advised for an order. Raises as `order`."""
        self.order(order_id)
        return advices(self._answers(self.store.slices(order_id), {order_id}, self.clock.now()))

    def report(self, order_id: str) -> OrderReport:
        """The report on an order that has ended. Raises as `Reporting.report`."""
        with self._one_report:
            return self._reporting.report(order_id, self.clock.now())

    def reports(self, date: dt.date) -> DayReport:
        """The orders of a day (UTC) with their reports. Raises as `Reporting.day`."""
        with self._one_report:
            return self._reporting.day(date, self.clock.now())

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
        with self.expectations.held_back():
            advised = self._advise(order_id)
        if order_id is not None and order_id in advised.refused:
            raise AdviceError(advised.refused[order_id])
        return advised

    def _advise(self, order_id: str | None) -> Advised:
        at, booked, outcome = self._told(order_id)
        if len(outcome.repeated) < len(booked):
            with self._one_at_a_time:
                at, booked, outcome = self._told(order_id)
                fresh = [order for order in booked if order.id not in outcome.repeated]
                if fresh:
                    problems = self._refresh(fresh, at)
                    outcome, booked = self._decide(at, problems, order_id)
        return self._advised(at, booked, outcome)

    def _told(self, order_id: str | None) -> tuple[Moment, list[OpenOrder], BarOutcome]:
        """Which bar is next, the open orders, and the slices that were advised for it before."""
        at = self.now()
        booked = self.store.booked(self.universe.name, order_id)
        repeated = {one.id: one.last for one in booked if one.last is not None and one.last.bar == at.bar}
        return at, booked, BarOutcome(repeated=repeated)

    def _refresh(self, booked: Sequence[OpenOrder], at: Moment) -> dict[str, str]:
        wanted: dict[str, dt.date] = {}
        contexts: set[tuple[str | None, dt.date, str]] = set()
        for order in booked:
            date = _arrived_on(order, at)
            if order.start <= at.bar:
                wanted[order.asset] = min(date, wanted.get(order.asset, date))
                contexts.add((order.arrival.model_id if order.arrival else None, date, order.asset))
        problems = self.market.refresh(wanted, at)
        # Contexts take the longest of what is left to do: made here, they do not hold up other writers.
        for model_id, date, asset in contexts:
            if asset not in problems:
                # One that cannot be made is no matter of other orders: the decision refuses its own, and says why.
                with suppress(AdviceError):
                    self.market.context(model_id or self.market.champion(date).model_id, date, asset)
        # What answers say of models is read here, too: asked for within the minute, it is there.
        for model_id in {one.arrival.model_id for one in booked if one.arrival is not None}:
            # One that cannot be read is no matter of other models' orders: whose it is, the decision refuses.
            with suppress(RegistryError):
                self._standings.of(model_id)
        every = self.store.booked(self.universe.name)
        self.market.forget(min((_arrived_on(order, at) for order in every), default=at.bar.date()))
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

        self.store.decide(self.universe.name, choose, at.now, order_id)
        return found[0]

    def _advised(self, at: Moment, booked: list[OpenOrder], outcome: BarOutcome) -> Advised:
        orders, decided = {b.id: b for b in booked}, outcome.decided
        begun = {key: orders[key].begun(arrival) for key, arrival in decided.begun.items()}
        given: list[tuple[OrderRecord, SliceRecord]] = []
        given += [(begun.get(s.order_id, orders[s.order_id]), s) for s in decided.slices if s.bar == at.bar]
        given += [(orders[key], last) for key, last in outcome.repeated.items()]
        return Advised(
            at,
            self._answers(given, set(outcome.repeated), at.now),
            [orders[key].ended(result).state() for key, result in decided.ended.items()],
            outcome.refused,
            outcome.waiting,
        )

    def _answers(
        self, given: Sequence[tuple[OrderRecord, SliceRecord]], repeated: set[str], now: dt.datetime
    ) -> Columns:
        return answers(given, repeated, self.universe, now, self._standings.of, self.expectations.of)


def _arrived_on(order: OpenOrder, at: Moment) -> dt.date:
    return (order.arrival.first_bar if order.arrival else at.bar).date()
