"""Configuration of the sources, as it stands under `[source]` in a universe file, and what each kind declares.

A new kind is two files: its section here, with one line in `KINDS`, and the module of `lem.sources` that the section
names in `module`. Nobody else asks which kind a source is: what must be known of it is in `Capabilities`.
"""

from __future__ import annotations

import difflib
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lem.universe.source_section import NAME_KEYS, Absent, BarLength, Capabilities, SourceSection, placed


class SimulatedConfig(SourceSection):
    """A deterministic market, any (asset, date) by itself. Volatilities are per day, in fractions of the price.

    Args:
        mode: `market` has stochastic volatility, seasonal volume and correlated assets; `brownian` is the driftless
            control.
        seed: of all random numbers.
        daily_volatility: standard deviation of a day's log return, a fraction of the price.
        correlation: with the common factor, 0 to 1.
        steps_per_bar: points of the path inside a bar, so that VWAP and close differ.
    """

    module: ClassVar[str] = "lem.sources.simulated"
    kind: Literal["simulated"]
    mode: Literal["market", "brownian"] = "market"
    seed: Annotated[int, Field(ge=0)] = 0
    daily_volatility: Annotated[float, Field(gt=0, lt=1)] = 0.04
    correlation: Annotated[float, Field(ge=0, lt=1)] = 0.6
    steps_per_bar: Annotated[int, Field(ge=2, le=600)] = 60

    @model_validator(mode="after")
    def _obeyed(self) -> SimulatedConfig:
        if self.mode == "brownian" and "correlation" in self.stated():
            raise ValueError("correlation: those of mode 'brownian' are independent; allowed: mode 'market', or no key")
        return self

    def place(self, symbol: str, name: str) -> str:
        """Each symbol has a market of its own."""
        return symbol

    @property
    def capabilities(self) -> Capabilities:
        """A market that is made, and never changes."""
        return Capabilities(utc_days=False)


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


class FilesConfig(SourceSection):
    """CSV or Parquet under any fsspec URL.

    Args:
        url: with `{symbol}` (canonical), `{venue_symbol}` and `{data}` (the LEM_DATA setting); ends in .csv, .csv.gz
            or .parquet.
        columns: which column holds what.
        bar: length of the file's bars; if left out, the universe's. Shorter bars are aggregated.
        zone: time zone of stamps without an offset, by its IANA name (`America/New_York`); if left out, UTC.
        stamp: `open` where a bar's stamp is its begin, `close` where it is its end.
        outside_sessions: `refuse` where no rows are expected before an exchange's open and after its close;
            `leave_out` where the file has bars of extended hours, which are not read.
        absent: `missing` where a bar that is not there stops its day; `no_trades` where the file leaves out bars in
            which nobody traded.
        quote_decimals: decimals to which the file rounds quote volume; widens the VWAP's tolerance by half a unit.
        revisit_days: the last partitions that a run fetches again, to find what the source has revised. Above 0, a
            history that was adjusted again is found too.
    """

    module: ClassVar[str] = "lem.sources.files"
    template: ClassVar[str] = "url"
    tuning: ClassVar[frozenset[str]] = frozenset({"quote_decimals", "revisit_days"})
    kind: Literal["files"]
    url: Annotated[str, Field(min_length=1)]
    columns: Columns = Columns()
    bar: BarLength | None = None
    zone: str | None = None
    stamp: Literal["open", "close"] = "open"
    outside_sessions: Literal["refuse", "leave_out"] = "refuse"
    absent: Absent = "missing"
    quote_decimals: Annotated[int, Field(ge=0, le=18)] = 8
    revisit_days: Annotated[int, Field(ge=0, le=366)] = 0

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str | None) -> str | None:
        if zone is not None and zone not in available_timezones():
            near = difflib.get_close_matches(zone, available_timezones(), n=3)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise ValueError(f"no time zone {zone!r}: {hint}allowed: an IANA name such as America/New_York")
        return zone

    @model_validator(mode="after")
    def _obeyed(self) -> FilesConfig:
        if "quote_decimals" in self.stated() and not self.columns.quote_volume:
            raise ValueError("quote_decimals: columns.quote_volume is ''; allowed: a column of its own, or no key")
        return self

    def place(self, symbol: str, name: str) -> str:
        """The file's URL, with `{data}` as it stands there."""
        return placed(self.url, symbol, name)

    @property
    def capabilities(self) -> Capabilities:
        """Files on a disk or a URL, as the section describes them."""
        return Capabilities(
            bar=self.bar,
            revisit_days=self.revisit_days,
            adjusts_history=self.revisit_days > 0,
            quote_decimals=self.quote_decimals,
            name_keys=("venue_symbol",) if "{venue_symbol}" in self.url else (),
            absent=self.absent,
        )


class CcxtConfig(SourceSection):
    """A venue through ccxt's client.

    Args:
        venue: ccxt's name of it (`binance`, `bybit`, `okx`, `kraken`, `coinbase`, ...).
        url: base URL of another REST interface in place of the venue's own (a proxy, a mirror).
        bar: length of the bars that are fetched; bars shorter than the universe's are aggregated.
        page: bars asked for in one request, if the venue gives so many; if left out, the most that it gives.
        contract_volume: what the volume of a contract market counts (`base` currency or `contracts`), on a venue of
            which this is not known.
        absent: `missing` where a bar that is not there stops its day; `no_trades` where the venue leaves out bars in
            which nobody traded.
        grace_seconds: a bar counts as closed this long after its end, by the venue's clock.
        timeout_seconds: of one request.
        retries: further tries of a request that failed.
        requests_per_second: limit of all requests to the venue; if left out, the limit that ccxt knows.
        quote_decimals: decimals to which the venue rounds quote volume; widens the VWAP's tolerance by half a unit.
        revisit_days: the last partitions that a run fetches again, to find what the venue has revised.
    """

    module: ClassVar[str] = "lem.sources.ccxt_venue"
    tuning: ClassVar[frozenset[str]] = frozenset(
        {"page", "grace_seconds", "timeout_seconds", "retries", "requests_per_second", "revisit_days"}
    )
    kind: Literal["ccxt"]
    venue: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    url: str = ""
    bar: BarLength = "1min"
    page: Annotated[int, Field(ge=2, le=5000)] | None = None
    contract_volume: Literal["base", "contracts"] | None = None
    absent: Absent = "missing"
    grace_seconds: Annotated[float, Field(ge=0, le=3600)] = 60.0
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 20.0
    retries: Annotated[int, Field(ge=0, le=20)] = 6
    requests_per_second: Annotated[float, Field(gt=0, le=1000)] | None = None
    quote_decimals: Annotated[int, Field(ge=0, le=18)] = 8
    revisit_days: Annotated[int, Field(ge=0, le=366)] = 3

    @property
    def capabilities(self) -> Capabilities:
        """An exchange: its last days may be revised, and a bar is final after the grace."""
        return Capabilities(
            bar=self.bar,
            revisit_days=self.revisit_days,
            grace_seconds=self.grace_seconds,
            venue=self.venue,
            name_keys=NAME_KEYS,
            absent=self.absent,
            quote_decimals=self.quote_decimals,
        )


class ArchiveConfig(SourceSection):
    """A venue's zip archives of bars with SHA-256 sidecars, over HTTP(S), S3 or any other fsspec URL.

    Args:
        daily: URL of a day's archive, with `{symbol}`, `{venue_symbol}`, `{data}` and `{date}` (2024-01-31).
        monthly: URL of a month's archive, with `{month}` (2024-01) in place of `{date}`; preferred for months that are
            over. If left out, days are read.
        bar: length of the archives' bars; bars shorter than the universe's are aggregated.
        max_bytes: the most that one archive may unpack to.
        timeout_seconds: of one request.
        retries: further tries of a request that failed.
        absent: `missing` where a bar that is not there stops its day; `no_trades` where the venue leaves out bars in
            which nobody traded. Counts for the fallback too.
        quote_decimals: decimals to which the venue rounds quote volume; widens the VWAP's tolerance by half a unit.
        fallback: the venue, asked for days that are not archived yet; if left out, such a day is an error.
        revisit_days: the last partitions that a run fetches again, to find what the venue has revised.
    """

    module: ClassVar[str] = "lem.sources.archive"
    template: ClassVar[str] = "daily"
    tuning: ClassVar[frozenset[str]] = frozenset({"max_bytes", "timeout_seconds", "retries", "revisit_days"})
    kind: Literal["archive"]
    daily: Annotated[str, Field(min_length=1)]
    monthly: str = ""
    bar: BarLength = "1min"
    max_bytes: Annotated[int, Field(ge=1000, le=2**34)] = 2**28
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 30.0
    retries: Annotated[int, Field(ge=0, le=20)] = 6
    absent: Absent = "missing"
    quote_decimals: Annotated[int, Field(ge=0, le=18)] = 8
    fallback: CcxtConfig | None = None
    revisit_days: Annotated[int, Field(ge=0, le=366)] = 3

    @model_validator(mode="after")
    def _obeyed(self) -> ArchiveConfig:
        given = self.fallback.stated() if self.fallback else frozenset()
        if twice := sorted(given & {"absent", "revisit_days"}):
            raise ValueError(f"fallback.{twice[0]}: counts for both; allowed: source.{twice[0]} alone")
        return self

    def place(self, symbol: str, name: str) -> str:
        """The URL of a day's archive, with `{data}` and `{date}` as they stand there."""
        return placed(self.daily, symbol, name)

    def identity(self) -> dict[str, Any]:
        """As of any source; of the fallback what its own bars depend on."""
        return super().identity() | ({"fallback": self.fallback.identity()} if self.fallback else {})

    @property
    def capabilities(self) -> Capabilities:
        """An archive, and the venue behind it for what is not archived yet."""
        # An archive holds bars that are final; what is not archived yet is as the venue gives it.
        return Capabilities(
            bar=self.bar,
            revisit_days=self.revisit_days,
            grace_seconds=self.fallback.grace_seconds if self.fallback else 0.0,
            venue=self.fallback.venue if self.fallback else None,
            name_keys=NAME_KEYS if self.fallback or "{venue_symbol}" in self.daily + self.monthly else (),
            absent=self.absent,
            # Days of both may lie in one batch: the coarser rounding counts.
            quote_decimals=min(self.quote_decimals, self.fallback.quote_decimals if self.fallback else 18),
        )


class YahooConfig(SourceSection):
    """Daily bars from Yahoo through the yfinance package, adjusted for dividends.

    Args:
        grace_seconds: a session's bar counts as final this long after the session's close.
        timeout_seconds: of one request.
        revisit_days: the last partitions that a run fetches again, to find what the source has revised. Above 0, a
            history that was adjusted again is found too.
    """

    module: ClassVar[str] = "lem.sources.yahoo"
    tuning: ClassVar[frozenset[str]] = frozenset({"grace_seconds", "timeout_seconds", "revisit_days"})
    kind: Literal["yfinance"]
    bar: Literal["1d"] = "1d"
    grace_seconds: Annotated[float, Field(ge=0, le=86400)] = 7200.0
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 30.0
    revisit_days: Annotated[int, Field(ge=0, le=366)] = 5

    def place(self, symbol: str, name: str) -> str:
        """Yahoo's name, which it takes in small letters too."""
        return name.upper()

    @property
    def capabilities(self) -> Capabilities:
        """Adjusted daily sessions: a dividend changes all of them."""
        return Capabilities(
            bar=self.bar,
            revisit_days=self.revisit_days,
            adjusts_history=self.revisit_days > 0,
            grace_seconds=self.grace_seconds,
            name_keys=("venue_symbol",),
        )


KINDS: dict[str, type[SourceSection]] = {
    "simulated": SimulatedConfig,
    "files": FilesConfig,
    "ccxt": CcxtConfig,
    "archive": ArchiveConfig,
    "yfinance": YahooConfig,
}
"""Every kind of source, by the word in the universe file: a new one is one line here."""


def any_kind() -> Any:
    """The type of a section that is of one of `KINDS`."""
    return Annotated[reduce(or_, KINDS.values()), Field(discriminator="kind")]


if TYPE_CHECKING:
    SourceConfig = SourceSection
else:
    SourceConfig = any_kind()
