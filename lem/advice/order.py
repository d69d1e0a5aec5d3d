"""A parent order as a desk gives it: what `lem.execution.orders.Order` says in shares, with asset, size and start."""

from __future__ import annotations

import datetime as dt
import math
import re
import uuid
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Literal, get_args

from lem.advice.amounts import ZERO, as_told, minus, told_number
from lem.advice.clock import Moment, last_open
from lem.advice.venue_rules import NO_RULES, VenueRules
from lem.errors import OrderError, UniverseError
from lem.execution.orders import TOLERANCE, Benchmark, Order, Scenario, Side, Target
from lem.universe import Universe
from lem.universe.calendars import is_listed

Status = Literal["waiting", "live", "finished", "expired", "cancelled"]
"""waiting: no slice yet. live: some. finished: all of it traded. expired: its bars are over and some is left."""
STATUSES: tuple[Status, ...] = get_args(Status)
OPEN: tuple[Status, ...] = ("waiting", "live")

Mode = Literal["assume", "confirm"]
"""assume: what is advised counts as filled until told otherwise. confirm: nothing counts until it is confirmed."""
MODES: tuple[Mode, ...] = get_args(Mode)

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
LARGEST_SIZE, SMALLEST_SIZE = 1e15, 1e-9
LATEST_START = dt.timedelta(days=366)


@dataclass(frozen=True)
class ParentOrder:
    """An order to be advised on.

    Args:
        id: letters, digits, dot, underscore and dash, 64 at most.
        universe: its name.
        asset: canonical name.
        order: scenario, bars and limits.
        size: base quantity, or notional in quote currency, as `order.scenario.target` says.
        start: the first bar that opens at or after it is the order's first (UTC).
        mode: what counts as filled.
        limit_price: worst price at which it may trade, in quote currency; None for any.
        rules: what the venue takes, as it was when the order was taken on.
        fallback: go on at a plain pace while bars are missing.

    Raises:
        OrderError: names the field, its value and what is allowed.
    """

    id: str
    universe: str
    asset: str
    order: Order
    size: float
    start: dt.datetime
    mode: Mode = "assume"
    limit_price: Decimal | None = None
    rules: VenueRules = NO_RULES
    fallback: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(ID_PATTERN, self.id, re.ASCII):
            raise OrderError(
                f"id {self.id[:80]!a}; allowed: 1 to 64 letters, digits, dots, dashes and underscores, the first "
                "a letter or a digit"
            )
        if isinstance(self.size, bool) or not (math.isfinite(self.size) and SMALLEST_SIZE <= self.size <= LARGEST_SIZE):
            raise OrderError(
                f"size {self.size:g}; allowed: more than 0, that is {SMALLEST_SIZE:g} or more, at most {LARGEST_SIZE:g}"
            )
        if self.mode not in MODES:
            raise OrderError(f"mode {self.mode[:80]!a}; allowed: {', '.join(MODES)}")
        if self.limit_price is not None:
            told_number(self.limit_price, "limit_price")
        self.rules.check(as_told(self.size), self.limit_price, str(self.order.scenario.target))
        if self.start.utcoffset() != dt.timedelta(0):
            raise OrderError(f"start {self.start.isoformat()}; allowed: a time in UTC")


@dataclass(frozen=True)
class OrderResult:
    """How an order ended.

    Args:
        bars_used: from its first bar to its last.
        filled_share: share of it that traded.
        achieved: average price of what traded, in currency.
        benchmark_price: price of the benchmark over the order's bars, in currency.
        gain_bps: against the benchmark; positive is good.
        last_price: volume-weighted price of its last bar, in currency; None of orders that ended before it was kept.
    """

    bars_used: int
    filled_share: float
    achieved: float
    benchmark_price: float
    gain_bps: float
    last_price: float | None = None

    @property
    def status(self) -> Status:
        """`finished` if all of the order traded, else `expired`."""
        return "finished" if self.filled_share >= 1.0 - 2 * TOLERANCE else "expired"


@dataclass(frozen=True)
class OrderState:
    """A stored order.

    Args:
        created_at: when it was taken on (UTC).
        model_id: the model that decides it; None until its first slice.
        arrival_price: last close before its first bar; None until its first slice.
        result: None until it has ended.
        paused_at: since when nothing is advised (UTC); None while it is not paused.
        closed_at: since when no fill is taken any more (UTC).
        left: still to trade, exactly; below 0 where more was filled than was ordered.
        amended: how often its terms were amended.
    """

    order: ParentOrder
    status: Status
    created_at: dt.datetime
    model_id: str | None = None
    arrival_price: float | None = None
    result: OrderResult | None = None
    paused_at: dt.datetime | None = None
    closed_at: dt.datetime | None = None
    left: Decimal = ZERO
    amended: int = 0

    @property
    def filled(self) -> Decimal:
        """What counts as filled, exactly: `size` is this and `left`."""
        return minus(as_told(self.order.size), self.left)


def new_id() -> str:
    """An id that nothing has."""
    return uuid.uuid4().hex[:16]


@cache
def scenario(side: str, benchmark: str, target: str) -> Scenario:
    """The scenario of three words.

    Raises:
        OrderError: one of them is unknown; names it and what is allowed.
    """
    kinds = {"side": (Side, side), "benchmark": (Benchmark, benchmark), "target": (Target, target)}
    for name, (kind, value) in kinds.items():
        if value not in [word.value for word in kind]:
            raise OrderError(f"{name} {value[:80]!a}; allowed: {', '.join(word.value for word in kind)}")
    return Scenario(Side(side), Benchmark(benchmark), Target(target))


def check_order(order: ParentOrder, universe: Universe, at: Moment) -> None:
    """Refuse an order that could never be advised on.

    Raises:
        OrderError: names the field, its value and what is allowed.
    """
    if order.universe != universe.name:
        raise OrderError(f"universe {order.universe!a}; allowed: {universe.name}")
    try:
        universe.check_symbol(order.asset)
    except UniverseError:
        raise OrderError(f"asset {order.asset[:80]!a}; allowed: {', '.join(universe.symbols)}") from None
    if order.order.max_bars > universe.horizon:
        raise OrderError(
            f"max_bars {order.order.max_bars}; allowed: at most {universe.horizon}, the horizon that models of "
            f"{universe.name} are trained for"
        )
    latest, why = at.now + LATEST_START, ""
    last = last_open(universe)
    if last is not None and last < latest:
        latest, why = last, f", the open of the last bar of {universe.name} (end in the universe file)"
    if latest < at.bar:
        raise OrderError(
            f"start {order.start:%Y-%m-%dT%H:%M:%SZ}; allowed: none any more, since the last bar of {universe.name} "
            f"has closed (end in the universe file: {universe.end})"
        )
    if not at.bar <= order.start <= latest:
        raise OrderError(
            f"start {order.start:%Y-%m-%dT%H:%M:%SZ}; allowed: from {at.bar:%Y-%m-%dT%H:%M:%SZ}, the open of the bar "
            f"that is next, to {latest:%Y-%m-%dT%H:%M:%SZ}{why}"
        )
    if not is_listed(universe, order.asset, order.start.date()):
        raise OrderError(f"asset {order.asset} is not listed on {order.start:%Y-%m-%d}; allowed: a start when it is")
