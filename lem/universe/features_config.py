"""The windows that features look back over: `[features]` in a universe file."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class FeatureConfig(BaseModel):
    """Trailing windows in bars, as they stand under `[features]` in a universe file.

    Args:
        volatility: window of sigma, the per-bar volatility that scales prices. short_volatility: its fast companion.
        volume: window of the mean volume. seasons: earlier days (or weeks of sessions) in the volume's time-of-day
        mean.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    volatility: Annotated[int, Field(ge=4, le=2000)] = 168
    short_volatility: Annotated[int, Field(ge=2, le=500)] = 12
    volume: Annotated[int, Field(ge=4, le=2000)] = 168
    seasons: Annotated[int, Field(ge=2, le=60)] = 7

    def history(self, bars_per_day: int) -> int:
        """Bars before the day that its features read."""
        return max(self.volatility, self.short_volatility, self.volume, self.seasons * season(bars_per_day), 24) + 1


def season(bars_per_day: int) -> int:
    """Bars after which the volume's pattern repeats: a day of intraday bars, or a week of five sessions."""
    return bars_per_day if bars_per_day > 1 else 5
