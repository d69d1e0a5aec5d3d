"""Amending an order: which of its terms may change, and what may not become of it.

Size, end, limits and urgency may change while an order is open; asset, side, benchmark, target, start and mode are what
it is, and stay. What is left is planned anew from the next bar; slices that were advised stand.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any

from lem.advice.amounts import ZERO, as_told, minus, plus
from lem.advice.audit import changed
from lem.advice.clock import Moment, bars_between
from lem.advice.life import Change
from lem.advice.order import OPEN
from lem.advice.records import OpenOrder
from lem.errors import OrderError, OrderStateError
from lem.execution.orders import TOLERANCE
from lem.universe import Universe


@dataclass(frozen=True)
class Amendment:
    """New terms of an order; None leaves one as it is.

    Args:
        size: as `lem.advice.order.ParentOrder.size`.
        min_bars: as `lem.execution.orders.Order.min_bars`, counted from the order's first bar.
        max_bars: likewise.
        min_rate: as in `Order`.
        max_rate: likewise.
        risk_aversion: likewise; how urgent it is: more weight on risk trades faster.
        limit_price: as in `ParentOrder`.
        no_limit: it may trade at any price from here on.

    Raises:
        OrderError: there is nothing to change, or a limit price and none at the same time.
    """

    size: float | None = None
    min_bars: int | None = None
    max_bars: int | None = None
    min_rate: float | None = None
    max_rate: float | None = None
    risk_aversion: float | None = None
    limit_price: Decimal | None = None
    no_limit: bool = False

    def __post_init__(self) -> None:
        if not self.terms() and not self.no_limit:
            raise OrderError(f"nothing to amend; allowed: one or more of {', '.join(AMENDABLE)}")
        if self.no_limit and self.limit_price is not None:
            raise OrderError("a limit_price, and none at the same time; allowed: one of the two")

    def terms(self) -> dict[str, Any]:
        """The new terms that were named."""
        found = {name: getattr(self, name) for name in AMENDABLE}
        return {name: value for name, value in found.items() if value is not None}


BOUNDS = ("min_bars", "max_bars", "min_rate", "max_rate")
AMENDABLE = tuple(field.name for field in fields(Amendment) if field.name != "no_limit")


def amend(order: OpenOrder, now: dt.datetime, wanted: Amendment, universe: Universe, at: Moment) -> Change | None:
    """What an amendment changes; None where the order has these terms already.

    Args:
        order: as it is stored.
        now: when (UTC).
        wanted: the new terms.
        universe: of the order.
        at: the bar that is next.

    Raises:
        OrderStateError: it has ended, or may have.
        OrderError: names the term, its value and what is allowed.
    """
    if order.status not in OPEN:
        raise OrderStateError(f"order {order.id} is {order.status}; allowed: to amend one that is open")
    terms = wanted.terms() | ({"limit_price": None} if wanted.no_limit else {})
    columns = {name: value for name, value in terms.items() if value != getattr(order, name)}
    if not columns:
        return None
    new = replace(order, **columns)
    new.state()  # raises where the terms contradict each other, or the venue does not take them
    _check_end(order, new, universe, at)
    _check_size(order, new)
    if new.size > order.size or new.max_bars < order.max_bars or new.max_rate < order.max_rate:
        _check_cap(order, new, universe, at)
    was = {name: _told(name, getattr(order, name)) for name in columns}
    facts = {name: _told(name, value) for name, value in columns.items()}
    columns["amended"] = order.amended + 1
    if new.size != order.size:
        scale = order.size / new.size
        columns |= {name: getattr(order, name) * scale for name in ("late_share", "late_units", "late_cash")}
    return Change(changed(order.id, "amended", **facts, was=was), columns)


def _told(name: str, value: Any) -> Any:
    value = as_told(value) if name == "size" else value
    return f"{value:f}" if isinstance(value, Decimal) else value


def _check_end(order: OpenOrder, new: OpenOrder, universe: Universe, at: Moment) -> None:
    if new.max_bars > universe.horizon:
        raise OrderError(
            f"max_bars {new.max_bars}; allowed: at most {universe.horizon}, the horizon that models of {universe.name} "
            "are trained for"
        )
    number = _next_number(order, universe, at)
    if order.last is not None and order.last.bar < at.bar and number > order.max_bars:
        raise OrderStateError(
            f"order {order.id}: its last bar may be over; allowed: to amend one that goes on; ask for its advice "
            "first, which ends it where it is over"
        )
    if new.max_bars < min(number, order.max_bars):
        raise OrderError(
            f"max_bars {new.max_bars}; allowed: {number} or more, the bar of the order that is decided next; to end it "
            "now, cancel it"
        )


def _next_number(order: OpenOrder, universe: Universe, at: Moment) -> int:
    """Which of its bars, from 1 on, an order is decided for next."""
    if order.last is None:
        return 1
    # A bar without trades does not count, which is known only when it is settled.
    return order.last.bars_done + 1 + max(bars_between(universe, order.last.bar, at.bar), 1)


def _check_size(order: OpenOrder, new: OpenOrder) -> None:
    filled, left = minus(order.exact_size, order.left()), _left(order, new)
    if left < ZERO:
        raise OrderError(f"size {new.exact_size:f}; allowed: {filled:f} or more, what counts as filled already")
    least = ZERO if order.last is None else order.rules.least(order.target, as_told(order.last.last_close))
    if new.size != order.size and ZERO < left < least:
        raise OrderError(
            f"size {new.exact_size:f} leaves {left:f} to trade; allowed: to leave nothing, or {least:f} or more, the "
            "venue's least"
        )


def _check_cap(order: OpenOrder, new: OpenOrder, universe: Universe, at: Moment) -> None:
    """Refuse what the bars that are left cannot trade; of an order that has not begun, its first bar tells."""
    last, arrival = order.last, order.arrival
    if last is None or arrival is None:
        return
    bar = arrival.mean_volume * (arrival.arrival_price if order.target == "notional" else 1.0)
    most = min(new.max_rate * new.size, universe.costs.participation_cap * bar)
    bars = new.max_bars + 1 - _next_number(order, universe, at)
    left = float(_left(order, new))
    if last.bar >= at.bar and last.filled_amount is None and order.mode == "confirm":
        left -= float(last.advised(order))
    if left > most * bars * (1.0 + TOLERANCE):
        raise OrderError(
            f"{left:.6g} would be left for {bars} more bars, which trade at most {most * bars:.6g} (max_rate, and the "
            f"participation_cap of {universe.costs.participation_cap:g} mean bar volumes); allowed: a smaller size, or "
            "more bars"
        )


def _left(order: OpenOrder, new: OpenOrder) -> Decimal:
    return plus(order.left(), minus(new.exact_size, order.exact_size))
