"""The life of an order at the desk's word: pause, resume, cancel, close. What each needs, and what it changes."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from lem.advice.audit import Told, changed
from lem.advice.order import OPEN
from lem.advice.records import OpenOrder
from lem.errors import OrderStateError


@dataclass(frozen=True)
class Change:
    """What is to be written of an order.

    Args:
        told: for the audit log.
        columns: of the order's row, with their new values.
    """

    told: Told
    columns: dict[str, Any] = field(default_factory=dict)


def cancel(order: OpenOrder, now: dt.datetime) -> Change | None:
    """Cancel an open order; a cancelled one stays so.

    Args:
        order: as it is stored.
        now: when (UTC).

    Raises:
        OrderStateError: it has ended.
    """
    if order.status == "cancelled":
        return None
    _check_open(order, "cancel")
    return Change(changed(order.id, "cancelled"), {"status": "cancelled"})


def pause(order: OpenOrder, now: dt.datetime) -> Change | None:
    """Pause an open order; one that is paused stays so since when it was.

    Args:
        order: as it is stored.
        now: when (UTC).

    Raises:
        OrderStateError: it has ended.
    """
    _check_open(order, "pause or resume")
    return None if order.paused_at else Change(changed(order.id, "paused"), {"paused_at": now})


def resume(order: OpenOrder, now: dt.datetime) -> Change | None:
    """Go on with an open order. Args and raises as `pause`."""
    _check_open(order, "pause or resume")
    return Change(changed(order.id, "resumed"), {"paused_at": None}) if order.paused_at else None


def close(order: OpenOrder, now: dt.datetime) -> Change | None:
    """Close an order that has ended: no fill of it is taken any more; a closed one stays so.

    Args:
        order: as it is stored.
        now: when (UTC).

    Raises:
        OrderStateError: it is open.
    """
    if order.status in OPEN:
        raise OrderStateError(
            f"order {order.id} is {order.status}; allowed: to close one that has ended; cancel it first"
        )
    return None if order.closed_at else Change(changed(order.id, "closed"), {"closed_at": now})


def _check_open(order: OpenOrder, what: str) -> None:
    if order.status not in OPEN:
        raise OrderStateError(f"order {order.id} is {order.status}; allowed: to {what} one that is open")
