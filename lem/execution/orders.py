"""The parent order: what is to be traded, against which benchmark, and within which limits.

Terms as in the share-buyback literature (Guéant, Pu, Royer, arXiv 1312.5617): the executor chooses the end of the order
between `min_bars` (m) and `max_bars` (N).
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from itertools import product

from lem.errors import OrderError

TOLERANCE = 1e-9
"""Slack of feasibility comparisons, as a share of the parent order."""


class Side(enum.StrEnum):
    """Buy or sell."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> float:
        """+1 of a buy, -1 of a sell: with it a positive gain is good for both."""
        return 1.0 if self is Side.BUY else -1.0


class Benchmark(enum.StrEnum):
    """The price an order is measured against, over the bars up to the order's own end."""

    VWAP = "vwap"
    TWAP = "twap"


class Target(enum.StrEnum):
    """What is fixed: the quantity to trade, or the notional to spend (or raise)."""

    QUANTITY = "quantity"
    NOTIONAL = "notional"


@dataclass(frozen=True)
class Scenario:
    """One of the eight kinds of parent order; each has its own allocation head."""

    side: Side
    benchmark: Benchmark
    target: Target

    def __str__(self) -> str:
        return f"{self.side} {self.benchmark} {self.target}"


SCENARIOS: tuple[Scenario, ...] = tuple(Scenario(*parts) for parts in product(Side, Benchmark, Target))
"""All eight, in the order of the model's heads."""


@dataclass(frozen=True)
class Order:
    """A parent order of size one, traded in shares of itself.

    Args:
        scenario: side, benchmark and target.
        min_bars: m, the number of bars after which the order may end (1 to max_bars).
        max_bars: N, the number of bars after which it must have ended.
        min_rate: smallest share of the order in one bar, in [0, 1].
        max_rate: largest share of the order in one bar, in [0, 1].
        risk_aversion: lambda of E[g] - lambda/2 E[g^2], g in sigma.

    Raises:
        OrderError: the limits contradict each other; the message says which and what is allowed.
    """

    scenario: Scenario
    min_bars: int
    max_bars: int
    min_rate: float = 0.0
    max_rate: float = 1.0
    risk_aversion: float = 1.0

    def __post_init__(self) -> None:
        check_limits(self.min_bars, self.max_bars, self.min_rate, self.max_rate, self.risk_aversion)


def check_limits(m: float, n: float, min_rate: float, max_rate: float, risk_aversion: float) -> None:
    """Refuse an order that no schedule can satisfy.

    Args:
        m: as `Order.min_bars`.
        n: as `Order.max_bars`.
        min_rate: as in `Order`.
        max_rate: as in `Order`.
        risk_aversion: as in `Order`.

    Raises:
        OrderError: names the limit, its value and what is allowed.
    """
    if not (1 <= m <= n < math.inf and float(m).is_integer() and float(n).is_integer()):
        raise OrderError(f"min_bars {m:g} with max_bars {n:g}; allowed: whole bars, 1 <= min_bars <= max_bars")
    if not 0.0 <= min_rate <= max_rate <= 1.0:
        raise OrderError(f"min_rate {min_rate} and max_rate {max_rate}; allowed: 0 <= min_rate <= max_rate <= 1")
    if max_rate * n < 1.0 - TOLERANCE:
        raise OrderError(
            f"max_rate {max_rate} over max_bars {n:g} trades at most {max_rate * n:.4g} of the order; "
            f"allowed: max_rate of at least {1 / n:.4g}"
        )
    if min_rate * m > 1.0 + TOLERANCE:
        raise OrderError(
            f"min_rate {min_rate} over min_bars {m:g} trades {min_rate * m:.4g} of the order before it may end; "
            f"allowed: min_rate of at most {1 / m:.4g}"
        )
    if not 0.0 <= risk_aversion < math.inf:
        raise OrderError(f"risk_aversion {risk_aversion}; allowed: 0 or more, finite")
