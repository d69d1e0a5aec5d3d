"""What is answered: the slice of a bar in the order's own unit, and what became of the other orders."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import pandas as pd

from lem.advice.clock import Moment
from lem.advice.expectation import Basis, Expectation
from lem.advice.ledgers import ledger_of
from lem.advice.order import Mode, OrderState, scenario
from lem.advice.quick import quick
from lem.advice.records import OrderRecord, SliceRecord
from lem.execution.fills import achieved, benchmark, gain
from lem.execution.terms import make_terms
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
    given: Sequence[tuple[OrderRecord, SliceRecord]],
    repeated: set[str],
    universe: Universe,
    now: dt.datetime,
    standing: Callable[[str], ModelStanding],
    expectations: Callable[[Sequence[OrderRecord]], Sequence[Expectation]],
) -> list[Advice]:
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
        return []
    terms = make_terms([scenario(order.side, order.benchmark, order.target) for order, _ in given], m=1.0, n=1.0)
    ledger = ledger_of([last for _, last in given])
    figures = [x_O.tolist() for x_O in (benchmark(ledger), achieved(ledger), gain(ledger, terms))]
    bars = sorted({last.bar for _, last in given})
    ends = dict(zip(bars, bar_close(universe, pd.DatetimeIndex(bars)).to_pydatetime(), strict=True))
    models = {key: standing(key) for key in {order.arrived().model_id for order, _ in given}}
    # Of all orders of a bar and a model: said once, not once an order.
    left = {bar: max(0.0, (end - now).total_seconds()) for bar, end in ends.items()}
    ages = {(key, bar): (bar.date() - models[key].train_end).days for key in models for bar in bars}
    out = []
    expected_O = expectations([order for order, _ in given])
    for (order, last), against, price, gained, expected in zip(given, *figures, expected_O, strict=True):
        arrived, begun, traded = order.arrived(), last.weight > 0, last.units > 0
        amount, remaining, filled = last.advised(order), last.before(order), last.filled_amount
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
                amount=float(amount),
                exact_amount=amount,
                share=last.share,
                unit=order.target,
                remaining=float(remaining),
                exact_remaining=remaining,
                mode=order.mode,
                limit_price=order.limit_price,
                seconds_left=left[last.bar],
                finish=last.finish,
                reason=last.reason,
                probability=last.probability,
                last_close=last.last_close,
                benchmark_price=against * arrived.arrival_price if begun else None,
                achieved=price * arrived.arrival_price if traded else None,
                gain_bps=1e4 * gained if begun and traded else None,
                expected_gain_bps=expected.mean_bps,
                expected_low_bps=expected.low_bps,
                expected_high_bps=expected.high_bps,
                expected_from=expected.source,
                expected_basis=expected.basis,
                model_id=arrived.model_id,
                model_age_days=ages[arrived.model_id, last.bar],
                model_verdict=models[arrived.model_id].verdict,
                filled=None if filled is None else float(filled),
                exact_filled=filled,
                repeated=order.id in repeated,
            )
        )
    return out
