"""A plain pace while bars are missing, for orders that ask for it: what is left, spread evenly up to the last bar.

Such a slice knows no bar after the last one that was there. Its ledger is an estimate, at the last known close, until
the bars come back: then those of the gap are settled with what was filled in them, and the model goes on from there.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from lem.advice.amounts import ZERO
from lem.advice.clock import Moment
from lem.advice.exact import exact
from lem.advice.fills import retold
from lem.advice.records import LedgerRecord, OpenOrder, SliceRecord
from lem.errors import AdviceError
from lem.execution.costs_config import CostsConfig

FALLBACK = "fallback"
"""The reason of such a slice."""
PATIENCE = 0.1
"""Share of a bar that has to pass before bars count as missing: venues publish a bar some time after its end."""


def fallback_slice(order: OpenOrder, at: Moment, elapsed: int, problem: str, costs: CostsConfig) -> SliceRecord:
    """The slice of the bar that is next, without the bars before it.

    Args:
        order: that has begun.
        at: the bar that is next.
        elapsed: bars that opened after that of its last slice, this one among them.
        problem: why there are no bars.
        costs: participation cap of the universe.

    Raises:
        AdviceError: it is too early, or nothing can be traded at a plain pace.
    """
    last, ledger = order.last, order.ledger()
    if last is None or ledger is None:
        raise AdviceError(f"{problem}; order {order.id} has not begun: its plain pace begins after its first slice")
    begins = at.bar + PATIENCE * (at.bar_end - at.bar)
    if at.now < begins:
        raise AdviceError(f"{problem}; order {order.id} goes on at a plain pace from {begins:%H:%M:%S} UTC on")
    number = last.bars_done + 1 + elapsed
    if number > order.max_bars:
        raise AdviceError(f"{problem}; order {order.id}: its bars are over, and it ends when they are there")
    if order.left() <= ZERO:
        raise AdviceError(f"{problem}; order {order.id}: nothing is left of it, and it ends when they are there")
    arrival = order.arrived()
    share, price = min(last.traded(order), ledger.remaining), (last.paid or last.last_close) / arrival.arrival_price
    units, cash = (share / price, share) if order.target == "notional" else (share, share * price)
    remaining = ledger.remaining - share
    bar = arrival.mean_volume * (arrival.arrival_price if order.target == "notional" else 1.0)
    cap = min(order.max_rate, costs.participation_cap * bar / order.size)
    pace = max(remaining / (order.max_bars + 1 - number), min(order.min_rate, remaining))
    record = SliceRecord(
        bars_done=number - 1,
        remaining=remaining,
        units=ledger.units + units,
        cash=ledger.cash + cash,
        weight=ledger.weight,
        weighted=ledger.weighted,
        order_id=order.id,
        bar=at.bar,
        as_of=last.as_of,
        advised_at=at.now,
        share=min(pace, cap),
        finish=number == order.max_bars,
        reason=FALLBACK,
        probability=0.0,
        last_close=last.last_close,
        filled=None,
        size=order.size,
    )
    return replace(exact(order, record, cap), reason=FALLBACK)


def with_gap(order: OpenOrder, slices: list[SliceRecord]) -> OpenOrder:
    """An order whose last slices were at a plain pace, with these and as it was before them.

    Args:
        order: as it is.
        slices: all of them, in the order of their bars.
    """
    place = max(n for n, one in enumerate(slices) if one.reason != FALLBACK)
    known = retold(order, slices[: place + 1])
    late = {name: getattr(known, name) for name in ("late_amount", "late_share", "late_units", "late_cash")}
    before = replace(order, **late, last=slices[place])
    return replace(order, before_gap=before, gap=tuple(slices[place + 1 :]))


def in_gap(order: OpenOrder, bar: dt.datetime) -> SliceRecord | None:
    """The slice at a plain pace that an order had for a bar."""
    return next((one for one in order.gap if one.bar == bar), None)


def relaid(one: SliceRecord, ledger: LedgerRecord) -> SliceRecord:
    """A slice with the ledger before its bar as it is known by now."""
    names = ("bars_done", "remaining", "units", "cash", "weight", "weighted")
    return replace(one, **{name: getattr(ledger, name) for name in names})
