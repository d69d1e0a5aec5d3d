"""What is answered: the slice of a bar in the order's own unit, and what became of the other orders."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import pandas as pd

from lem.advice.clock import Moment
from lem.advice.order import Mode, OrderState
from lem.advice.records import OrderRecord, SliceRecord, ledger_of
from lem.execution.fills import achieved, benchmark, gain
from lem.execution.terms import terms_of_orders
from lem.universe import Universe
from lem.universe.calendars import bar_close


@dataclass(frozen=True)
class Advice:
    """The slice of one bar.

    Args:
        order_id: of the order.
        asset: canonical name.
        side: buy or sell.
        bar: open of the bar to trade in, UTC.
        bar_end: its close, UTC.
        as_of: close of the last bar that the decision knows, UTC.
        advised_at: when it was decided, UTC.
        number: of the bar in the order, from 1.
        seconds_left: of the bar.
        amount: to trade in the bar, in the order's unit.
        exact_amount: the same, in decimals.
        share: the same as a share of the order.
        unit: of amounts: base currency, or quote currency of a notional.
        remaining: amount left before the bar.
        exact_remaining: the same, in decimals.
        mode: what counts as filled: what is advised until told otherwise, or only what is confirmed.
        limit_price: worst price at which it may trade, in quote currency; None for any.
        finish: the order ends with this bar.
        reason: a key of `lem.advice.deciding.REASONS`.
        probability: pi, of finishing in this bar.
        last_close: the last known close, in quote currency.
        benchmark_price: over the bars before this one, in quote currency; None before the first.
        achieved: average price so far, in quote currency; None before the first bar.
        gain_bps: so far; None before the first bar.
        model_id: that decided.
        filled: amount that the desk confirmed, None if it did not.
        exact_filled: the same, in decimals.
        repeated: it was advised before.
    """

    order_id: str
    asset: str
    side: str
    bar: dt.datetime
    bar_end: dt.datetime
    as_of: dt.datetime
    advised_at: dt.datetime
    number: int
    seconds_left: float
    amount: float
    exact_amount: Decimal
    share: float
    unit: str
    remaining: float
    exact_remaining: Decimal
    mode: Mode
    limit_price: Decimal | None
    finish: bool
    reason: str
    probability: float
    last_close: float
    benchmark_price: float | None
    achieved: float | None
    gain_bps: float | None
    model_id: str
    filled: float | None
    exact_filled: Decimal | None
    repeated: bool


@dataclass(frozen=True)
class Advised:
    """Answer for a bar.

    Args:
        at: the bar.
        slices: of the orders that trade in it.
        ended: orders that ended with the bars before it.
        refused: why others have no slice, by id.
        waiting: start of those that have not begun, by id.
    """

    at: Moment
    slices: list[Advice]
    ended: list[OrderState]
    refused: dict[str, str]
    waiting: dict[str, dt.datetime]


def answers(
    given: Sequence[tuple[OrderRecord, SliceRecord]], repeated: set[str], universe: Universe, now: dt.datetime
) -> list[Advice]:
    """Slices as they are told.

    Args:
        given: each beside its order.
        repeated: ids of orders whose slice was advised before.
        universe: of the orders.
        now: the clock's time (UTC).
    """
    if not given:
        return []
    terms, _ = terms_of_orders([order.terms for order, _ in given])
    ledger = ledger_of([last for _, last in given])
    figures = [x_O.tolist() for x_O in (benchmark(ledger), achieved(ledger), gain(ledger, terms))]
    bars = sorted({last.bar for _, last in given})
    ends = dict(zip(bars, bar_close(universe, pd.DatetimeIndex(bars)).to_pydatetime(), strict=True))
    out = []
    for (order, last), against, price, gained in zip(given, *figures, strict=True):
        arrived, begun, traded = order.arrived(), last.weight > 0, last.units > 0
        out.append(
            Advice(
                order_id=order.id,
                asset=order.asset,
                side=order.side,
                bar=last.bar,
                bar_end=ends[last.bar],
                as_of=last.as_of,
                advised_at=last.advised_at,
                number=last.bars_done + 1,
                amount=float(last.advised(order)),
                exact_amount=last.advised(order),
                share=last.share,
                unit=order.target,
                remaining=float(last.before(order)),
                exact_remaining=last.before(order),
                mode=order.mode,
                limit_price=order.limit_price,
                seconds_left=max(0.0, (ends[last.bar] - now).total_seconds()),
                finish=last.finish,
                reason=last.reason,
                probability=last.probability,
                last_close=last.last_close,
                benchmark_price=against * arrived.arrival_price if begun else None,
                achieved=price * arrived.arrival_price if traded else None,
                gain_bps=1e4 * gained if begun and traded else None,
                model_id=arrived.model_id,
                filled=None if last.filled_amount is None else float(last.filled_amount),
                exact_filled=last.filled_amount,
                repeated=order.id in repeated,
            )
        )
    return out
