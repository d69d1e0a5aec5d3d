"""Where live orders and their slices are kept: tables of the registry's database.

The key of a slice is its order and its bar, and all slices of a bar are written in one transaction, with what became
of the bars before it. A process that is killed leaves all of a bar or nothing of it; of two that decide at the same
time one waits for the other and then finds the bar decided.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, insert, select, update

from lem.advice.order import OPEN, OrderResult, OrderState, ParentOrder, Status
from lem.advice.records import ArrivalRecord, Decided, OpenOrder, OrderRecord, SliceRecord
from lem.advice.soundness import UNREADABLE, check_order, check_slice, sound, unsound
from lem.errors import AdviceError, OrderError, OrderStateError, UnknownOrderError
from lem.execution.orders import TOLERANCE
from lem.registry.advice_tables import AdvisedOrderRow, AdvisedSliceRow
from lem.registry.connection import Database
from lem.registry.migrate import bring_up_to_date

_LOG = logging.getLogger("lem.advice")
_ORDERS: Any = AdvisedOrderRow.__table__
_SLICES: Any = AdvisedSliceRow.__table__


def _names(record: type[Any], *records_within: str) -> tuple[str, ...]:
    return tuple(field.name for field in fields(record) if field.name not in records_within)


_ARRIVAL, _RESULT, _SLICE = _names(ArrivalRecord), _names(OrderResult), _names(SliceRecord)
_ORDER = _names(OrderRecord, "arrival", "result")
ORDER_COLUMNS = tuple(_ORDERS.c[name] for name in (*_ORDER, *_ARRIVAL, *_RESULT))
SLICE_COLUMNS = tuple(_SLICES.c[name] for name in _SLICE)
"""In the order of the fields of the records."""
# Where the fields of an arrival and of a result begin in a row.
_AT_ARRIVAL, _AT_RESULT = len(_ORDER), len(_ORDER) + len(_ARRIVAL)


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
            connection.execute(insert(_ORDERS), [_columns(record, _ORDER)])
            return OrderState(order, record.status, now), True

    def order(self, order_id: str) -> OrderState:
        """One order.

        Raises:
            UnknownOrderError: there is none of this id.
        """
        with self._database.transaction(f"read order {order_id!a}") as connection:
            known = self._known(connection, order_id)
            with sound(order_id):
                return known.state()

    def has(self, order_id: str) -> bool:
        """Whether there is an order of this id, in whatever universe."""
        with self._database.transaction(f"look for order {order_id!a}") as connection:
            return self._find(connection, order_id) is not None

    def orders(
        self, universe: str, statuses: Sequence[Status] | None = None, limit: int | None = None
    ) -> list[OrderState]:
        """Orders of a universe, the newest first."""
        query = select(*ORDER_COLUMNS).where(_ORDERS.c.universe == universe)
        if statuses is not None:
            query = query.where(_ORDERS.c.status.in_(statuses))
        query = query.order_by(_ORDERS.c.created_at.desc(), _ORDERS.c.id).limit(limit)
        with self._database.transaction("list the orders") as connection:
            try:
                return [_order_of(row).state() for row in connection.execute(query)]
            except (AdviceError, OrderError, *UNREADABLE):
                return list(self._sound_states(connection, query))

    def slices(self, order_id: str) -> list[tuple[OrderRecord, SliceRecord]]:
        """Every slice of an order beside the order, in the order of its bars.

        Raises:
            UnknownOrderError: there is no such order.
        """
        with self._database.transaction(f"read the slices of {order_id!a}") as connection:
            order = self._known(connection, order_id)
            query = select(*SLICE_COLUMNS).where(_SLICES.c.order_id == order_id).order_by(_SLICES.c.bar)
            with sound(order_id):
                slices = [SliceRecord(*row) for row in connection.execute(query)]
            for one in slices:
                check_slice(order, one)
            return [(order, one) for one in slices]

    def cancel(self, order_id: str) -> OrderState:
        """Cancel an open order; a cancelled one stays so.

        Raises:
            UnknownOrderError: there is no such order.
            OrderStateError: it has ended.
        """
        with self._database.transaction(f"cancel order {order_id!a}", write=True) as connection:
            order = self._known(connection, order_id)
            if order.status not in (*OPEN, "cancelled"):
                raise OrderStateError(f"order {order_id} is {order.status}; allowed: to cancel one that is open")
            connection.execute(update(_ORDERS).where(_ORDERS.c.id == order_id), {"status": "cancelled"})
            return replace(order, status="cancelled").state()

    def fill(self, order_id: str, bar: dt.datetime, amount: float) -> tuple[OrderRecord, SliceRecord]:
        """Confirm what was filled in the bar of the last slice, in the order's own unit; the last word counts.

        Returns:
            The order and the slice.

        Raises:
            UnknownOrderError: there is no such order.
            OrderStateError: it is not live, or another slice followed the bar's.
            OrderError: the amount is negative or more than what remained.
        """
        with self._database.transaction(f"confirm a fill of {order_id!a}", write=True) as connection:
            order = self._known(connection, order_id)
            with sound(order_id):
                last = _open_order_of(connection.execute(_with_last(_ORDERS.c.id == order_id)).one()).last
            if order.status != "live" or last is None:
                raise OrderStateError(f"order {order_id} is {order.status}; allowed: fills of one that is live")
            if last.bar != bar:
                raise OrderStateError(
                    f"bar {bar:%Y-%m-%dT%H:%M:%SZ} of order {order_id} is not its last one; allowed: "
                    f"{last.bar:%Y-%m-%dT%H:%M:%SZ}, until the slice after it is advised"
                )
            share, left = amount / order.size, last.remaining
            if not 0 <= share <= left + TOLERANCE:
                raise OrderError(f"amount {amount:g}; allowed: 0 to {left * order.size:g}, what remained of the order")
            share = min(share, left)
            chosen = and_(_SLICES.c.order_id == order_id, _SLICES.c.bar == bar)
            connection.execute(update(_SLICES).where(chosen), {"filled": share})
            return order, replace(last, filled=share)

    def booked(self, universe: str, order_id: str | None = None) -> list[OpenOrder]:
        """The open orders of a universe with their last slices; or one order, if it is open."""
        with self._database.transaction("read the open orders") as connection:
            return self._booked(connection, universe, order_id)

    def decide(self, universe: str, choose: Callable[[list[OpenOrder]], Decided], order_id: str | None = None) -> None:
        """Write what `choose` makes of the open orders; until it is written nobody else decides.

        Where `choose` raises, nothing is written.
        """
        with self._database.transaction("store the slices of a bar", write=True) as connection:
            decided = choose(self._booked(connection, universe, order_id))
            if decided.slices:
                connection.execute(insert(_SLICES), [_columns(record, _SLICE) for record in decided.slices])
            # Orders that change in the same way are one statement.
            begun = [
                {"_id": key, "status": "live", **_columns(arrival, _ARRIVAL)} for key, arrival in decided.begun.items()
            ]
            ended = [{"_id": key, "status": end.status, **_columns(end, _RESULT)} for key, end in decided.ended.items()]
            for rows in (begun, ended):
                if rows:
                    connection.execute(update(_ORDERS).where(_ORDERS.c.id == bindparam("_id")), rows)

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

    def _sound_or_not(self, connection: Connection, order_id: str, universe: str) -> OpenOrder:
        try:
            with sound(order_id):
                return _open_order_of(connection.execute(_with_last(_ORDERS.c.id == order_id)).one())
        except AdviceError as fault:
            return unsound(order_id, universe, fault)

    def _sound_states(self, connection: Connection, query: Any) -> Iterator[OrderState]:
        """The orders of a query; those that cannot be read are left to the log, and to who asks for them by id."""
        for order_id in connection.execute(query.with_only_columns(_ORDERS.c.id)).scalars().all():
            try:
                known = self._known(connection, order_id)
                with sound(order_id):
                    yield known.state()
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
    arrival, result = row[_AT_ARRIVAL:_AT_RESULT], row[_AT_RESULT : len(ORDER_COLUMNS)]
    return (
        *row[:_AT_ARRIVAL],
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
