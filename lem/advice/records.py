"""Records of live orders as they are stored: an order, its arrival, its slices and its end.

`lem.advice.order_rows` makes them from rows of the database; a field has the name of its column. The records of orders
in memory, as tensors, are in `lem.advice.live_records`. Thousands are made every bar, and the garbage collector walks
them: they have slots, and derive from each other rather than hold each other.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import fields, replace
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any, Self

from lem.advice.amounts import ZERO, as_told, minus, plus
from lem.advice.order import Mode, OrderResult, OrderState, ParentOrder, Status, scenario
from lem.advice.quick import quick
from lem.advice.venue_rules import NO_RULES, VenueRules
from lem.errors import OrderStateError
from lem.execution.orders import Order


@quick(frozen=True, slots=True)
class ArrivalRecord:
    """What an order measures itself by, fixed with its first slice.

    Args:
        model_id: the model that decides it to its end.
        first_bar: open of its first bar (UTC).
        sigma: per-bar volatility at arrival.
        arrival_price: last close before the first bar, in currency.
        mean_volume: trailing mean volume of a bar at arrival.
    """

    model_id: str
    first_bar: dt.datetime
    sigma: float
    arrival_price: float
    mean_volume: float


@quick(frozen=True, slots=True)
class OrderRecord:
    """A stored order. Unlike `OrderState` it is not checked again: one that is bad by now fails alone, when it is used.

    Args:
        size: base quantity, or notional in quote currency, as `target` says.
        start: the first bar that opens at or after it is the order's first (UTC).
        mode: whether a slice counts as filled until told otherwise, or only what was confirmed does.
        limit_price: worst price at which it may trade, in quote currency; None for any.
        paused_at: since when nothing is advised (UTC); None while it is not paused.
        closed_at: since when no fill is taken any more (UTC).
        late_amount: what late fills add to the amount that counts as filled before the last slice.
        late_share: likewise, to the share.
        late_units: likewise, to the ledger's units.
        late_cash: likewise, to its cash.
        amended: how often its terms were amended.
        fallback: it goes on at a plain pace while bars are missing.
        rules: what the venue takes.
        arrival: None until the first slice.
        result: None until the order has ended.
    """

    id: str
    universe: str
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
    mode: Mode = "assume"
    limit_price: Decimal | None = None
    paused_at: dt.datetime | None = None
    closed_at: dt.datetime | None = None
    late_amount: Decimal = ZERO
    late_share: float = 0.0
    late_units: float = 0.0
    late_cash: float = 0.0
    amended: int = 0
    fallback: bool = False
    rules: VenueRules = NO_RULES
    arrival: ArrivalRecord | None = None
    result: OrderResult | None = None

    @classmethod
    def of(cls, order: ParentOrder, created_at: dt.datetime) -> OrderRecord:
        """A new order, which waits for its first bar."""
        terms, kind = order.order, order.order.scenario
        return cls(
            id=order.id,
            universe=order.universe,
            asset=order.asset,
            side=str(kind.side),
            benchmark=str(kind.benchmark),
            target=str(kind.target),
            size=order.size,
            min_bars=terms.min_bars,
            max_bars=terms.max_bars,
            min_rate=terms.min_rate,
            max_rate=terms.max_rate,
            risk_aversion=terms.risk_aversion,
            start=order.start,
            created_at=created_at,
            status="waiting",
            mode=order.mode,
            limit_price=order.limit_price,
            fallback=order.fallback,
            rules=order.rules,
        )

    @property
    def exact_size(self) -> Decimal:
        """The size in the digits in which it was given."""
        return as_told(self.size)

    @property
    def terms(self) -> Order:
        """The order in shares of itself.

        Raises:
            OrderError: its limits are not allowed.
        """
        kind = self.side, self.benchmark, self.target
        return _terms(*kind, self.min_bars, self.max_bars, self.min_rate, self.max_rate, self.risk_aversion)

    def state(self) -> OrderState:
        """The order as a desk sees it.

        Raises:
            OrderError: one of its fields is not allowed.
        """
        told = (self.mode, self.limit_price, self.rules, self.fallback)
        order = ParentOrder(self.id, self.universe, self.asset, self.terms, self.size, self.start, *told)
        return OrderState(
            order,
            self.status,
            self.created_at,
            model_id=self.arrival.model_id if self.arrival else None,
            arrival_price=self.arrival.arrival_price if self.arrival else None,
            result=self.result,
            paused_at=self.paused_at,
            closed_at=self.closed_at,
            amended=self.amended,
            left=self.left(),
        )

    def left(self) -> Decimal:
        """What is still to trade, after what counts as filled; below 0 where more was filled than was ordered."""
        return self.exact_size

    def arrived(self) -> ArrivalRecord:
        """The arrival of an order that has a slice.

        Raises:
            OrderStateError: it has not begun.
        """
        if self.arrival is None:
            raise OrderStateError(f"order {self.id} has no arrival; allowed: orders that have a slice")
        return self.arrival

    def begun(self, arrival: ArrivalRecord) -> OrderRecord:
        """The same order, live."""
        return replace(self, status="live", arrival=arrival)

    def ended(self, result: OrderResult) -> Self:
        """The same order, at its end."""
        return replace(self, status=result.status, result=result)


@lru_cache(maxsize=4_096, typed=True)
def _terms(side: str, benchmark: str, target: str, *limits: Any) -> Order:
    """Terms that many orders share, every bar."""
    return Order(scenario(side, benchmark, target), *limits)


@quick(frozen=True, slots=True)
class LedgerRecord:
    """What an order knows of its own execution before a bar: bars done, and the numbers of `Ledger`."""

    bars_done: int
    remaining: float
    units: float
    cash: float
    weight: float
    weighted: float


@quick(frozen=True, slots=True)
class SliceRecord(LedgerRecord):
    """What was advised for one bar of an order, on its ledger before the bar.

    Args:
        bar: open of the bar (UTC).
        as_of: close of the last bar that the decision knew.
        share: of the order, advised for the bar.
        finish: the order was to end with the bar.
        reason: a key of `lem.advice.deciding.REASONS`.
        probability: pi, to finish in this bar.
        last_close: in currency.
        filled: share of the order that the desk confirmed, None if it did not.
        filled_amount: the same in the order's unit, exactly.
        paid: average price of the bar's fills, in currency; None where none was told.
        amount: what was advised, in the order's unit, exactly.
        left_before: what was still to trade before the bar.
        carry: what rounding held back of this bar's slice and the next ones have to make up for.
        size: of the order as it was then, which shares and ledger are shares of; None for the size that it has.
    """

    order_id: str
    bar: dt.datetime
    as_of: dt.datetime
    advised_at: dt.datetime
    share: float
    finish: bool
    reason: str
    probability: float
    last_close: float
    filled: float | None
    filled_amount: Decimal | None = None
    paid: float | None = None
    amount: Decimal | None = None
    left_before: Decimal | None = None
    carry: Decimal | None = None
    size: float | None = None

    def exactly(self, amount: Decimal, left_before: Decimal, carry: Decimal) -> SliceRecord:
        """The same slice with its amounts in decimals."""
        # By place: thousands are made every bar, and `replace` takes several times as long.
        own: tuple[Any, ...] = _BEFORE_AMOUNT(self)
        return SliceRecord(*(*own, amount, left_before, carry, self.size))

    def scale(self, order: OrderRecord) -> float:
        """What a share of the order as it was then is of the order; 1 unless its size was amended since."""
        return 1.0 if self.size is None or self.size == order.size else self.size / order.size

    def grown(self, order: OrderRecord) -> Decimal:
        """By how much the order's size was amended since."""
        return ZERO if self.size is None or self.size == order.size else minus(order.exact_size, as_told(self.size))

    def traded(self, order: OrderRecord) -> float:
        """Share of the order that counts as filled in the bar: what was confirmed, else what its mode says."""
        if self.filled is not None:
            return self.filled * self.scale(order)
        return self.share * self.scale(order) if order.mode == "assume" else 0.0

    def rescaled(self, order: OrderRecord) -> LedgerRecord:
        """The ledger in shares of the order as it is."""
        scale = self.scale(order)
        if scale == 1.0:
            return self
        done = (1.0 - self.remaining) * scale
        return LedgerRecord(
            *(self.bars_done, min(1.0, max(0.0, 1.0 - done)), self.units * scale, self.cash * scale),
            *(self.weight, self.weighted),
        )

    def counted(self, order: OrderRecord) -> Decimal:
        """The same in the order's unit, exactly."""
        if self.filled_amount is not None:
            return self.filled_amount
        return self.advised(order) if order.mode == "assume" else ZERO

    def advised(self, order: OrderRecord) -> Decimal:
        """What was advised, in the order's unit. Slices of before there were decimals have their share only."""
        return as_told(self.share * (self.size or order.size)) if self.amount is None else self.amount

    def before(self, order: OrderRecord) -> Decimal:
        """What was still to trade before the bar, likewise."""
        return as_told(self.remaining * (self.size or order.size)) if self.left_before is None else self.left_before


_BEFORE_AMOUNT = attrgetter(*(one.name for one in fields(SliceRecord)[:-4]))


@quick(frozen=True, slots=True)
class OpenOrder(OrderRecord):
    """An open order as a decision finds it, with its last slice where it has one.

    Args:
        last: its last slice; None before the first.
        fault: what is wrong with its rows; empty where they are sound.
        gap: its last slices, where they were at a plain pace, since bars were missing.
        before_gap: the order as it was before them; None where there are none.
    """

    last: SliceRecord | None = None
    fault: str = ""
    gap: tuple[SliceRecord, ...] = ()
    before_gap: OpenOrder | None = None

    def left(self) -> Decimal:
        """What is still to trade after the last slice and all fills."""
        last = self.last
        if last is None:
            return self.exact_size
        before = last.before(self) if last.size == self.size else plus(last.before(self), last.grown(self))
        return minus(before, plus(last.counted(self), self.late_amount))

    def sliced(self, last: SliceRecord, arrival: ArrivalRecord | None = None) -> OpenOrder:
        """The same order after a slice, whose ledger has what late fills changed.

        Args:
            last: its new last slice.
            arrival: of an order that begins with it.
        """
        if arrival is not None or self.is_late:
            begun: dict[str, Any] = {} if arrival is None else {"status": "live", "arrival": arrival}
            return replace(self, **NOTHING_LATE, **begun, last=last)
        # By place: thousands are made every bar, and `replace` takes several times as long.
        own: tuple[Any, ...] = _ORDER_FIELDS(self)
        return OpenOrder(*(*own, last))

    @property
    def is_late(self) -> bool:
        """Whether late fills changed what its last slice knew."""
        return bool(self.late_amount or self.late_share or self.late_units or self.late_cash)

    def ledger(self) -> LedgerRecord | None:
        """The ledger before the last slice, with what late fills changed in it; None before the first slice."""
        if self.last is None:
            return None
        last = self.last if self.last.size == self.size else self.last.rescaled(self)
        if not self.is_late:
            return last
        return LedgerRecord(
            last.bars_done,
            min(1.0, max(0.0, last.remaining - self.late_share)),
            max(0.0, last.units + self.late_units),
            max(0.0, last.cash + self.late_cash),
            last.weight,
            last.weighted,
        )


NOTHING_LATE: dict[str, Any] = {"late_amount": ZERO, "late_share": 0.0, "late_units": 0.0, "late_cash": 0.0}
_ORDER_FIELDS = attrgetter(*(one.name for one in fields(OrderRecord)))
