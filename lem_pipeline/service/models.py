"""What the service takes and gives, as its description shows it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lem.advice.amounts import ZERO
from lem.advice.audit import AuditEntry, Event
from lem.advice.callers import Actor
from lem.advice.deciding import REASONS
from lem.advice.expectation import Basis
from lem.advice.fills import FILL_PATTERN, Fill
from lem.advice.order import ID_PATTERN, Mode, OrderState, Status
from lem_pipeline.service.numbers import NotNegative, Positive, Signed

Bars = Annotated[int, Field(strict=True, ge=1, le=500)]
Rate = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Id = Annotated[str, Field(pattern=ID_PATTERN)]
_REASONS = "; ".join(f"{name}: {text}" for name, text in REASONS.items())


_MODES = "assume: what is advised counts as filled until told otherwise; confirm: nothing counts until it is confirmed"


_BASES = "backtest: the model's own orders in a report; theory: simulated orders of the theory that models correct"


_ACTORS = "python: the library; cli: a command; http: a request; service: the service by itself"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class NewOrder(_Body):
    """A parent order to be advised on."""

    id: Annotated[Id | None, Field(description="Name of the order; one is made if left out.", examples=["desk-17"])] = (
        None
    )
    asset: Annotated[str, Field(min_length=1, max_length=40, description="Symbol.", examples=["BTC-USDT"])]
    side: Literal["buy", "sell"]
    benchmark: Literal["vwap", "twap"] = "vwap"
    target: Annotated[Literal["quantity", "notional"], Field(description="What is fixed.")] = "quantity"
    size: Annotated[Positive, Field(description="Base quantity, or notional in quote currency.")]
    min_bars: Annotated[Bars, Field(description="m, fewest bars after which it may end.")] = 1
    max_bars: Annotated[Bars | None, Field(description="N, by when it must end; the horizon if left out.")] = None
    min_rate: Annotated[Rate, Field(description="Smallest share of the order in a bar.")] = 0.0
    max_rate: Annotated[Rate, Field(description="Largest share of the order in a bar.")] = 1.0
    risk_aversion: Annotated[float, Field(strict=True, ge=0, le=1e6, description="Weight of the gain's variance.")] = (
        1.0
    )
    mode: Annotated[Mode, Field(description=_MODES)] = "assume"
    limit_price: Annotated[Positive | None, Field(description="Worst price, in quote currency; any if left out.")] = (
        None
    )
    fallback: Annotated[bool, Field(strict=True, description="Go on at a plain pace while bars are missing.")] = False
    start: Annotated[
        dt.datetime | None,
        Field(description="The first bar that opens at or after it (UTC) is the first; the next if left out."),
    ] = None

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [
                {"id": "desk-17", "asset": "BTC-USDT", "side": "buy", "size": 12.5, "min_bars": 6, "max_bars": 12}
            ]
        },
    )


class NewTerms(_Body):
    """Terms of an order that are to change; those that are left out stay as they are."""

    size: Annotated[Positive | None, Field(description="No less than is filled.")] = None
    min_bars: Annotated[Bars | None, Field(description="From the order's first bar on.")] = None
    max_bars: Annotated[Bars | None, Field(description="Likewise; no bar that is decided already.")] = None
    min_rate: Annotated[Rate | None, Field(description="Smallest share of the order in a bar.")] = None
    max_rate: Annotated[Rate | None, Field(description="Largest share of the order in a bar.")] = None
    risk_aversion: Annotated[
        float | None, Field(strict=True, ge=0, le=1e6, description="How urgent: the weight of the gain's variance.")
    ] = None
    limit_price: Annotated[Positive | None, Field(description="Worst price; null for any.")] = None

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, json_schema_extra={"examples": [{"size": 15.0, "max_bars": 12}]}
    )


class Total(_Body):
    """What was filled in a bar, as one number in the order's own unit."""

    amount: Annotated[NotNegative, Field(examples=[1.25])]


class NewFill(_Body):
    """One fill. It belongs to the bar that is named, or that its time lies in; else to that of the last slice."""

    id: Annotated[
        str,
        Field(pattern=FILL_PATTERN, description="The venue's id of it; sent twice, it counts once.", examples=["t-1"]),
    ]
    amount: Annotated[NotNegative, Field(description="In the order's own unit.")]
    price: Annotated[Positive | None, Field(description="In quote currency.")] = None
    fee: Annotated[Signed | None, Field(description="In quote currency; below 0 for a rebate.")] = None
    time: Annotated[dt.datetime | None, Field(description="When it traded (UTC).")] = None
    bar: Annotated[dt.datetime | None, Field(description="Open of the bar that it belongs to (UTC).")] = None
    corrects: Annotated[
        bool, Field(strict=True, description="It replaces what was told under the id; amount 0 of one that was broken.")
    ] = False


class FillView(BaseModel):
    """What was told of one fill; the highest revision of an id counts. Amounts in decimal digits."""

    id: str
    revision: int
    bar: dt.datetime
    amount: str
    price: str | None
    fee: str | None
    time: dt.datetime | None
    told_at: dt.datetime

    @classmethod
    def of(cls, fill: Fill) -> FillView:
        """The view of a fill."""
        price, fee = (None if number is None else f"{number:f}" for number in (fill.price, fill.fee))
        return cls(
            id=fill.fill_id,
            revision=fill.revision,
            bar=fill.bar,
            amount=f"{fill.amount:f}",
            price=price,
            fee=fee,
            time=fill.traded_at,
            told_at=fill.told_at,
        )


def _digits(number: Decimal | None) -> str | None:
    return None if number is None else f"{number:f}"


class OrderView(BaseModel):
    """An order, and once it has ended what came of it (gain in bps, positive is good)."""

    id: str
    asset: str
    side: str
    benchmark: str
    target: str
    size: float
    min_bars: int
    max_bars: int
    min_rate: float
    max_rate: float
    risk_aversion: float
    start: dt.datetime
    created_at: dt.datetime
    status: Status
    mode: Annotated[Mode, Field(description=_MODES)]
    limit_price: str | None
    lot: Annotated[str | None, Field(description="What the venue takes, as it was when the order was taken on.")]
    tick: str | None
    min_amount: str | None
    min_notional: str | None
    paused_at: Annotated[dt.datetime | None, Field(description="Since when nothing is advised.")]
    closed_at: Annotated[dt.datetime | None, Field(description="Since when no fill is taken any more.")]
    filled: Annotated[str, Field(description="What counts as filled, in decimal digits: size less left.")]
    left: Annotated[str, Field(description="Still to trade, in decimal digits.")]
    overfilled: Annotated[str, Field(description="Filled beyond the size, in decimal digits.")]
    fallback: Annotated[bool, Field(description="It goes on at a plain pace while bars are missing.")]
    amended: Annotated[int, Field(description="How often its terms were amended.")]
    arrival_price: float | None
    model_id: str | None
    bars_used: int | None
    filled_share: float | None
    achieved: float | None
    benchmark_price: float | None
    gain_bps: float | None

    @classmethod
    def of(cls, state: OrderState) -> OrderView:
        """The view of a stored order."""
        order, terms, result = state.order, state.order.order, state.result
        return cls(
            id=order.id,
            asset=order.asset,
            side=str(terms.scenario.side),
            benchmark=str(terms.scenario.benchmark),
            target=str(terms.scenario.target),
            size=order.size,
            min_bars=terms.min_bars,
            max_bars=terms.max_bars,
            min_rate=terms.min_rate,
            max_rate=terms.max_rate,
            risk_aversion=terms.risk_aversion,
            start=order.start,
            created_at=state.created_at,
            status=state.status,
            mode=order.mode,
            limit_price=_digits(order.limit_price),
            lot=_digits(order.rules.lot),
            tick=_digits(order.rules.tick),
            min_amount=_digits(order.rules.min_amount),
            min_notional=_digits(order.rules.min_notional),
            paused_at=state.paused_at,
            closed_at=state.closed_at,
            filled=f"{state.filled:f}",
            left=f"{max(state.left, ZERO):f}",
            overfilled=f"{max(-state.left, ZERO):f}",
            fallback=order.fallback,
            amended=state.amended,
            arrival_price=state.arrival_price,
            model_id=state.model_id,
            bars_used=result.bars_used if result else None,
            filled_share=result.filled_share if result else None,
            achieved=result.achieved if result else None,
            benchmark_price=result.benchmark_price if result else None,
            gain_bps=result.gain_bps if result else None,
        )


class SliceView(BaseModel):
    """What to trade in one bar. Benchmark, price and gain are those of the bars before it."""

    order_id: str
    asset: str
    side: str
    bar: Annotated[dt.datetime, Field(description="Open of the bar to trade in (UTC).")]
    bar_end: dt.datetime
    as_of: Annotated[dt.datetime, Field(description="Close of the last bar that the decision knows.")]
    advised_at: dt.datetime
    number: Annotated[int, Field(description="Of the bar in the order, from 1.")]
    seconds_left: Annotated[float, Field(description="Of the bar.")]
    amount: Annotated[
        float,
        Field(description="To trade in the bar: base quantity, or notional (unit). It has all of its decimal digits."),
    ]
    exact_amount: Annotated[str, Field(description="The same digits as text; they sum to the order exactly.")]
    share: float
    unit: str
    remaining: Annotated[float, Field(description="Left before the bar, in the same unit.")]
    exact_remaining: str
    mode: Annotated[Mode, Field(description=_MODES)]
    limit_price: str | None
    finish: Annotated[bool, Field(description="The order ends with this bar.")]
    reason: Annotated[str, Field(description=_REASONS)]
    probability: Annotated[float, Field(description="The model's probability to finish in this bar.")]
    last_close: float
    benchmark_price: float | None
    achieved: float | None
    gain_bps: float | None
    expected_gain_bps: Annotated[float | None, Field(description="Mean of orders of the kind, after assumed costs.")]
    expected_low_bps: Annotated[float | None, Field(description="Of 5 in 100 such orders it was lower.")]
    expected_high_bps: Annotated[float | None, Field(description="Of 5 in 100 such orders it was higher.")]
    expected_from: Annotated[str, Field(description="Which orders these are, or why there are none.")]
    expected_basis: Annotated[Basis | None, Field(description=_BASES)]
    model_id: str
    model_age_days: Annotated[int, Field(description="From the end of its training window to the bar's date.")]
    model_verdict: Annotated[str, Field(description="What the gate, or a person, decided about it, for which date.")]
    filled: Annotated[float | None, Field(description="What was confirmed; else what counts is as mode says.")]
    exact_filled: str | None
    repeated: Annotated[bool, Field(description="Advised before; stored slices never change.")]


class AdvisedView(BaseModel):
    """The slices of a bar."""

    bar: dt.datetime
    bar_end: dt.datetime
    as_of: dt.datetime
    slices: list[SliceView]
    ended: Annotated[list[OrderView], Field(description="Orders that ended with the bars before.")]
    refused: Annotated[dict[str, str], Field(description="Why other open orders have no slice, by id.")]
    waiting: Annotated[dict[str, dt.datetime], Field(description="Start of orders that have not begun, by id.")]


class AuditView(BaseModel):
    """What somebody did to an order. Amounts, prices and fees in decimal digits, times in UTC."""

    id: int
    at: Annotated[dt.datetime, Field(description="By the clock of the desk, which a replay sets back.")]
    recorded_at: Annotated[dt.datetime, Field(description="By the clock of the database.")]
    order_id: str
    event: Event
    facts: dict[str, Any]
    actor: Annotated[Actor, Field(description=_ACTORS)]
    name: Annotated[str | None, Field(description="Of the token, or of the system's user.")]
    address: Annotated[str | None, Field(description="IP address of the request.")]

    @classmethod
    def of(cls, entry: AuditEntry) -> AuditView:
        """The view of an entry."""
        return cls.model_construct(**{name: getattr(entry, name) for name in cls.model_fields})


class MarketView(BaseModel):
    """Which bar is next, and why there is no advice on an asset."""

    universe: str
    now: dt.datetime
    bar: dt.datetime
    bar_end: dt.datetime
    as_of: dt.datetime
    problems: dict[str, str]


class Problem(BaseModel):
    """Why a request was refused: one sentence, and each field that was wrong with what is allowed there."""

    reason: str
    problems: list[dict[str, str]] = []
