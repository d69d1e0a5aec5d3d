"""What is answered: the slice of a bar in the order's own unit, and what became of the other orders.

A bar may have thousands of slices. They are worked out and sent column by column; a record of each is made only where
somebody asks for it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from functools import cached_property
from typing import Any

import pandas as pd
import torch

from lem.advice.clock import Moment
from lem.advice.expectation import Basis, Expectation
from lem.advice.ledgers import ledger_of
from lem.advice.order import Mode, OrderState
from lem.advice.quick import quick
from lem.advice.records import OrderRecord, SliceRecord
from lem.execution.fills import achieved, benchmark, signed_gain
from lem.execution.orders import Side
from lem.registry import Registry
from lem.sources.limits import Clock
from lem.universe import Universe
from lem.universe.calendars import bar_close


@quick(frozen=True)
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
        expected_gain_bps: of an order of its kind after assumed costs (`lem.advice.expectation`); None where unknown.
        expected_low_bps: of 5 in 100 such orders it was lower.
        expected_high_bps: of 5 in 100 such orders it was higher.
        expected_from: of which orders this is; why it is not known.
        expected_basis: where these orders are from; None where it is not known.
        model_id: that decided.
        model_age_days: days from the end of its training window to the bar's date.
        model_verdict: what the gate, or a person, decided about it, and for which date.
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
    expected_gain_bps: float | None
    expected_low_bps: float | None
    expected_high_bps: float | None
    expected_from: str
    expected_basis: Basis | None
    model_id: str
    model_age_days: int
    model_verdict: str
    filled: float | None
    exact_filled: Decimal | None
    repeated: bool


FIELDS = tuple(field.name for field in fields(Advice))
ROUNDED = {"amount": "exact_amount", "remaining": "exact_remaining", "filled": "exact_filled"}
"""Floats of records, and the decimals that they are of."""
Columns = Mapping[str, Sequence[Any]]
"""Slices as they are told, column by column: by each name of `FIELDS`, but for `ROUNDED`, one value a slice."""


def advices(columns: Columns) -> list[Advice]:
    """The records of columns; `columns_of` is the way back."""
    rounded = {
        name: [None if amount is None else float(amount) for amount in columns[exact]]
        for name, exact in ROUNDED.items()
    }
    return [Advice(*row) for row in zip(*({**columns, **rounded}[name] for name in FIELDS), strict=True)]


def columns_of(told: Sequence[Advice]) -> Columns:
    """The columns of records."""
    return {name: [getattr(advice, name) for advice in told] for name in FIELDS if name not in ROUNDED}


@dataclass(frozen=True)
class ModelStanding:
    """What an answer says of a model.

    Args:
        train_end: end of its training window, exclusive.
        verdict: what was decided about it, and for which date.
    """

    train_end: dt.date
    verdict: str


class Standings:
    """The models of a registry as answers name them; each is read once a minute, not once an answer.

    Args:
        universe: whose models they are.
        registry: has them and the decisions.
        clock: says which minute it is.
    """

    def __init__(self, universe: Universe, registry: Registry, clock: Clock) -> None:
        self._universe, self._registry, self._clock = universe, registry, clock
        self._known: dict[str, tuple[dt.datetime, ModelStanding]] = {}

    def of(self, model_id: str) -> ModelStanding:
        """A model's standing.

        Raises:
            RegistryError: it is not in the registry.
        """
        minute = self._clock.now().replace(second=0, microsecond=0)
        at, standing = self._known.get(model_id, (None, None))
        if standing is None or at != minute:
            record = self._registry.model(model_id)
            judged = self._registry.judged(self._universe.name, model_id)
            verdict = f"{judged.verdict} on {judged.date}" if judged else "no decision about it"
            standing = ModelStanding(record.train_end, verdict)
            self._known[model_id] = minute, standing
        return standing


@dataclass(frozen=True)
class Advised:
    """Answer for a bar.

    Args:
        at: the bar.
        columns: the slices of the orders that trade in it.
        ended: orders that ended with the bars before it.
        refused: why others have no slice, by id.
        waiting: start of those that have not begun, by id.
    """

    at: Moment
    columns: Columns
    ended: list[OrderState]
    refused: dict[str, str]
    waiting: dict[str, dt.datetime]

    @cached_property
    def slices(self) -> list[Advice]:
        """The slices as records, made when somebody asks for them."""
        return advices(self.columns)


_SIGNS = {str(side): side.sign for side in Side}


def answers(
    given: Sequence[tuple[OrderRecord, SliceRecord]],
    repeated: set[str],
    universe: Universe,
    now: dt.datetime,
    standing: Callable[[str], ModelStanding],
    expectations: Callable[[Sequence[OrderRecord]], Sequence[Expectation]],
) -> Columns:
    """Slices as they are told.

    Args:
        given: each beside its order.
        repeated: ids of orders whose slice was advised before.
        universe: of the orders.
        now: the clock's time (UTC).
        standing: of a model, by its id.
        expectations: of the orders.
    """
    if not given:
        return columns_of([])
    orders, lasts = [order for order, _ in given], [last for _, last in given]
    arrived = [order.arrived() for order in orders]
    opened, named = [last.bar for last in lasts], [arrival.model_id for arrival in arrived]
    bars = sorted(set(opened))
    ends = dict(zip(bars, bar_close(universe, pd.DatetimeIndex(bars)).to_pydatetime(), strict=True))
    models = {key: standing(key) for key in set(named)}
    # Of all orders of a bar and a model: said once, not once an order.
    left = {bar: max(0.0, (end - now).total_seconds()) for bar, end in ends.items()}
    ages = {(key, bar): (bar.date() - models[key].train_end).days for key in models for bar in bars}
    expected = expectations(orders)
    against, achieved_so_far, gained = _so_far(orders, lasts, [arrival.arrival_price for arrival in arrived])
    return {
        "order_id": [order.id for order in orders],
        "asset": [order.asset for order in orders],
        "side": [order.side for order in orders],
        "bar": opened,
        "bar_end": [ends[bar] for bar in opened],
        "as_of": [last.as_of for last in lasts],
        "advised_at": [last.advised_at for last in lasts],
        "number": [last.bars_done + 1 for last in lasts],
        "seconds_left": [left[bar] for bar in opened],
        "exact_amount": [last.advised(order) for order, last in given],
        "share": [last.share for last in lasts],
        "unit": [order.target for order in orders],
        "exact_remaining": [last.before(order) for order, last in given],
        "mode": [order.mode for order in orders],
        "limit_price": [order.limit_price for order in orders],
        "finish": [last.finish for last in lasts],
        "reason": [last.reason for last in lasts],
        "probability": [last.probability for last in lasts],
        "last_close": [last.last_close for last in lasts],
        "benchmark_price": against,
        "achieved": achieved_so_far,
        "gain_bps": gained,
        "expected_gain_bps": [one.mean_bps for one in expected],
        "expected_low_bps": [one.low_bps for one in expected],
        "expected_high_bps": [one.high_bps for one in expected],
        "expected_from": [one.source for one in expected],
        "expected_basis": [one.basis for one in expected],
        "model_id": named,
        "model_age_days": [ages[key, bar] for key, bar in zip(named, opened, strict=True)],
        "model_verdict": [models[key].verdict for key in named],
        "exact_filled": [last.filled_amount for last in lasts],
        "repeated": [order.id in repeated for order in orders],
    }


def _so_far(
    orders: Sequence[OrderRecord], lasts: Sequence[SliceRecord], arrival_price: Sequence[float]
) -> tuple[list[float | None], list[float | None], list[float | None]]:
    """Benchmark, average price (both in currency) and gain (bps) of the bars before; None where there are none yet."""
    ledger, sign_O = ledger_of(lasts), torch.tensor([_SIGNS[order.side] for order in orders], dtype=torch.float64)
    against, price = benchmark(ledger).tolist(), achieved(ledger).tolist()
    gained = signed_gain(ledger, sign_O).tolist()
    begun, traded = [last.weight > 0 for last in lasts], [last.units > 0 for last in lasts]
    return (
        [one * scale if any_bar else None for one, scale, any_bar in zip(against, arrival_price, begun, strict=True)],
        [one * scale if any_fill else None for one, scale, any_fill in zip(price, arrival_price, traded, strict=True)],
        [
            1e4 * one if any_bar and any_fill else None
            for one, any_bar, any_fill in zip(gained, begun, traded, strict=True)
        ],
    )
