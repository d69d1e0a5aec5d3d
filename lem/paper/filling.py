"""How a slice is filled in its bar: a pure function of the slice, the bar and the venue's behaviour.

Nothing but the bar in which the slice trades is known here: its volume bounds what is filled, and its prices are paid.
A slice that came when part of the bar was over gets that much less of the volume, and trades in the rest of the bar.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from hashlib import sha256
from itertools import pairwise

from lem.advice.amounts import ZERO, as_told, down_to, minus, plus, up_to
from lem.advice.venue_rules import VenueRules
from lem.execution.orders import Side
from lem.paper.behaviour import Behaviour

_DIGITS = 15
"""A number of so many digits is the same in JSON and in a float."""
_FLOAT = Context(prec=_DIGITS, rounding=ROUND_DOWN)
_EXACT, _NEARLY = Context(prec=60), Context(prec=40)


@dataclass(frozen=True)
class Child:
    """A slice as the venue works it, to the end of its bar.

    Args:
        order_id: of the parent order.
        asset: canonical name.
        side: buy or sell.
        target: what is fixed, and the unit of amounts: quantity or notional.
        bar: open of its bar (UTC).
        bar_end: close of its bar (UTC).
        accepted_at: when the venue took it (UTC).
        amount: to trade.
        size: of the parent order.
        mode: what counts as filled at the desk while nothing was told.
        limit_price: worst price, in quote currency; None for any.
        rules: what the venue takes.
    """

    order_id: str
    asset: str
    side: str
    target: str
    bar: dt.datetime
    bar_end: dt.datetime
    accepted_at: dt.datetime
    amount: Decimal
    size: Decimal
    mode: str
    limit_price: Decimal | None
    rules: VenueRules


@dataclass(frozen=True)
class TradedBar:
    """A closed bar of a market.

    Args:
        high: highest price, in quote currency.
        low: lowest price, likewise.
        vwap: volume-weighted price, likewise.
        volume: in base currency; 0 where nobody traded.
    """

    high: float
    low: float
    vwap: float
    volume: float


@dataclass(frozen=True)
class VenueFill:
    """A trade of a slice.

    Args:
        fill_id: the venue's id: the same for the same order, bar and place, whenever it is made.
        amount: in the unit of the order.
        price: in quote currency.
        fee: likewise, below 0 for a rebate.
        traded_at: when (UTC).
    """

    fill_id: str
    amount: Decimal
    price: Decimal
    fee: Decimal
    traded_at: dt.datetime


def step_of(child: Child, lot: Decimal | None = None) -> Decimal:
    """What amounts of fills are multiples of, in the unit of the order.

    Without a lot it is the last digit of the order's size, and no more than a millionth of it.

    Args:
        child: the slice.
        lot: in place of the order's own.
    """
    lot = lot or child.rules.lot
    if lot is not None and child.target == "quantity":
        return lot
    size = child.size.normalize()
    exponent = min(int(size.as_tuple().exponent), size.adjusted() - 6)
    return Decimal(1).scaleb(exponent)


def fill_child(child: Child, bar: TradedBar, behaviour: Behaviour) -> list[VenueFill]:
    """The fills of a slice in its bar, in the order of their times; none where nobody traded or it was refused.

    Args:
        child: the slice.
        bar: in which it trades.
        behaviour: of the venue.
    """
    chance = behaviour.chance("fill", child.order_id, child.bar.isoformat())
    begin = max(child.bar, child.accepted_at)
    there = (child.bar_end - begin) / (child.bar_end - child.bar)
    step = step_of(child, behaviour.lot)
    wish = down_to(child.amount, step)
    if bar.volume <= 0 or there <= 0 or wish <= ZERO or wish < child.rules.least(child.target, as_told(bar.vwap)):
        return []
    if chance.random() < behaviour.partial:
        wish = down_to(_share(wish, chance.random()), step)
    count = chance.randint(1, behaviour.parts)
    times = sorted(begin + (child.bar_end - begin) * chance.random() * 0.999 for _ in range(count))
    volume = as_told(bar.volume * behaviour.participation * there)
    fills: list[VenueFill] = []
    for number, (traded_at, most) in enumerate(zip(times, _parts(wish, count, step, chance), strict=True), 1):
        price = _price(child, bar, behaviour, chance)
        if price <= ZERO or _is_beyond(child, price):
            continue
        amount = _filled(child, min(_units(child, most, price), volume), price, step, behaviour.lot)
        if amount <= ZERO:
            continue
        units = _units(child, amount, price)
        volume = max(minus(volume, units), ZERO)
        paid = amount if child.target == "notional" else _EXACT.multiply(amount, price)
        fee = _rounded(_EXACT.multiply(paid, as_told(behaviour.fee_bps / 1e4)))
        fills.append(VenueFill(_fill_id(child, number), amount, price, fee, _whole_ms(traded_at)))
    return fills


def _parts(wish: Decimal, count: int, step: Decimal, chance: random.Random) -> Iterator[Decimal]:
    """A wish in parts, each a multiple of the step; they sum to it."""
    cuts = [ZERO, *(down_to(_share(wish, at), step) for at in sorted(chance.random() for _ in range(count - 1))), wish]
    return (minus(after, before) for before, after in pairwise(cuts))


def _share(amount: Decimal, share: float) -> Decimal:
    return _EXACT.multiply(amount, as_told(share))


def _units(child: Child, amount: Decimal, price: Decimal) -> Decimal:
    """An amount in base currency."""
    return _EXACT.divide(amount, price) if child.target == "notional" else amount


def _filled(child: Child, units: Decimal, price: Decimal, step: Decimal, lot: Decimal | None) -> Decimal:
    """The amount of a fill in the unit of the order, in digits that JSON does not change.

    A fill of a notional is a multiple of the lot in base currency, and of the step where there is no lot.
    """
    if child.target == "notional":
        lot = lot or child.rules.lot
        worth = _EXACT.multiply(down_to(units, lot), price)
        # What a division left of the last digits is no amount of its own.
        return _FLOAT.plus(worth if lot is not None else down_to(_NEARLY.plus(worth), step))
    return _FLOAT.plus(down_to(units, step))


def _price(child: Child, bar: TradedBar, behaviour: Behaviour, chance: random.Random) -> Decimal:
    """A price around the bar's, as far as its range is even on both sides, and half of the spread worse."""
    room = max(0.0, min(bar.high - bar.vwap, bar.vwap - bar.low))
    worse = Side(child.side).sign * behaviour.half_spread_bps / 1e4
    price = as_told((bar.vwap + room * (2.0 * chance.random() - 1.0)) * (1.0 + worse))
    up, tick = child.side == "buy", child.rules.tick
    if tick is not None:
        return up_to(price, tick) if up else down_to(price, tick)
    return Context(prec=10, rounding=ROUND_CEILING if up else ROUND_FLOOR).plus(price)


def _is_beyond(child: Child, price: Decimal) -> bool:
    if child.limit_price is None:
        return False
    return price > child.limit_price if child.side == "buy" else price < child.limit_price


def _rounded(amount: Decimal) -> Decimal:
    rounded = amount.quantize(Decimal("1e-8"), rounding=ROUND_HALF_EVEN)
    return plus(Context(prec=_DIGITS, rounding=ROUND_HALF_EVEN).plus(rounded), ZERO).normalize()


def _fill_id(child: Child, number: int) -> str:
    return f"{child.bar:%Y%m%dT%H%M}-{sha256(child.order_id.encode()).hexdigest()[:10]}-{number}"


def _whole_ms(time: dt.datetime) -> dt.datetime:
    return time.replace(microsecond=time.microsecond // 1000 * 1000)
