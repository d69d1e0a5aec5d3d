"""Reports on live orders: their bars read once more, from the lake where the day is over, and measured."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from lem.advice.clock import bars_between, bars_of_order
from lem.advice.executions import TapeBar, tape_of
from lem.advice.feed import Feed
from lem.advice.fills import Fill
from lem.advice.order import OPEN, Status
from lem.advice.order_report import OrderReport, report_on
from lem.advice.records import OrderRecord, SliceRecord
from lem.advice.store import AdviceStore
from lem.data.panel import Panel, panel_table
from lem.errors import LemError, OrderStateError
from lem.lake import Lake
from lem.sources.base import Source
from lem.universe import Universe
from lem.universe.calendars import offset_partition

MOST_A_DAY = 1000
"""Orders of a day that are reported on at once."""


@dataclass(frozen=True)
class DayLine:
    """An order of a day.

    Args:
        order_id: of the order.
        asset: canonical name; None, as side and status, of an order whose row cannot be read.
        side: buy or sell.
        status: where it stands.
        report: None of an order that is open, or whose bars cannot be read.
        reason: why there is none; empty where there is one.
    """

    order_id: str
    asset: str | None
    side: str | None
    status: Status | None
    report: OrderReport | None
    reason: str


@dataclass(frozen=True)
class DayReport:
    """The orders of a day: those whose first bar lies on it, or whose start does where they never began.

    Args:
        universe: its name.
        date: the day (UTC).
        orders: by id.
    """

    universe: str
    date: dt.date
    orders: list[DayLine]


class Reporting:
    """Reads what reports need. Nothing is written.

    Args:
        universe: whose orders they are.
        lake: has the days that are over.
        store: of the orders.
        source: has the other days.
    """

    def __init__(self, universe: Universe, lake: Lake, store: AdviceStore, source: Source) -> None:
        self._universe, self._lake, self._store, self._source = universe, lake, store, source

    def report(self, order_id: str, now: dt.datetime) -> OrderReport:
        """The report on an order that has ended.

        Args:
            order_id: of the order.
            now: the clock's time (UTC).

        Raises:
            UnknownOrderError: there is none of this id in the universe.
            OrderStateError: it is open.
            AdviceError: its bars are not there, or not all closed yet.
        """
        order, slices, fills = self._store.told(self._universe.name, order_id)
        if order.status in OPEN:
            raise OrderStateError(
                f"order {order_id} is {order.status}; allowed: the report on one that has ended (the advice after its "
                "last bar ends it) or was cancelled"
            )
        return self._of(order, slices, fills, now)

    def day(self, date: dt.date, now: dt.datetime) -> DayReport:
        """The orders of a day with their reports.

        Args:
            date: the day (UTC).
            now: the clock's time (UTC).

        Raises:
            OrderStateError: there are more orders of it than `MOST_A_DAY`.
        """
        orders = self._store.orders_of_day(self._universe.name, date)
        if len(orders) > MOST_A_DAY:
            raise OrderStateError(
                f"{len(orders)} orders on {date}; allowed: at most {MOST_A_DAY} in one table; ask for them one by one"
            )
        return DayReport(self._universe.name, date, [self._line(key, now) for key in orders])

    def _line(self, order_id: str, now: dt.datetime) -> DayLine:
        order, report, reason = None, None, ""
        try:
            order, slices, fills = self._store.told(self._universe.name, order_id)
            if order.status in OPEN:
                reason = f"it is {order.status}"
            else:
                report = self._of(order, slices, fills, now)
        except LemError as error:
            reason = str(error)
        if order is None:
            return DayLine(order_id, None, None, None, report, reason)
        return DayLine(order_id, order.asset, order.side, order.status, report, reason)

    def _of(self, order: OrderRecord, slices: list[SliceRecord], fills: list[Fill], now: dt.datetime) -> OrderReport:
        tape = self._tape(order, slices, now) if slices else []
        late = self._bars_late(order) if slices else 0
        return report_on(order, slices, fills, tape, self._universe.costs, late)

    def _bars_late(self, order: OrderRecord) -> int:
        """Bars that opened from the order's start on, before its first one."""
        just_before = order.start - dt.timedelta(microseconds=1)
        return bars_between(self._universe, just_before, order.arrived().first_bar) - 1

    def _tape(self, order: OrderRecord, slices: list[SliceRecord], now: dt.datetime) -> list[TapeBar]:
        universe, first = self._universe, order.arrived().first_bar
        at = bars_of_order(universe, first, order.max_bars, slices[-1].bar, now)
        # The day before, for the close before the first bar.
        since = max(universe.start, offset_partition(universe, first.date(), -1))
        # A feed of its own: that of the advice goes forward only.
        table = Feed(universe, self._lake, self._source).features(order.asset, since, at)
        return tape_of(Panel.from_table(panel_table({order.asset: table})), first)
