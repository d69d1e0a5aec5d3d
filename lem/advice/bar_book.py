"""Writing a bar: the slices that were decided, the orders that begin and those that end, in a caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter

from sqlalchemy import Connection, bindparam, update

from lem.advice.decided import Decided
from lem.advice.order_rows import ARRIVAL, LEDGER, ORDERS, RESULT, SLICE, SLICES, columns
from lem.advice.records import NOTHING_LATE, OpenOrder
from lem.registry.many import insert_many

_ROW = attrgetter(*SLICE)


def write_bar(connection: Connection, booked: Mapping[str, OpenOrder], decided: Decided) -> list[OpenOrder]:
    """Store what was decided. Returns the orders that it changes, as they are after it.

    Args:
        connection: of the caller's transaction.
        booked: the open orders that it was decided on, by id.
        decided: what is to be written.
    """
    insert_many(connection, SLICES, dict(zip(SLICE, zip(*map(_ROW, decided.slices), strict=True), strict=False)))
    # A new slice has what late fills changed in its own ledger. The last one of an order is that of its last bar.
    last = {one.order_id: one for one in decided.slices}
    for one in decided.relaid:
        own = (SLICES.c.order_id == one.order_id) & (SLICES.c.bar == one.bar)
        connection.execute(update(SLICES).where(own).values(**columns(one, LEDGER)))
    # Orders that change in the same way are one statement.
    late = [{"_id": key, **NOTHING_LATE} for key in last if booked[key].is_late]
    begun = [{"_id": key, "status": "live", **columns(arrival, ARRIVAL)} for key, arrival in decided.begun.items()]
    ended = [{"_id": key, "status": end.status, **columns(end, RESULT)} for key, end in decided.ended.items()]
    for rows in (late, begun, ended):
        if rows:
            connection.execute(update(ORDERS).where(ORDERS.c.id == bindparam("_id")), rows)
    after = {key: booked[key].sliced(one, decided.begun.get(key)) for key, one in last.items()}
    after |= {key: after.get(key, booked[key]).ended(result) for key, result in decided.ended.items()}
    return list(after.values())
