"""A slice as the venue takes it, in decimals."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from lem.advice.amounts import ZERO, as_told, minus, plus, worked_out
from lem.advice.records import OpenOrder, SliceRecord
from lem.advice.venue_rules import NO_RULES, tradable


def is_free(order: OpenOrder) -> bool:
    """Whether an order trades whatever is asked for: nothing is rounded or held back."""
    return order.limit_price is None and (order.rules is NO_RULES or not order.rules.binds)


def wished(order: OpenOrder, share: float, remaining: float) -> tuple[Decimal, Decimal]:
    """What a share of an order is in decimals, and what is left before it.

    Args:
        order: of the slice.
        share: of the order, asked for.
        remaining: share of it that is left.
    """
    left = max(order.left(), ZERO)
    return (left if share >= remaining else min(worked_out(share * order.size), left)), left


def exact(order: OpenOrder, record: SliceRecord, cap: float) -> SliceRecord:
    """The slice in decimals, as the venue takes it; its share stays what it is where nothing has to be changed.

    Args:
        order: of the slice.
        record: what was decided.
        cap: largest share of the order in a bar.
    """
    rules, target = order.rules, order.target
    beyond = order.limit_price is not None and _beyond(order, record.last_close)
    wish, left = wished(order, record.share, record.remaining)
    if not rules.binds and not beyond:
        return record.exactly(wish, left, ZERO)
    before = order.last.carry if order.last is not None else None
    wish = min(plus(wish, before or ZERO), left)
    after = order.max_bars - record.bars_done - 1
    amount = ZERO
    if not beyond:
        price, most = as_told(record.last_close), worked_out(cap * order.size)
        amount = tradable(rules, target, price, wish, left, most, after, record.finish)
    reason = record.reason
    if beyond:
        reason = "limit"
    elif amount == ZERO < wish:
        reason = "too_small"
    return replace(
        record,
        share=record.share if amount == worked_out(record.share * order.size) else float(amount) / order.size,
        finish=after == 0 or (amount == left and record.bars_done + 1 >= order.min_bars),
        reason=reason,
        amount=amount,
        left_before=left,
        carry=max(minus(wish, amount), ZERO),
    )


def _beyond(order: OpenOrder, last_close: float) -> bool:
    """Whether the last close is worse than the order's limit price."""
    assert order.limit_price is not None
    limit = float(order.limit_price)
    return last_close > limit if order.side == "buy" else last_close < limit
