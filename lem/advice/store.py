"""Where live orders and their slices are kept: tables of the registry's database.

The key of a slice is its order and its bar, and all slices of a bar are written in one transaction, with what became
of the bars before it. A process that is killed leaves all of a bar or nothing of it; of two that decide at the same
time one waits for the other and then finds the bar decided.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, insert, select, update

from lem.advice import audit
from lem.advice.amounts import ZERO
from lem.advice.fill_book import fill_of, fills_of, total_of, write_fill
from lem.advice.fills import Fill, FillNews
from lem.advice.life import Change
from lem.advice.listing import NEWEST_FIRST, Listing, Page, keys_of
from lem.advice.order import OPEN, OrderResult, OrderState, ParentOrder, Status
from lem.advice.records import ArrivalRecord, Decided, OpenOrder, OrderRecord, SliceRecord
from lem.advice.soundness import UNREADABLE, check_order, check_slice, sound, unsound
from lem.advice.venue_rules import NO_RULES, VenueRules
from lem.errors import AdviceError, OrderError, OrderStateError, UnknownOrderError
from lem.registry.advice_tables import AdvisedOrderRow, AdvisedSliceRow
from lem.registry.connection import Database
from lem.registry.migrate import bring_up_to_date

_LOG = logging.getLogger("lem.advice")
_ORDERS: Any = AdvisedOrderRow.__table__
_SLICES: Any = AdvisedSliceRow.__table__


def _names(record: type[Any], *records_within: str) -> tuple[str, ...]:
    return tuple(field.name for field in fields(record) if field.name not in records_within)


_ARRIVAL, _RESULT, _SLICE = _names(ArrivalRecord), _names(OrderResult), _names(SliceRecord)
_ORDER, _RULES = _names(OrderRecord, "rules", "arrival", "result"), _names(VenueRules)
ORDER_COLUMNS = tuple(_ORDERS.c[name] for name in (*_ORDER, *_RULES, *_ARRIVAL, *_RESULT))
SLICE_COLUMNS = tuple(_SLICES.c[name] for name in _SLICE)
"""In the order of the fields of the records."""
# Where the fields of the rules, of an arrival and of a result begin in a row.
_AT_RULES, _AT_ARRIVAL = len(_ORDER), len(_ORDER) + len(_RULES)
_AT_RESULT = _AT_ARRIVAL + len(_ARRIVAL)
_NOTHING_LATE = {"late_amount": ZERO, "late_share": 0.0, "late_units": 0.0, "late_cash": 0.0}


class AdviceStore:
    """The live orders of a registry's database. Every method is a transaction of its own.

    Args:
        url: as for `lem.registry.Registry`.
        most_open: of a universe, how many orders may be open at the same time; None for any number.

    Raises:
        RegistryError: (by every method too) the database cannot be reached, read or written.
    """

    def __init__(self, url: str, most_open: int | None = None) -> None:
        self._most_open = most_open
        self._database = Database(url)
        bring_up_to_date(self._database)
        self.audit = audit.AuditLog(self._database)

    def add(self, order: ParentOrder, now: dt.datetime) -> tuple[OrderState, bool]:
        """Store an order. The same order under the same id again changes nothing.

        Returns:
            The stored order, and whether it is new.

        Raises:
            OrderStateError: the id is taken by another order, or too many are open.
        """
        with self._database.transaction(f"store order {order.id}", write=True) as connection:
            there = self._find(connection, order.id)
            if there is not None:
                state = there.state()
                if state.order != order:
                    raise OrderStateError(
                        f"id {order.id}: there is another order of this id ({_terms(state.order)}); allowed: an id "
                        "that is free, or the same order again"
                    )
                return state, False
            self._check_quota(connection, order.universe)
            record = OrderRecord.of(order, now)
            connection.execute(insert(_ORDERS), [{**_columns(record, _ORDER), **_columns(record.rules, _RULES)}])
            audit.write_act(connection, order.universe, now, [audit.created(record)])
            return record.state(), True

    def order(self, order_id: str) -> OrderState:
        """One order.

        Raises:
            UnknownOrderError: there is none of this id.
        """
        with self._database.transaction(f"read order {order_id!a}") as connection:
            self._known(connection, order_id)
            return self._state(connection, order_id)

    def has(self, order_id: str) -> bool:
        """Whether there is an order of this id, in whatever universe."""
        with self._database.transaction(f"look for order {order_id!a}") as connection:
            return self._find(connection, order_id) is not None

    def orders(
        self, universe: str, statuses: Sequence[Status] | None = None, limit: int | None = None
    ) -> list[OrderState]:
        """Orders of a universe, the newest first."""
        return self.page(universe, Listing(statuses, limit=limit)).states

    def page(self, universe: str, wanted: Listing) -> Page:
        """A page of the orders of a universe, the newest first.

        Raises:
            OrderError: as `lem.advice.listing.keys_of`.
        """
        with self._database.transaction("list the orders") as connection:
            keys, cursor = keys_of(connection, universe, wanted)
            query = _with_last(_ORDERS.c.id.in_(keys)).order_by(*NEWEST_FIRST)
            try:
                return Page([_open_order_of(row).state() for row in connection.execute(query)], cursor)
            except (AdviceError, OrderError, *UNREADABLE):
                return Page(list(self._sound_states(connection, keys)), cursor)

    def slices(self, order_id: str) -> list[tuple[OrderRecord, SliceRecord]]:
        """Every slice of an order beside the order, in the order of its bars.

        Raises:
            UnknownOrderError: there is no such order.
        """
        with self._database.transaction(f"read the slices of {order_id!a}") as connection:
            order = self._known(connection, order_id)
            return [(order, slice_) for slice_ in self._slices(connection, order_id)]

    def fills(self, order_id: str) -> list[Fill]:
        """Everything that was told of an order's fills, corrections too.

        Raises:
            UnknownOrderError: there is no such order.
        """
        with self._database.transaction(f"read the fills of {order_id!a}") as connection:
            self._known(connection, order_id)
            return fills_of(connection, order_id)

    def told(self, universe: str, order_id: str) -> tuple[OrderRecord, list[SliceRecord], list[Fill]]:
        """An order of a universe with all of its slices, in the order of their bars, and all that was told of fills.

        Raises:
            UnknownOrderError: there is no such order in the universe.
        """
        with self._database.transaction(f"read all of {order_id!a}") as connection:
            order = self._known(connection, order_id)
            if order.universe != universe:
                raise UnknownOrderError(
                    f"order {order_id} is of universe {order.universe}; allowed: orders of {universe}"
                )
            return order, *self._told(connection, order_id)

    def orders_of_day(self, universe: str, date: dt.date) -> list[str]:
        """Ids of the orders whose first bar lies on a date (UTC), or whose start does where they have not begun."""
        began = func.coalesce(_ORDERS.c.first_bar, _ORDERS.c.start)
        midnight, end = (dt.datetime.combine(date, time, dt.UTC) for time in (dt.time.min, dt.time.max))
        wanted = and_(_ORDERS.c.universe == universe, began >= midnight, began <= end)
        with self._database.transaction(f"list the orders of {date}") as connection:
            return list(connection.execute(select(_ORDERS.c.id).where(wanted).order_by(_ORDERS.c.id)).scalars())

    def change(
        self, order_id: str, choose: Callable[[OpenOrder, dt.datetime], Change | None], now: dt.datetime
    ) -> OrderState:
        """Write what a function of `lem.advice.life` makes of an order; None changes nothing.

        Raises:
            UnknownOrderError: there is no such order.
            OrderStateError: as `choose`.
            OrderError: likewise.
        """
        with self._database.transaction(f"change order {order_id!a}", write=True) as connection:
            self._known(connection, order_id)
            order = self._open_order(connection, order_id)
            change = choose(order, now)
            if change is not None:
                connection.execute(update(_ORDERS).where(_ORDERS.c.id == order_id), change.columns)
                audit.write_act(connection, order.universe, now, [change.told])
            return self._state(connection, order_id)

    def fill(self, order_id: str, news: FillNews, now: dt.datetime) -> tuple[Fill, bool]:
        """Store a fill. The same fill again changes nothing.

        Returns:
            The fill, and whether it is new.

        Raises:
            UnknownOrderError: there is no such order.
            OrderStateError: as `lem.advice.fill_book.fill_of`.
            OrderError: likewise.
        """
        with self._database.transaction(f"store a fill of {order_id!a}", write=True) as connection:
            order, slices, there = self._known(connection, order_id), *self._told(connection, order_id)
            fill = fill_of(order, slices, there, news, now)
            if fill is None:
                return [told for told in there if told.fill_id == news.fill_id][-1], False
            write_fill(connection, order, slices, fill)
            return fill, True

    def total(
        self, order_id: str, bar: dt.datetime, amount: Decimal, now: dt.datetime
    ) -> tuple[OrderRecord, SliceRecord]:
        """Store what was filled in a bar as one number, in the order's unit; the last word counts.

        Returns:
            The order and the slice.

        Raises:
            UnknownOrderError: there is no such order.
            OrderStateError: as `lem.advice.fill_book.total_of`.
            OrderError: likewise.
        """
        with self._database.transaction(f"store a fill of {order_id!a}", write=True) as connection:
            order, slices, there = self._known(connection, order_id), *self._told(connection, order_id)
            fill = total_of(order, slices, there, (bar, amount), now)
            if fill is not None:
                write_fill(connection, order, slices, fill)
            return self._known(connection, order_id), next(
                slice_ for slice_ in self._slices(connection, order_id) if slice_.bar == bar
            )

    def booked(self, universe: str, order_id: str | None = None) -> list[OpenOrder]:
        """The open orders of a universe with their last slices; or one order, if it is open."""
        with self._database.transaction("read the open orders") as connection:
            return self._booked(connection, universe, order_id)

    def decide(
        self,
        universe: str,
        choose: Callable[[list[OpenOrder]], Decided],
        now: dt.datetime,
        order_id: str | None = None,
    ) -> None:
        """Write what `choose` makes of the open orders; until it is written nobody else decides.

        Where `choose` raises, nothing is written.
        """
        with self._database.transaction("store the slices of a bar", write=True) as connection:
            booked = self._booked(connection, universe, order_id)
            decided = choose(booked)
            if decided.slices:
                connection.execute(insert(_SLICES), [_columns(record, _SLICE) for record in decided.slices])
            # Orders that change in the same way are one statement.
            begun = [
                {"_id": key, "status": "live", **_columns(arrival, _ARRIVAL)} for key, arrival in decided.begun.items()
            ]
            ended = [{"_id": key, "status": end.status, **_columns(end, _RESULT)} for key, end in decided.ended.items()]
            # A new slice has what late fills changed in its own ledger.
            sliced = {record.order_id for record in decided.slices}
            late = [{"_id": order.id, **_NOTHING_LATE} for order in booked if order.is_late and order.id in sliced]
            for rows in (late, begun, ended):
                if rows:
                    connection.execute(update(_ORDERS).where(_ORDERS.c.id == bindparam("_id")), rows)
            audit.write_act(connection, universe, now, audit.decided({order.id: order for order in booked}, decided))

    def _booked(self, connection: Connection, universe: str, order_id: str | None) -> list[OpenOrder]:
        wanted = and_(_ORDERS.c.universe == universe, _ORDERS.c.status.in_(OPEN))
        if order_id is not None:
            wanted = and_(wanted, _ORDERS.c.id == order_id)
        result = connection.execute(_with_last(wanted).order_by(_ORDERS.c.id))
        # In parts: rows that live until all are read make the garbage collector walk the whole heap more often.
        try:
            return [_open_order_of(row) for rows in result.partitions(100) for row in rows]
        except (AdviceError, *UNREADABLE):
            keys = connection.execute(select(_ORDERS.c.id).where(wanted).order_by(_ORDERS.c.id)).scalars().all()
            return [self._sound_or_not(connection, key, universe) for key in keys]

    def _open_order(self, connection: Connection, order_id: str) -> OpenOrder:
        with sound(order_id):
            return _open_order_of(connection.execute(_with_last(_ORDERS.c.id == order_id)).one())

    def _state(self, connection: Connection, order_id: str) -> OrderState:
        order = self._open_order(connection, order_id)
        with sound(order_id):
            return order.state()

    def _sound_or_not(self, connection: Connection, order_id: str, universe: str) -> OpenOrder:
        try:
            return self._open_order(connection, order_id)
        except AdviceError as fault:
            return unsound(order_id, universe, fault)

    def _sound_states(self, connection: Connection, keys: Sequence[str]) -> Iterator[OrderState]:
        """Orders by their ids; those that cannot be read are left to the log, and to who asks for them by id."""
        for order_id in keys:
            try:
                yield self._state(connection, order_id)
            except AdviceError as fault:
                _LOG.error("%s", fault)

    def _check_quota(self, connection: Connection, universe: str) -> None:
        if self._most_open is None:
            return
        is_open = and_(_ORDERS.c.universe == universe, _ORDERS.c.status.in_(OPEN))
        count = connection.execute(select(func.count()).select_from(_ORDERS).where(is_open)).scalar_one()
        if count >= self._most_open:
            raise OrderStateError(
                f"{count} orders of {universe} are open; allowed: {self._most_open} (LEM_MAX_OPEN_ORDERS); cancel "
                "some, or wait until some have ended"
            )

    def _slices(self, connection: Connection, order_id: str) -> list[SliceRecord]:
        query = select(*SLICE_COLUMNS).where(_SLICES.c.order_id == order_id).order_by(_SLICES.c.bar)
        order = self._known(connection, order_id)
        with sound(order_id):
            slices = [SliceRecord(*row) for row in connection.execute(query)]
        for one in slices:
            check_slice(order, one)
        return slices

    def _told(self, connection: Connection, order_id: str) -> tuple[list[SliceRecord], list[Fill]]:
        return self._slices(connection, order_id), fills_of(connection, order_id)

    def _find(self, connection: Connection, order_id: str) -> OrderRecord | None:
        with sound(order_id):
            row = connection.execute(select(*ORDER_COLUMNS).where(_ORDERS.c.id == order_id)).one_or_none()
            return None if row is None else _order_of(row)

    def _known(self, connection: Connection, order_id: str) -> OrderRecord:
        order = self._find(connection, order_id)
        if order is None:
            raise UnknownOrderError(
                f"there is no order {order_id[:80]!a}; allowed: an id of the list (lem advise list --help)"
            )
        return order


def _with_last(condition: ColumnElement[bool]) -> Any:
    """Orders, each beside the slice of its last bar."""
    other = _SLICES.alias()
    last = select(func.max(other.c.bar)).where(other.c.order_id == _ORDERS.c.id).correlate(_ORDERS).scalar_subquery()
    joined = _ORDERS.outerjoin(_SLICES, and_(_SLICES.c.order_id == _ORDERS.c.id, _SLICES.c.bar == last))
    return select(*ORDER_COLUMNS, *SLICE_COLUMNS).select_from(joined).where(condition)


# By place: thousands of rows are read every bar, and looking up each column by its name takes twice as long.
def _fields_of(row: Sequence[Any]) -> tuple[Any, ...]:
    """The fields of an `OrderRecord`, in order."""
    rules = row[_AT_RULES:_AT_ARRIVAL]
    arrival, result = row[_AT_ARRIVAL:_AT_RESULT], row[_AT_RESULT : len(ORDER_COLUMNS)]
    return (
        *row[:_AT_RULES],
        NO_RULES if all(rule is None for rule in rules) else VenueRules(*rules),
        None if arrival[0] is None else ArrivalRecord(*arrival),
        None if result[0] is None else OrderResult(*result),
    )


def _order_of(row: Sequence[Any]) -> OrderRecord:
    order = OrderRecord(*_fields_of(row))
    check_order(order)
    return order


def _open_order_of(row: Sequence[Any]) -> OpenOrder:
    last = row[len(ORDER_COLUMNS) :]
    order = OpenOrder(*(*_fields_of(row), None if last[0] is None else SliceRecord(*last)))
    check_order(order)
    if order.last is not None:
        check_slice(order, order.last)
    return order


def _columns(record: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def _terms(order: ParentOrder) -> str:
    terms = order.order
    return (
        f"{terms.scenario} of {order.size:g} {order.asset}, m {terms.min_bars}, N {terms.max_bars}, start "
        f"{order.start:%Y-%m-%dT%H:%M:%SZ}, universe {order.universe}"
    )
