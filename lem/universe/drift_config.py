"""When a champion's inputs, gains or age are worth a warning: `[drift]` in a universe file."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class DriftConfig(BaseModel):
    """Thresholds of the drift checks. They warn, and change nothing about who trades.

    Args:
        psi: population stability index from which on a feature has drifted (0.25 is the rule of thumb).
        window_days: partitions before the date whose bars are compared with those of the champion's training.
        gain_tolerance_bps: gains have drifted when the whole interval of their mean lies by more than this below what
            the gate measured, in bps.
        max_age: partitions since the champion's last day of training above which it is old; where it is left out,
            `Universe.max_model_age` sets it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    psi: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.25
    window_days: Annotated[int, Field(ge=1, le=1000)] = 14
    gain_tolerance_bps: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5.0
    max_age: Annotated[int, Field(ge=1, le=10_000)] | None = None
