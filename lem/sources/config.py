"""Configuration of the sources, as it stands under `[source]` in a universe file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class SimulatedConfig(BaseModel):
    """A deterministic market, any (asset, date) by itself. Volatilities are per day, in fractions of the price.

    Args:
        mode: `market` has stochastic volatility, seasonal volume and correlated assets; `brownian` is the driftless
        control.
        daily_volatility: standard deviation of a day's log return. correlation: with the common factor, 0 to 1.
        steps_per_bar: points of the path inside a bar, so that VWAP and close differ.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["simulated"]
    mode: Literal["market", "brownian"] = "market"
    seed: Annotated[int, Field(ge=0)] = 0
    daily_volatility: Annotated[float, Field(gt=0, lt=1)] = 0.04
    correlation: Annotated[float, Field(ge=0, lt=1)] = 0.6
    steps_per_bar: Annotated[int, Field(ge=2, le=600)] = 60


class Columns(BaseModel):
    """Which column of the file holds what. `quote_volume = ""` says that there is none: the VWAP is then estimated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ts: str = "ts"
    open: str = "open"
    high: str = "high"
    low: str = "low"
    close: str = "close"
    volume: str = "volume"
    quote_volume: str = "quote_volume"


class FilesConfig(BaseModel):
    """CSV or Parquet under any fsspec URL.

    Args:
        url: with `{symbol}` (canonical), `{venue_symbol}` and `{data}` (the LEM_DATA setting); ends in .csv, .csv.gz
        or .parquet.
        quote_decimals: decimals to which the file rounds quote volume; widens the VWAP's tolerance by half a unit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["files"]
    url: Annotated[str, Field(min_length=1)]
    columns: Columns = Columns()
    quote_decimals: Annotated[int, Field(ge=0, le=18)] = 8
