"""When a champion's inputs, gains or age are worth a warning: `[drift]` in a universe file."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class DriftConfig(BaseModel):
    """Thresholds of the drift checks. They warn, and change nothing about who trades.

    Args:
        psi: a feature has drifted at this population stability index or above (0.25 is the rule of thumb).
        window_days: partitions before the date whose bars are compared with the bars of the champion's training.
        gain_tolerance_bps: gains have drifted when the whole interval of their mean lies more than this far below the
            gate's figure, in bps.
        max_age: a champion is old when its last day of training is more partitions ago than this; if left out,
            `Universe.max_model_age` is used.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    psi: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.25
    window_days: Annotated[int, Field(ge=1, le=1000)] = 14
    gain_tolerance_bps: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5.0
    max_age: Annotated[int, Field(ge=1, le=10_000)] | None = None
