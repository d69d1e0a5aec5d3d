"""Which orders a list has: filters, and pages that new orders do not move."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from lem.advice.order import OrderState, Status
from lem.errors import OrderError
from lem.registry.advice_tables import AdvisedOrderRow

_ORDERS: Any = AdvisedOrderRow.__table__
NEWEST_FIRST = (_ORDERS.c.created_at.desc(), _ORDERS.c.id)


@dataclass(frozen=True)
class Listing:
    """Which orders are wanted, the newest first.

    Args:
        statuses: only orders in these; None for all.
        assets: only orders of these; None for all.
        since: only orders that were taken on at or after it (UTC).
        cursor: id of the last order of the page before; None from the newest on.
        limit: of orders; None for all.
    """

    statuses: Sequence[Status] | None = None
    assets: Sequence[str] | None = None
    since: dt.datetime | None = None
    cursor: str | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Page:
    """Orders of a list.

    Args:
        states: of the orders; those that cannot be read are left out.
        cursor: of the next page; None where there is none.
    """

    states: list[OrderState]
    cursor: str | None


def keys_of(connection: Connection, universe: str, wanted: Listing) -> tuple[list[str], str | None]:
    """Ids of the orders of a page, and the cursor of the next one.

    Args:
        connection: in a transaction.
        universe: of the orders.
        wanted: which of them.

    Raises:
        OrderError: the cursor is no order of the universe.
    """
    query = select(_ORDERS.c.id).where(_ORDERS.c.universe == universe)
    if wanted.statuses is not None:
        query = query.where(_ORDERS.c.status.in_(wanted.statuses))
    if wanted.assets is not None:
        query = query.where(_ORDERS.c.asset.in_(wanted.assets))
    if wanted.since is not None:
        query = query.where(_ORDERS.c.created_at >= wanted.since)
    if wanted.cursor is not None:
        chosen = and_(_ORDERS.c.universe == universe, _ORDERS.c.id == wanted.cursor)
        at = connection.execute(select(_ORDERS.c.created_at).where(chosen)).scalar_one_or_none()
        if at is None:
            raise OrderError(f"cursor {wanted.cursor[:80]!a}; allowed: the id of an order of {universe}")
        same = and_(_ORDERS.c.created_at == at, _ORDERS.c.id > wanted.cursor)
        query = query.where(or_(_ORDERS.c.created_at < at, same))
    limit = None if wanted.limit is None else wanted.limit + 1
    keys = list(connection.execute(query.order_by(*NEWEST_FIRST).limit(limit)).scalars())
    if limit is None or len(keys) < limit:
        return keys, None
    return keys[:-1], keys[-2]
