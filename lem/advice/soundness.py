"""Whether what the database has of an order can be what was written: rows may be changed by hand, or be damaged.

A number that is believed is traded. So each row is checked as it is read, and an order at fault is named and gets no
advice, while all others go on.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from contextlib import contextmanager

from lem.advice.order import STATUSES, scenario
from lem.advice.records import OpenOrder, OrderRecord, SliceRecord
from lem.errors import AdviceError, OrderError
from lem.execution.orders import TOLERANCE

_MOST = 1.0 + TOLERANCE
_HUGE = 1e300
_ABOVE_ZERO = math.ulp(0.0)
_ORDER = {
    "size": (_ABOVE_ZERO, _HUGE),
    "min_bars": (1, 10_000),
    "max_bars": (1, 10_000),
    "min_rate": (0, 1),
    "max_rate": (0, 1),
    "risk_aversion": (0, _HUGE),
    "amended": (0, _HUGE),
}
_ARRIVAL = {"sigma": (0, _HUGE), "arrival_price": (_ABOVE_ZERO, _HUGE), "mean_volume": (0, _HUGE)}
_SLICE = {
    "remaining": (0, _MOST),
    "share": (0, _MOST),
    "units": (0, _HUGE),
    "cash": (0, _HUGE),
    "weight": (0, _HUGE),
    "weighted": (0, _HUGE),
    "filled": (0, _HUGE),
    "probability": (0, 1),
    "last_close": (_ABOVE_ZERO, _HUGE),
    "size": (_ABOVE_ZERO, _HUGE),
}
_FAR = dt.datetime.max.replace(tzinfo=dt.UTC)
UNREADABLE = (ValueError, TypeError, ArithmeticError, AttributeError)
"""What is raised where a column holds something of another type."""


@contextmanager
def sound(order_id: str) -> Iterator[None]:
    """Name the order whose rows cannot be read.

    Raises:
        AdviceError: the block met a value of another type, or terms that are not allowed.
    """
    try:
        yield
    except (*UNREADABLE, OrderError) as error:
        raise AdviceError(_fault(order_id, f"its row cannot be read: {error}")) from error


def check_order(order: OrderRecord) -> None:
    """Do nothing where the row of an order is sound.

    Raises:
        AdviceError: names the order and the column.
    """
    for name, (least, most) in _ORDER.items():
        value = getattr(order, name)
        if not (isinstance(value, int | float) and least <= value <= most):
            raise AdviceError(_fault(order.id, f"its {name} is {_told(value)}; allowed: {_limits(least, most)}"))
    if not (order.status in STATUSES and order.start.utcoffset() is not None and isinstance(order.asset, str)):
        raise AdviceError(_fault(order.id, f"its status is {_told(order.status)}; allowed: {', '.join(STATUSES)}"))
    with sound(order.id):
        scenario(order.side, order.benchmark, order.target)
    arrival = order.arrival
    for name, (least, most) in _ARRIVAL.items() if arrival is not None else ():
        value = getattr(arrival, name)
        if not (isinstance(value, int | float) and least <= value <= most):
            raise AdviceError(_fault(order.id, f"its {name} is {_told(value)}; allowed: {_limits(least, most)}"))


def check_slice(order: OrderRecord, one: SliceRecord) -> None:
    """Do nothing where the row of a slice is sound.

    Raises:
        AdviceError: names the order, its bar and the column.
    """
    # One expression for all that are sound: thousands are read every bar.
    try:
        if (
            0.0 <= one.remaining <= _MOST
            and 0.0 <= one.share <= _MOST
            and 0 <= one.bars_done < order.max_bars
            and isinstance(one.bars_done, int)
            and 0.0 <= one.units < _HUGE
            and 0.0 <= one.cash < _HUGE
            and 0.0 <= one.weight < _HUGE
            and 0.0 <= one.weighted < _HUGE
            and 0.0 <= one.probability <= 1.0
            and 0.0 < one.last_close < _HUGE
            and (one.filled is None or 0.0 <= one.filled < _HUGE)
            and (one.size is None or 0.0 < one.size < _HUGE)
            and order.arrival is not None
            and one.bar.utcoffset() is not None
            and one.as_of.utcoffset() is not None
            and one.advised_at.utcoffset() is not None
        ):
            return
    except UNREADABLE:
        pass
    raise AdviceError(_fault(order.id, f"its slice of the bar {_shown(one.bar)} has {_wrong(order, one)}"))


def unsound(order_id: str, universe: str, fault: AdviceError) -> OpenOrder:
    """A stand-in for an open order that cannot be read: its time never comes, and it says why."""
    words = ("", "buy", "vwap", "quantity")
    return OpenOrder(order_id, universe, *words, math.inf, 1, 1, 0.0, 1.0, 0.0, _FAR, _FAR, "waiting", fault=str(fault))


def _wrong(order: OrderRecord, one: SliceRecord) -> str:
    for name, (least, most) in {**_SLICE, "bars_done": (0, order.max_bars - 1)}.items():
        value = getattr(one, name)
        if value is None and name in ("filled", "size"):
            continue
        if not (isinstance(value, int | float) and least <= value <= most):
            return f"{name} {_told(value)}; allowed: {_limits(least, most)}"
    if order.arrival is None:
        return "no arrival beside it; allowed: what the order measures itself by"
    return "a time that is none"


def _shown(time: object) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}" if isinstance(time, dt.datetime) else ascii(time)[:80]


def _told(value: object) -> str:
    return repr(value) if isinstance(value, int | float) else ascii(value)[:80]


def _limits(least: float, most: float) -> str:
    bottom = "more than 0" if least == _ABOVE_ZERO else f"{least:g} or more"
    return bottom if most >= _HUGE else f"{least:g} to {most:g}"


def _fault(order_id: str, words: str) -> str:
    return (
        f"order {order_id}: the database has what was never written: {words}; no advice on it: restore the registry's "
        "database from a backup"
    )
