"""What is backtested and how a candidate is judged: `[backtest]` and `[gate]` in a universe file."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class BacktestConfig(BaseModel):
    """The orders of the walk-forward backtest. Every bar of a day is an arrival, in all eight scenarios.

    Args:
        min_bars: the values of m, the fewest bars that an order lasts.
        risk_aversion: lambda of the orders.
        report_days: walk-forward partitions in a report.
        bootstrap: resamples of the day-block bootstrap.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_bars: tuple[int, ...] = (1, 3, 6, 9, 12)
    risk_aversion: Annotated[float, Field(ge=0)] = 1.0
    report_days: Annotated[int, Field(ge=1, le=1000)] = 20
    bootstrap: Annotated[int, Field(ge=100, le=100_000)] = 2000


class GateConfig(BaseModel):
    """The promotion gate.

    Args:
        confidence: of the paired day-block bootstrap intervals.
        tail_tolerance: how much worse than the champion's CVaR 5 % the candidate's may be, as a fraction of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    tail_tolerance: Annotated[float, Field(ge=0)] = 0.1
