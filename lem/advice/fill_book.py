"""Writing fills: what one that is told changes of its slice and its order, in the caller's transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import Connection, and_, insert, select, update

from lem.advice.audit import filled, write_act
from lem.advice.fills import Fill, FillNews, newest, retold, total_id, with_fills
from lem.advice.order import OrderResult
from lem.advice.records import OrderRecord, SliceRecord
from lem.errors import OrderError, OrderStateError
from lem.registry.advice_tables import AdvisedFillRow, AdvisedOrderRow, AdvisedSliceRow

_ORDERS: Any = AdvisedOrderRow.__table__
_SLICES: Any = AdvisedSliceRow.__table__
_FILLS: Any = AdvisedFillRow.__table__
_FILL = tuple(field.name for field in fields(Fill))
_RESULT = tuple(field.name for field in fields(OrderResult))
MOST_AHEAD = dt.timedelta(minutes=1)
"""How far a venue's clock may be ahead of the desk's; more is another time zone, or milliseconds read as seconds."""
MOST_MOVE = 5.0
"""How far a fill's price may lie from the last close before its bar. A market that goes farther in a bar is much rarer
than a price in another unit, and its fill can be told without a price."""
FILL_COLUMNS = tuple(_FILLS.c[name] for name in _FILL)


def fills_of(connection: Connection, order_id: str) -> list[Fill]:
    """Everything that was told of an order's fills, corrections too."""
    query = select(*FILL_COLUMNS).where(_FILLS.c.order_id == order_id)
    query = query.order_by(_FILLS.c.told_at, _FILLS.c.fill_id, _FILLS.c.revision)
    return [Fill(*row) for row in connection.execute(query)]


def fill_of(
    order: OrderRecord, slices: Sequence[SliceRecord], there: Sequence[Fill], news: FillNews, now: dt.datetime
) -> Fill | None:
    """The fill that is to be written; None where it was told before.

    Args:
        order: whose fill it is.
        slices: of the order, in the order of their bars.
        there: what was told before.
        news: what is told.
        now: when (UTC).

    Raises:
        OrderStateError: the order is closed or has no slice, the id has another content and `news` is no correction,
            there is nothing to correct, or the bar's total was told.
        OrderError: the bar is none of the order's, the time is before its first or has not come yet, or the
            price is far from the market's.
    """
    _check_open(order, slices)
    own = [fill for fill in there if fill.fill_id == news.fill_id]
    if news.corrects and not own:
        raise OrderStateError(f"fill {news.fill_id} of order {order.id} is not known; allowed: to correct one that is")
    before = max(own, key=lambda fill: fill.revision) if own else None
    if news.bar is None and news.traded_at is None and before is not None:
        bar = before.bar
    else:
        bar = _bar_of(order, slices, news)
    revision = 1 if before is None else before.revision + 1
    told = (bar, news.amount, news.price, news.fee, news.traded_at)
    fill = Fill(order.id, news.fill_id, revision, *told, told_at=now)
    # A correction says what holds after all others; what does not correct may be any of them, on its way for longer.
    if any(fill.content == told.content for told in own if told is before or not news.corrects):
        return None
    if before is not None and not news.corrects:
        raise OrderStateError(
            f"fill {news.fill_id} of order {order.id} was told with other content (amount {before.amount:f}); allowed: "
            "the same again, or a correction that says so (corrects)"
        )
    if news.traded_at is not None and news.traded_at > now + MOST_AHEAD:
        raise OrderError(
            f"time {news.traded_at:%Y-%m-%dT%H:%M:%SZ} of fill {news.fill_id} has not come yet: it is "
            f"{now:%Y-%m-%dT%H:%M:%SZ}; allowed: at most {MOST_AHEAD.total_seconds():g} s ahead (UTC)"
        )
    _check_price(order, slices, news, bar)
    if any(other.is_total and other.bar == bar for other in newest(there)):
        raise OrderStateError(
            f"the total of the bar of {bar:%Y-%m-%dT%H:%M:%SZ} of order {order.id} was told; allowed: its total anew"
        )
    return fill


def total_of(
    order: OrderRecord, slices: Sequence[SliceRecord], there: Sequence[Fill], news: tuple[dt.datetime, Any], now: Any
) -> Fill | None:
    """The total of a bar, that is to be written; None where it was told before.

    Args:
        order: whose bar it is.
        slices: of the order, in the order of their bars.
        there: what was told before.
        news: the bar's open (UTC), and what was filled in it, in the order's unit.
        now: when it is told (UTC).

    Raises:
        OrderStateError: the order is closed or has no slice, or single fills of the bar were told.
        OrderError: the bar is none of the order's.
    """
    _check_open(order, slices)
    bar, amount = news
    _slice_of(order, slices, bar)
    if any(fill.bar == bar and not fill.is_total for fill in newest(there)):
        raise OrderStateError(
            f"single fills of the bar of {bar:%Y-%m-%dT%H:%M:%SZ} of order {order.id} were told; allowed: more "
            "of them, or corrections"
        )
    before = [fill for fill in there if fill.fill_id == total_id(bar)]
    if before and before[-1].amount == amount:
        return None
    return Fill(order.id, total_id(bar), len(before) + 1, bar, amount, None, None, None, now)


def write_fill(connection: Connection, order: OrderRecord, slices: Sequence[SliceRecord], fill: Fill) -> None:
    """Store a fill, and what follows from it for its slice and its order."""
    connection.execute(insert(_FILLS), {name: getattr(fill, name) for name in _FILL})
    told = newest(fills_of(connection, order.id))
    after = [with_fills(order, slice_, told) for slice_ in slices]
    for was, is_now in zip(slices, after, strict=True):
        if was != is_now:
            chosen = and_(_SLICES.c.order_id == order.id, _SLICES.c.bar == was.bar)
            names = ("filled", "filled_amount", "paid")
            connection.execute(update(_SLICES).where(chosen), {name: getattr(is_now, name) for name in names})
    changed = order_after(order, after)
    if changed != order:
        columns = {name: getattr(changed, name) for name in ("status", *_LATE)}
        result = changed.result
        columns |= {name: None if result is None else getattr(result, name) for name in _RESULT}
        connection.execute(update(_ORDERS).where(_ORDERS.c.id == order.id), columns)
    write_act(connection, order.universe, fill.told_at, [filled(fill, changed.status)])


_LATE = ("late_amount", "late_share", "late_units", "late_cash")


def order_after(order: OrderRecord, slices: Sequence[SliceRecord]) -> OrderRecord:
    """An order after its fills: what late ones change, and whether it has ended.

    One that was thought to have ended is live again where more is left than counted, and bars are left to trade it in.
    """
    now = retold(order, slices)
    late = {name: getattr(now, name) for name in _LATE}
    order = replace(order, **late)
    if order.status not in ("finished", "expired"):
        return order
    if now.result is None:
        return replace(order, status="live", result=None)
    return order.ended(now.result)


def _check_open(order: OrderRecord, slices: Sequence[SliceRecord]) -> None:
    if order.closed_at is not None:
        raise OrderStateError(
            f"order {order.id} is {order.status} and was closed on {order.closed_at:%Y-%m-%d %H:%M} UTC; allowed: "
            "fills of one that is not closed"
        )
    if not slices:
        raise OrderStateError(f"order {order.id} is {order.status} and has no slice; allowed: fills after its first")


def _check_price(order: OrderRecord, slices: Sequence[SliceRecord], news: FillNews, bar: dt.datetime) -> None:
    if news.price is None:
        return
    last_close = _slice_of(order, slices, bar).last_close
    if not last_close / MOST_MOVE <= float(news.price) <= last_close * MOST_MOVE:
        raise OrderError(
            f"price {news.price:f} of fill {news.fill_id}; allowed: a fifth of the last close before its bar, "
            f"{last_close:g}, to {MOST_MOVE:g} times it, or no price, which counts the fill at that of its bar"
        )


def _slice_of(order: OrderRecord, slices: Sequence[SliceRecord], bar: dt.datetime) -> SliceRecord:
    for slice_ in slices:
        if slice_.bar == bar:
            return slice_
    raise OrderError(
        f"bar {bar:%Y-%m-%dT%H:%M:%SZ} of order {order.id} has no slice; allowed: "
        f"{slices[0].bar:%Y-%m-%dT%H:%M:%SZ} to {slices[-1].bar:%Y-%m-%dT%H:%M:%SZ}, bars of its slices"
    )


def _bar_of(order: OrderRecord, slices: Sequence[SliceRecord], news: FillNews) -> dt.datetime:
    if news.bar is not None:
        return _slice_of(order, slices, news.bar).bar
    if news.traded_at is None:
        return slices[-1].bar
    begun = [slice_.bar for slice_ in slices if slice_.bar <= news.traded_at]
    if not begun:
        raise OrderError(
            f"time {news.traded_at:%Y-%m-%dT%H:%M:%SZ} of fill {news.fill_id} lies before the order's first bar; "
            f"allowed: {slices[0].bar:%Y-%m-%dT%H:%M:%SZ} or later"
        )
    return begun[-1]
