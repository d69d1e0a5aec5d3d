"""What is backtested, at what costs, and how a candidate is judged: `[backtest]`, `[costs]` and `[gate]` in a universe
file."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from lem.orders import TOLERANCE


class BacktestConfig(BaseModel):
    """The orders of the walk-forward backtest. Every bar of a day is an arrival, in all eight scenarios.

    Args:
        min_bars: the values of m (bars before which an order may not end). risk_aversion: lambda of the orders.
        report_days: walk-forward partitions in a report. bootstrap: resamples of the day-block bootstrap.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_bars: tuple[int, ...] = (1, 3, 6, 9, 12)
    risk_aversion: Annotated[float, Field(ge=0)] = 1.0
    report_days: Annotated[int, Field(ge=1, le=1000)] = 20
    bootstrap: Annotated[int, Field(ge=100, le=100_000)] = 2000


class CostsConfig(BaseModel):
    """What trading costs (model: lem.backtest.costs) and how large the orders are. Zeros are allowed, NaN is not.

    The defaults are those of a careful account on a liquid market, and an order of a fifth of a bar's volume.

    Args:
        fee_bps, half_spread_bps: paid on every fill, in bps of its price.
        impact: Y of the square-root law, of order one in the literature; 0.5 is near to what the estimates of Almgren
            et al. (2005) give for hourly bars at a participation of 2 %.
        order_size: the parent order in trailing mean bar volumes (0.2: a fifth of what trades in a bar).
        participation_cap: most that may be traded in one bar, as a share of the trailing mean bar volume. A cap of at
            least `order_size` caps nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fee_bps: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    half_spread_bps: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    impact: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    order_size: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.2
    participation_cap: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1

    @property
    def largest_rate(self) -> float:
        """Share of the order that the participation cap lets trade in one bar; above 1 it caps nothing."""
        return self.participation_cap / self.order_size

    def size_problem(self, max_bars: int) -> str | None:
        """Why an order of `order_size` cannot be traded in `max_bars` bars under the cap; None where it can."""
        if self.largest_rate * max_bars >= 1.0 - TOLERANCE:
            return None
        return (
            f"an order_size of {self.order_size:g} mean bar volumes under a participation_cap of "
            f"{self.participation_cap:g} cannot trade in {max_bars} bars; allowed: an order_size of at most "
            f"{self.participation_cap * max_bars:.4g}"
        )


class GateConfig(BaseModel):
    """The promotion gate.

    Args:
        confidence: of the paired day-block bootstrap intervals. tail_tolerance: by how much of the champion's CVaR 5 %
            the candidate's may be worse (fraction).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    tail_tolerance: Annotated[float, Field(ge=0)] = 0.1
