"""Writing a bar: the slices that were decided, the orders that begin and those that end, in a caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, insert, update

from lem.advice.amounts import ZERO
from lem.advice.order_rows import ARRIVAL, ORDERS, RESULT, SLICE, SLICES, columns
from lem.advice.records import Decided, OpenOrder

_NOTHING_LATE = {"late_amount": ZERO, "late_share": 0.0, "late_units": 0.0, "late_cash": 0.0}


def write_bar(connection: Connection, booked: Sequence[OpenOrder], decided: Decided) -> None:
    """Store what was decided.

    Args:
        connection: of the caller's transaction.
        booked: the open orders that it was decided on.
        decided: what is to be written.
    """
    if decided.slices:
        connection.execute(insert(SLICES), [columns(record, SLICE) for record in decided.slices])
    # Orders that change in the same way are one statement.
    begun = [{"_id": key, "status": "live", **columns(arrival, ARRIVAL)} for key, arrival in decided.begun.items()]
    ended = [{"_id": key, "status": end.status, **columns(end, RESULT)} for key, end in decided.ended.items()]
    # A new slice has what late fills changed in its own ledger.
    sliced = {record.order_id for record in decided.slices}
    late = [{"_id": order.id, **_NOTHING_LATE} for order in booked if order.is_late and order.id in sliced]
    for rows in (late, begun, ended):
        if rows:
            connection.execute(update(ORDERS).where(ORDERS.c.id == bindparam("_id")), rows)
