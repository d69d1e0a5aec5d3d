"""The text of a new universe file, with what its keys are for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SIMULATED, FILES, YAHOO = "simulated", "files", "yahoo"
"""What stands for a venue where bars come from no exchange's interface."""


@dataclass(frozen=True)
class NewUniverse:
    """What a new universe is made of.

    Args:
        name: of the universe, and of its file.
        venue: an exchange, in ccxt's name; or `simulated`, `files`, `yahoo`.
        symbols: canonical symbols, such as BTC-USDT or BRK.B.
        bar: length of a bar.
        start: first date with data, UTC.
        url: of the files, with `{symbol}`; of a venue, another REST interface in place of its own.
        calendar: when the assets trade.
        listed: first dates of listing, of assets that the source does not have from `start` on.
    """

    name: str
    venue: str
    symbols: Sequence[str]
    bar: str
    start: dt.date
    url: str = ""
    calendar: str = "24/7"
    listed: Mapping[str, dt.date] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The file, in TOML. Whether the values are allowed, `load_universe` says."""
        daily = self.bar == "1d"
        parts = [
            _HEAD.format(
                name=_quoted(self.name),
                description=_quoted(f"{', '.join(self.symbols)}: {self.bar} bars, {self.venue}"),
                calendar=_quoted(self.calendar),
                bar=_quoted(self.bar),
                start=self.start,
            ),
            self._source,
            _ASSETS + "".join(f"{_key(symbol)} = {self._asset(symbol)}\n" for symbol in self.symbols),
            _DAILY if daily else _INTRADAY.format(window=_WINDOWS.get(self.bar, 380)),
            _COSTS,
            _NIGHT,
        ]
        return "\n".join(parts)

    def _asset(self, symbol: str) -> str:
        return f"{{ listed = {self.listed[symbol]} }}" if symbol in self.listed else "{}"

    @property
    def _source(self) -> str:
        if self.venue == SIMULATED:
            return _SIMULATED
        if self.venue == FILES:
            return _FILES.format(url=_quoted(self.url or "{data}/{symbol}.parquet"))
        if self.venue == YAHOO:
            return _YAHOO
        url = f"url = {_quoted(self.url)}\n" if self.url else ""
        return _VENUE.format(venue=_quoted(self.venue), url=url, bar=_quoted(self.bar))


def default_calendar(venue: str) -> str:
    """When the assets of a venue trade."""
    return "XNYS" if venue == YAHOO else "24/7"


def default_start(bar: str, today: dt.date) -> dt.date:
    """A New Year's Day far enough back for the first model of a universe of these bars.

    Args:
        bar: its length.
        today: UTC.
    """
    return dt.date(today.year - (6 if bar == "1d" else 3), 1, 1)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _key(symbol: str) -> str:
    """A TOML key; one with a dot would be a table unless it is quoted."""
    return symbol if symbol.replace("-", "").isalnum() and symbol.isascii() else _quoted(symbol)


_HEAD = """\
# Every key: docs/universes.md. Look at it with `lem check`, whenever something here has changed.

name = {name}
description = {description}
calendar = {calendar}       # "24/7" around the clock, "XNYS" sessions of the New York Stock Exchange, ...
bar = {bar}
start = {start}      # first date with data (UTC), inclusive; without an end, the last one is yesterday
horizon = 12            # the longest order, in bars
"""

_SIMULATED = """\
[source]
kind = "simulated"      # a market of its own, the same on every machine: for trying things out
mode = "market"         # "brownian" is the control: no strategy can know anything there
seed = 1
"""

_FILES = """\
[source]
kind = "files"          # CSV or Parquet; {{data}} is the setting LEM_DATA
url = {url}
# columns = {{ ts = "time", quote_volume = "" }}   # where a column has another name, or there is none
# zone = "America/New_York"                      # of stamps without an offset; UTC if left out
"""

_YAHOO = """\
[source]
kind = "yfinance"       # Yahoo, by way of yfinance: pip install 'lem-pipeline[yfinance]'
"""

_VENUE = """\
[source]
kind = "ccxt"           # keys, where the venue wants some, are settings: LEM_<VENUE>_API_KEY and so on
venue = {venue}
{url}bar = {bar}              # of the bars that are fetched; shorter ones give a better VWAP where it is estimated
revisit_days = 3        # the last days that each run fetches again, to find what the venue has revised
"""

_ASSETS = """\
# One line an asset. Where the venue calls it otherwise, venue_symbol = "..."; where it was not listed all the time,
# listed = 2024-05-01 and delisted = 2025-06-30.
[assets]
"""

_WINDOWS: Mapping[str, int] = {
    "1min": 42,
    "5min": 42,
    "15min": 100,
    "30min": 200,
    "1h": 380,
    "2h": 500,
    "4h": 700,
}

_INTRADAY = """\
[training]
window_days = {window}       # days before the model's date that are read
holdout_days = 14       # the last of them: never trained on, kept to judge the model
retrain_every = 5       # a model every fifth night; 1 trains every night
steps = 300

[backtest]
report_days = 10        # walk-forward days in a report; more days, narrower intervals
"""

_DAILY = """\
[features]              # trailing windows, in days
volatility = 63
short_volatility = 5
volume = 63
seasons = 8

[model]
hidden = 24
lookback = 20
warmup = 30

[training]
window_days = 900       # days before the model's date that are read
holdout_days = 60       # the last of them: never trained on, kept to judge the model
retrain_every = 20      # a model every four weeks; 1 trains every night
steps = 160             # few bars: many more steps learn them by heart
batch = 24
sequence = 96

[backtest]
report_days = 60        # an order may last twelve days: these are five independent blocks
"""

_COSTS = """\
[costs]                 # assumed, for results after costs: put in your own
fee_bps = 1.0           # of every fill
half_spread_bps = 0.5
impact = 0.5            # Y of Y x sigma x sqrt(slice / volume of the bar)
order_size = 0.2        # an order in mean bar volumes
participation_cap = 0.1 # most that is traded in one bar, in mean bar volumes
"""

_NIGHT = """\
[night]
enabled = false         # true: the daemon of `lem ui` makes the night by itself

# Bars that the venue never made stop their day until they are listed:
# [[outages]]
# start = 2025-04-25T02:00:00Z
# end = 2025-04-25T04:00:00Z
# reason = "maintenance, all pairs"
"""
