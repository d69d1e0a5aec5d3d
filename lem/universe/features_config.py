"""The windows that features look back over: `[features]` in a universe file."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from lem.universe.bar_clock import BarClock


class FeatureConfig(BaseModel):
    """Trailing windows in bars, as they stand under `[features]` in a universe file.

    Args:
        volatility: window of sigma, the per-bar volatility that scales prices.
        short_volatility: window of a faster sigma, which a feature compares with it.
        volume: window of the mean volume.
        seasons: earlier days or sessions (for daily bars: weeks of sessions) in the mean volume at a time of day.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    volatility: Annotated[int, Field(ge=4, le=2000)] = 168
    short_volatility: Annotated[int, Field(ge=2, le=500)] = 12
    volume: Annotated[int, Field(ge=4, le=2000)] = 168
    seasons: Annotated[int, Field(ge=2, le=60)] = 7

    def history(self, bars_per_day: int) -> int:
        """Number of bars before a day that the features of the day read."""
        season = BarClock(bars_per_day).season
        return max(self.volatility, self.short_volatility, self.volume, self.seasons * season, 24) + 1
