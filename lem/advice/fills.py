"""Fills as a desk tells them, and what they make of an order: exact sums, and the ledger as it would have been.

A fill belongs to the bar of a slice. Where a bar has fills, they count in place of what was advised; fills without a
price count at the average price of those that have one, else at the bar's volume-weighted price.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from lem.advice.amounts import ZERO, minus, plus, told_number, total
from lem.advice.order import OrderResult
from lem.advice.records import LedgerRecord, OrderRecord, SliceRecord
from lem.errors import OrderError
from lem.execution.orders import TOLERANCE, Side

FILL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:/+-]{0,63}$"


@dataclass(frozen=True, slots=True)
class Fill:
    """What was told of one fill.

    Args:
        order_id: of the order.
        fill_id: the venue's own id of it.
        revision: 1 as it was first told; a correction is one higher.
        bar: open of the bar of the slice that it belongs to (UTC).
        amount: in the order's unit; 0 of one that was broken.
        price: in quote currency; None where it was not told.
        fee: in quote currency, below 0 for a rebate; None where it was not told.
        traded_at: when it traded (UTC); None where it was not told.
        told_at: when it was told (UTC).
    """

    order_id: str
    fill_id: str
    revision: int
    bar: dt.datetime
    amount: Decimal
    price: Decimal | None
    fee: Decimal | None
    traded_at: dt.datetime | None
    told_at: dt.datetime

    @property
    def is_total(self) -> bool:
        """Whether it is the total of a bar, in place of single fills."""
        return self.fill_id.startswith("total@")

    @property
    def content(self) -> tuple[object, ...]:
        """What must be the same where the same fill is told again."""
        return self.bar, self.amount, self.price, self.fee, self.traded_at


@dataclass(frozen=True)
class FillNews:
    """A fill as a desk tells it, checked. The bar is that of a slice; left out, the time says which.

    Args:
        fill_id: the venue's own id of it.
        amount: in the order's unit.
        price: in quote currency.
        fee: in quote currency; below 0 for a rebate.
        traded_at: when it traded (UTC).
        bar: open of the bar that it belongs to (UTC).
        corrects: it replaces what was told under the id.

    Raises:
        OrderError: names the field, its value and what is allowed.
    """

    fill_id: str
    amount: Decimal
    price: Decimal | None = None
    fee: Decimal | None = None
    traded_at: dt.datetime | None = None
    bar: dt.datetime | None = None
    corrects: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(FILL_PATTERN, self.fill_id, re.ASCII):
            raise OrderError(
                f"fill id {self.fill_id[:80]!a}; allowed: 1 to 64 letters, digits and ._:/+-, the first a letter or a "
                "digit"
            )
        told_number(self.amount, "amount")
        if not self.corrects and self.amount == 0:
            raise OrderError("amount 0; allowed: more than 0; 0 in a correction of a fill that was broken")
        if self.price is not None and told_number(self.price, "price") <= 0:
            raise OrderError(f"price {self.price:f}; allowed: more than 0")
        if self.fee is not None:
            told_number(self.fee, "fee", least=None)


def total_id(bar: dt.datetime) -> str:
    """The id of the total of a bar; no venue's id can be the same."""
    return f"total@{bar:%Y-%m-%dT%H:%M:%SZ}"


def newest(fills: Sequence[Fill]) -> list[Fill]:
    """The fills that count: of each the highest revision, in the order in which they were first told."""
    out: dict[str, Fill] = {}
    for fill in sorted(fills, key=lambda fill: (fill.told_at, fill.fill_id, fill.revision)):
        if fill.fill_id not in out or out[fill.fill_id].revision < fill.revision:
            out[fill.fill_id] = fill
    return list(out.values())


def with_fills(order: OrderRecord, slice_: SliceRecord, fills: Sequence[Fill]) -> SliceRecord:
    """A slice with what the fills of its bar come to; as it was advised where there are none."""
    own = [fill for fill in fills if fill.bar == slice_.bar]
    if not own:
        return replace(slice_, filled=None, filled_amount=None, paid=None)
    amount = total([fill.amount for fill in own])
    return replace(
        slice_, filled=float(amount) / (slice_.size or order.size), filled_amount=amount, paid=_paid(order, own)
    )


def _paid(order: OrderRecord, fills: Sequence[Fill]) -> float | None:
    return average_price(order, [(float(fill.amount), float(fill.price)) for fill in fills if fill.price is not None])


def average_price(order: OrderRecord, fills: Sequence[tuple[float, float]]) -> float | None:
    """Average price of amounts, in the order's unit, each beside its price; None of nothing."""
    amount = sum(amount for amount, _ in fills)
    if amount <= 0:
        return None
    if order.target == "notional":
        return amount / sum(amount / price for amount, price in fills)
    return sum(amount * price for amount, price in fills) / amount


@dataclass(frozen=True)
class Retold:
    """An order as its fills tell it.

    Args:
        late_amount: what they add, before the last slice, to what its `left_before` knows.
        late_share: likewise, to its ledger's share that is done.
        late_units: likewise, to its units.
        late_cash: likewise, to its cash.
        result: how it ended, if it has; None of one that goes on.
    """

    late_amount: Decimal
    late_share: float
    late_units: float
    late_cash: float
    result: OrderResult | None


def retold(order: OrderRecord, slices: Sequence[SliceRecord]) -> Retold:
    """What an order comes to, with the fills of all of its bars.

    Args:
        order: with what is stored of it.
        slices: all of them in the order of their bars, with their fills.
    """
    *settled, last = slices
    arrival = order.arrived().arrival_price
    prices = [_price(before, after, arrival) for before, after in zip(settled, slices[1:], strict=True)]
    done, units, cash = 0.0, 0.0, 0.0
    for slice_, price in zip(settled, prices, strict=True):
        share, more_units, more_cash = _trade(order, slice_, price, arrival, done)
        done, units, cash = done + share, units + more_units, cash + more_cash
    counted = total([slice_.counted(order) for slice_ in settled])
    left_before, ledger = minus(order.exact_size, counted), last.rescaled(order)
    result = order.result
    if result is not None:
        price = (result.last_price or last.last_close) / arrival
        share, more_units, more_cash = _trade(order, last, price, arrival, done)
        result = _result(order, result, (done + share, units + more_units, cash + more_cash), arrival)
    return Retold(
        late_amount=minus(plus(last.before(order), last.grown(order)), left_before),
        late_share=_clean(ledger.remaining - (1.0 - done)),
        late_units=_clean(units - ledger.units),
        late_cash=_clean(cash - ledger.cash),
        result=result,
    )


def _clean(difference: float) -> float:
    """A difference of sums of floats, without their rounding."""
    return difference if abs(difference) > 1e-12 else 0.0


def _price(before: LedgerRecord, after: LedgerRecord, arrival: float) -> float:
    """The volume-weighted price of the bar between two ledgers, relative to the arrival price."""
    weight = after.weight - before.weight
    if weight > 0:
        return (after.weighted - before.weighted) / weight
    assert isinstance(before, SliceRecord)
    return before.last_close / arrival


def _trade(
    order: OrderRecord, slice_: SliceRecord, price: float, arrival: float, done: float
) -> tuple[float, float, float]:
    """Share, units and cash of what counts in a bar; a ledger holds no more than the order."""
    share = min(slice_.traded(order), max(0.0, 1.0 - done))
    price = price if slice_.paid is None else slice_.paid / arrival
    if order.target == "notional":
        return share, share / price, share
    return share, share, share * price


def _result(
    order: OrderRecord, was: OrderResult, ledger: tuple[float, float, float], arrival: float
) -> OrderResult | None:
    done, units, cash = ledger
    if was.bars_used < order.max_bars and done < 1.0 - TOLERANCE:
        return None
    achieved = cash / units * arrival if units > 0 else was.benchmark_price
    sign = Side(order.side).sign
    gain = 1e4 * sign * (was.benchmark_price - achieved) / was.benchmark_price
    return replace(was, filled_share=done, achieved=achieved, gain_bps=gain)


def sum_of_fees(fills: Sequence[Fill]) -> Decimal:
    """The exact sum of the fees that were told."""
    out = ZERO
    for fill in newest(fills):
        out = out if fill.fee is None else plus(out, fill.fee)
    return out
