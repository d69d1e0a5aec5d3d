"""The report on an order that has ended: what its fills came to, beside what rules would have done on the same bars."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from lem.advice.amounts import ZERO, Digits, minus, total
from lem.advice.executions import Execution, TapeBar, measured, replayed
from lem.advice.fills import Fill, average_price, newest, sum_of_fees
from lem.advice.order import Mode, Status
from lem.advice.records import OrderRecord, SliceRecord
from lem.errors import OrderError
from lem.execution.costs import BPS
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import Side
from lem.strategies.optimal_with_costs import OptimalWithCosts
from lem.strategies.twap import Twap


@dataclass(frozen=True)
class ReportBar:
    """One bar of an order.

    Args:
        bar: its open, UTC.
        advised: amount, in the order's unit.
        filled: amount that counts.
        deviation: filled less advised.
        fills: number of fills that were told, broken ones not counted.
        price: average of what was filled, in quote currency; None where nothing was.
        market_price: volume-weighted price of the bar, in quote currency.
        volume: of the market, in base currency.
        reason: of the slice, a key of `lem.advice.deciding.REASONS`.
    """

    bar: dt.datetime
    advised: Digits
    filled: Digits
    deviation: Digits
    fills: int
    price: float | None
    market_price: float
    volume: float
    reason: str


@dataclass(frozen=True)
class OrderReport:
    """The report on one order. Times are UTC; bps are of what was filled, unless it is said of what.

    Args:
        order_id: of the order.
        universe: its name.
        asset: canonical name.
        side: buy or sell.
        benchmark: vwap or twap.
        target: what is fixed: quantity or notional, the unit of all amounts.
        size: amount that was ordered.
        min_bars: m.
        max_bars: N.
        mode: what counts where nothing was told.
        limit_price: worst price at which it was to trade, in quote currency; None for any. Rules know none.
        status: how it ended.
        amended: how often its terms were amended; rules trade the order as it was at its end.
        closed: no fill of it is taken any more; else a later one may change this report.
        model_id: that decided; None where it never began.
        first_bar: open of its first bar; None where it never began.
        bars_late: bars from its start up to `first_bar`, in which it had no advice.
        last_bar: open of the last bar that it had a slice for.
        arrival_price: last close before its first bar.
        filled: amount that counts.
        left: amount that does not; below 0 where more was filled than ordered.
        confirmed: amount that was told by fills; the rest of `filled` was assumed at the bars' prices.
        execution: what its fills came to; None where it never began.
        fees: exact sum, in quote currency.
        fees_bps: of what was paid or received for the fills.
        fills_without_fee: number of fills that were told without one; they count as free.
        slippage_bps: what was paid above the volume-weighted prices of the bars of the fills, or received below them.
        deviation_share: sum of what fills deviate from the slices, over all bars, as a share of the order.
        opportunity_bps: what is left, at the close of the last bar against the arrival price; of the whole order.
        implementation_shortfall_bps: net shortfall of what was filled and `opportunity_bps`; of the whole order.
        rules: what rules would have come to in its place.
        rules_missing: why there are none; empty where they are there.
        bars: one for each slice.
    """

    order_id: str
    universe: str
    asset: str
    side: str
    benchmark: str
    target: str
    size: Digits
    min_bars: int
    max_bars: int
    mode: Mode
    limit_price: Digits | None
    status: Status
    amended: int
    closed: bool
    model_id: str | None
    first_bar: dt.datetime | None
    bars_late: int
    last_bar: dt.datetime | None
    arrival_price: float | None
    filled: Digits
    left: Digits
    confirmed: Digits
    execution: Execution | None
    fees: Digits
    fees_bps: float | None
    fills_without_fee: int
    slippage_bps: float | None
    deviation_share: float
    opportunity_bps: float | None
    implementation_shortfall_bps: float | None
    rules: list[Execution]
    rules_missing: str
    bars: list[ReportBar]


def report_on(
    order: OrderRecord,
    slices: Sequence[SliceRecord],
    fills: Sequence[Fill],
    tape: Sequence[TapeBar],
    costs: CostsConfig,
    bars_late: int = 0,
) -> OrderReport:
    """The report on an order that has ended.

    Args:
        order: as it is stored.
        slices: all of them, in the order of their bars, with their fills.
        fills: everything that was told of its fills.
        tape: the closed bars from its first on, as many as there are of those that it might have used.
        costs: of the universe, for the rules.
        bars_late: bars from its start up to its first one.

    Raises:
        OrderError: a slice has no bar in the tape.
    """
    told = [fill for fill in newest(fills) if fill.amount]
    bars = _bars(order, slices, told, tape)
    filled = total([bar.filled for bar in bars])
    own = [bar for bar in tape if slices and bar.bar <= slices[-1].bar]
    fees, left = sum_of_fees(fills), minus(order.exact_size, filled)
    traded = [(float(bar.filled), bar.price) for bar in bars if bar.price is not None]
    average, market = average_price(order, traded), _at_market(order, bars)
    sign, execution, missing = Side(order.side).sign, None, "the order never began"
    rules: list[Execution] = []
    fees_bps = slippage = opportunity = whole = None
    if slices:
        share = float(filled) / order.size
        net = average
        if average is not None and market is not None:
            units = float(filled) if order.target == "quantity" else float(filled) / average
            net = average + sign * float(fees) / units
            fees_bps = BPS * float(fees) / (units * average)
            slippage = BPS * sign * (average - market) / market
        execution = measured("desk", order, own, share, average, net)
        arrival = order.arrived().arrival_price
        opportunity = BPS * sign * (own[-1].close - arrival) / arrival * max(0.0, float(left)) / order.size
        whole = opportunity + (execution.net_shortfall_bps or 0.0) * share
        rules, missing = _rules(order, tape, costs, len(own) if order.status == "cancelled" else None)
    return OrderReport(
        order_id=order.id,
        universe=order.universe,
        asset=order.asset,
        side=order.side,
        benchmark=order.benchmark,
        target=order.target,
        size=order.exact_size,
        min_bars=order.min_bars,
        max_bars=order.max_bars,
        mode=order.mode,
        limit_price=order.limit_price,
        status=order.status,
        amended=order.amended,
        closed=order.closed_at is not None,
        model_id=order.arrival.model_id if order.arrival else None,
        first_bar=order.arrival.first_bar if order.arrival else None,
        bars_late=bars_late,
        last_bar=slices[-1].bar if slices else None,
        arrival_price=order.arrival.arrival_price if order.arrival else None,
        filled=filled,
        left=left,
        confirmed=total([slice_.filled_amount for slice_ in slices if slice_.filled_amount is not None]),
        execution=execution,
        fees=fees,
        fees_bps=fees_bps,
        fills_without_fee=sum(fill.fee is None for fill in told),
        slippage_bps=slippage,
        deviation_share=float(total([abs(bar.deviation) for bar in bars])) / order.size,
        opportunity_bps=opportunity,
        implementation_shortfall_bps=whole,
        rules=rules,
        rules_missing=missing,
        bars=bars,
    )


def _bars(
    order: OrderRecord, slices: Sequence[SliceRecord], told: Sequence[Fill], tape: Sequence[TapeBar]
) -> list[ReportBar]:
    known, out = {bar.bar: bar for bar in tape}, []
    for slice_ in slices:
        market = known.get(slice_.bar)
        if market is None:
            raise OrderError(f"no bar of {slice_.bar:%Y-%m-%d %H:%M} UTC; allowed: a bar for each slice of {order.id}")
        advised, filled = slice_.advised(order), slice_.counted(order)
        price = None if filled == ZERO else market.price if slice_.paid is None else slice_.paid
        count = sum(fill.bar == slice_.bar for fill in told)
        deviation = minus(filled, advised)
        row = (slice_.bar, advised, filled, deviation, count, price, market.price, market.volume, slice_.reason)
        out.append(ReportBar(*row))
    return out


def _at_market(order: OrderRecord, bars: Sequence[ReportBar]) -> float | None:
    return average_price(order, [(float(bar.filled), bar.market_price) for bar in bars if bar.filled > ZERO])


def _rules(
    order: OrderRecord, tape: Sequence[TapeBar], costs: CostsConfig, cut: int | None
) -> tuple[list[Execution], str]:
    try:
        return [replayed(rule, order, tape, costs, cut) for rule in (Twap(), OptimalWithCosts())], ""
    except OrderError as error:
        return [], str(error)
