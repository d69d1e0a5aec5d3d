"""Reading live orders in a caller's transaction: one, all that are open, one order's slices."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select

from lem.advice.fallback import FALLBACK, with_gap
from lem.advice.listing import NEWEST_FIRST
from lem.advice.order import OPEN, OrderState
from lem.advice.order_rows import ORDER_COLUMNS, ORDERS, SLICE_COLUMNS, SLICES, open_order_of, order_of
from lem.advice.records import OpenOrder, OrderRecord, SliceRecord
from lem.advice.soundness import UNREADABLE, check_slice, sound, unsound
from lem.errors import AdviceError, OrderError, UnknownOrderError

_LOG = logging.getLogger("lem.advice")


def find(connection: Connection, order_id: str) -> OrderRecord | None:
    """One order; None where there is none of this id.

    Raises:
        AdviceError: its row is not what was written.
    """
    with sound(order_id):
        row = connection.execute(select(*ORDER_COLUMNS).where(ORDERS.c.id == order_id)).one_or_none()
        return None if row is None else order_of(row)


def known(connection: Connection, order_id: str) -> OrderRecord:
    """One order.

    Raises:
        UnknownOrderError: there is none of this id.
        AdviceError: its row is not what was written.
    """
    order = find(connection, order_id)
    if order is None:
        raise UnknownOrderError(
            f"there is no order {order_id[:80]!a}; allowed: an id of the list (lem advise list --help)"
        )
    return order


def with_last_slice(connection: Connection, order_id: str) -> OpenOrder:
    """An order that is there, open or not, with its last slice.

    Raises:
        AdviceError: a row of it is not what was written.
    """
    with sound(order_id):
        return open_order_of(connection.execute(_with_last(ORDERS.c.id == order_id)).one())


def slices_of(connection: Connection, order: OrderRecord) -> list[SliceRecord]:
    """Every slice of an order, in the order of its bars.

    Raises:
        AdviceError: a row is not what was written.
    """
    query = select(*SLICE_COLUMNS).where(SLICES.c.order_id == order.id).order_by(SLICES.c.bar)
    with sound(order.id):
        slices = [SliceRecord(*row) for row in connection.execute(query)]
    for one in slices:
        check_slice(order, one)
    return slices


def open_orders(connection: Connection, universe: str) -> list[OpenOrder]:
    """The open orders of a universe with their last slices, by id.

    One whose rows are not what was written says so (`OpenOrder.fault`).
    """
    wanted = and_(ORDERS.c.universe == universe, ORDERS.c.status.in_(OPEN))
    result = connection.execute(_with_last(wanted).order_by(ORDERS.c.id))
    # In parts: rows that live until all are read make the garbage collector walk the whole heap more often.
    try:
        return [open_order_of(row) for rows in result.partitions(100) for row in rows]
    except (AdviceError, *UNREADABLE):
        keys = connection.execute(select(ORDERS.c.id).where(wanted).order_by(ORDERS.c.id)).scalars().all()
        return [_sound_or_not(connection, key, universe) for key in keys]


def with_gaps(connection: Connection, orders: list[OpenOrder]) -> list[OpenOrder]:
    """Orders; those whose last slices were at a plain pace with all of these, and as they were before them."""
    out = list[OpenOrder]()
    for order in orders:
        if order.last is not None and order.last.reason == FALLBACK:
            try:
                order = with_gap(order, slices_of(connection, order))
            except AdviceError as fault:
                order = unsound(order.id, order.universe, fault)
        out.append(order)
    return out


def states(connection: Connection, keys: Sequence[str]) -> list[OrderState]:
    """Orders by their ids as a desk sees them, the newest first; those that cannot be read are left to the log."""
    try:
        rows = connection.execute(_with_last(ORDERS.c.id.in_(keys)).order_by(*NEWEST_FIRST))
        return [open_order_of(row).state() for row in rows]
    except (AdviceError, OrderError, *UNREADABLE):
        return list(_sound_states(connection, keys))


def _sound_or_not(connection: Connection, order_id: str, universe: str) -> OpenOrder:
    try:
        return with_last_slice(connection, order_id)
    except AdviceError as fault:
        return unsound(order_id, universe, fault)


def _sound_states(connection: Connection, keys: Sequence[str]) -> Iterator[OrderState]:
    for order_id in keys:
        try:
            with sound(order_id):
                yield with_last_slice(connection, order_id).state()
        except AdviceError as fault:
            _LOG.error("%s", fault)


def _with_last(condition: ColumnElement[bool]) -> Any:
    """Orders, each beside the slice of its last bar."""
    other = SLICES.alias()
    last = select(func.max(other.c.bar)).where(other.c.order_id == ORDERS.c.id).correlate(ORDERS).scalar_subquery()
    joined = ORDERS.outerjoin(SLICES, and_(SLICES.c.order_id == ORDERS.c.id, SLICES.c.bar == last))
    return select(*ORDER_COLUMNS, *SLICE_COLUMNS).select_from(joined).where(condition)
