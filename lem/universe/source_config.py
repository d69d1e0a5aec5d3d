"""Configuration of the sources, as it stands under `[source]` in a universe file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

BarLength = Literal["1min", "5min", "15min", "30min", "1h", "2h", "4h", "1d"]


class SimulatedConfig(BaseModel):
    """A deterministic market: each (asset, date) can be made by itself.

    Args:
        mode: `market` has stochastic volatility, seasonal volume and correlated assets; `brownian` is the driftless
            control.
        seed: of all random numbers.
        daily_volatility: standard deviation of a day's log return, a fraction of the price.
        correlation: with the common factor, 0 to 1.
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
    """Which column of the file holds what.

    Args:
        quote_volume: "" if the file has none: the VWAP is then estimated.
        adjusted_close: "" if the file has none: prices and volume are then left as they are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ts: str = "ts"
    open: str = "open"
    high: str = "high"
    low: str = "low"
    close: str = "close"
    volume: str = "volume"
    quote_volume: str = "quote_volume"
    adjusted_close: str = ""


class FilesConfig(BaseModel):
    """CSV or Parquet under any fsspec URL.

    Args:
        url: with `{symbol}` (canonical), `{venue_symbol}` and `{data}` (the LEM_DATA setting); ends in .csv, .csv.gz
            or .parquet.
        columns: which column holds what.
        bar: length of the file's bars; if left out, the universe's. Shorter bars are aggregated.
        quote_decimals: decimals to which the file rounds quote volume; widens the VWAP's tolerance by half a unit.
        revisit_days: the last partitions that a run fetches again, to find what the source has revised. Above 0, a
            history that was adjusted again is found too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["files"]
    url: Annotated[str, Field(min_length=1)]
    columns: Columns = Columns()
    bar: BarLength | None = None
    quote_decimals: Annotated[int, Field(ge=0, le=18)] = 8
    revisit_days: Annotated[int, Field(ge=0, le=366)] = 0


class CcxtConfig(BaseModel):
    """A venue through ccxt's client.

    Args:
        venue: ccxt's name of it (`binance`, `bybit`, `okx`, `kraken`, `coinbase`, ...).
        url: base URL of another REST interface in place of the venue's own (a proxy, a mirror).
        bar: length of the bars that are fetched; bars shorter than the universe's are aggregated.
        page: bars asked for in one request; if left out, the most that the venue gives.
        grace_seconds: a bar counts as closed this long after its end, by the venue's clock.
        timeout_seconds: of one request.
        retries: further tries of a request that failed.
        requests_per_second: limit of all requests to the venue; if left out, the limit that ccxt knows.
        revisit_days: the last partitions that a run fetches again, to find what the venue has revised.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["ccxt"]
    venue: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    url: str = ""
    bar: BarLength = "1min"
    page: Annotated[int, Field(ge=2, le=5000)] | None = None
    grace_seconds: Annotated[float, Field(ge=0, le=3600)] = 60.0
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 20.0
    retries: Annotated[int, Field(ge=0, le=20)] = 6
    requests_per_second: Annotated[float, Field(gt=0, le=1000)] | None = None
    revisit_days: Annotated[int, Field(ge=0, le=366)] = 3


class ArchiveConfig(BaseModel):
    """A venue's zip archives of bars with SHA-256 sidecars, over HTTP(S), S3 or any other fsspec URL.

    Args:
        daily: URL of a day's archive, with `{symbol}`, `{venue_symbol}`, `{data}` and `{date}` (2024-01-31).
        monthly: URL of a month's archive, with `{month}` (2024-01) in place of `{date}`; preferred for months that are
            over. If left out, days are read.
        bar: length of the archives' bars; bars shorter than the universe's are aggregated.
        max_bytes: the most that one archive may unpack to.
        timeout_seconds: of one request.
        retries: further tries of a request that failed.
        fallback: the venue, asked for days that are not archived yet; if left out, such a day is an error.
        revisit_days: the last partitions that a run fetches again, to find what the venue has revised.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["archive"]
    daily: Annotated[str, Field(min_length=1)]
    monthly: str = ""
    bar: BarLength = "1min"
    max_bytes: Annotated[int, Field(ge=1000, le=2**34)] = 2**28
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 30.0
    retries: Annotated[int, Field(ge=0, le=20)] = 6
    fallback: CcxtConfig | None = None
    revisit_days: Annotated[int, Field(ge=0, le=366)] = 3


class YahooConfig(BaseModel):
    """Daily bars from Yahoo through the yfinance package, adjusted for dividends.

    Args:
        grace_seconds: a session's bar counts as final this long after the session's close.
        timeout_seconds: of one request.
        revisit_days: the last partitions that a run fetches again, to find what the source has revised. Above 0, a
            history that was adjusted again is found too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["yfinance"]
    bar: Literal["1d"] = "1d"
    grace_seconds: Annotated[float, Field(ge=0, le=86400)] = 7200.0
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 30.0
    revisit_days: Annotated[int, Field(ge=0, le=366)] = 5


SourceConfig = Annotated[
    SimulatedConfig | FilesConfig | CcxtConfig | ArchiveConfig | YahooConfig, Field(discriminator="kind")
]
KINDS: dict[str, type[BaseModel]] = {
    "simulated": SimulatedConfig,
    "files": FilesConfig,
    "ccxt": CcxtConfig,
    "archive": ArchiveConfig,
    "yfinance": YahooConfig,
}
