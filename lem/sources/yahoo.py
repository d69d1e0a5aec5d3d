"""Daily bars from Yahoo through the optional package yfinance, on the scale of the adjusted close.

yfinance's habits are turned off: it would repair prices, round them, drop rows without prices, and answer an error with
an empty table. Two stay: of two rows of one date it keeps the first, and it takes a missing volume as 0.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pandas as pd

from lem.errors import SourceError
from lem.sources.adjust import adjusted
from lem.sources.base import RAW_DTYPES, RawBars, check_window
from lem.sources.columns import numbers, refuse
from lem.sources.limits import CLOCK, Clock
from lem.universe import Universe
from lem.universe.calendars import bar_close, expected_grid, session_opens
from lem.universe.source_config import YahooConfig

COLUMNS = {"open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume"}
ADJUSTED_CLOSE = "Adj Close"


class Yahoo:
    """The source of `kind = "yfinance"`. An asset's history is asked for once and kept until it is forgotten.

    Yahoo has no clock to ask: this machine's clock tells whether a session is over, with hours of grace.

    Args:
        universe: whose assets are read.
        clock: of this machine.

    Raises:
        SourceError: the package is not installed.
    """

    def __init__(self, universe: Universe, clock: Clock = CLOCK) -> None:
        if not isinstance(universe.source, YahooConfig):
            raise SourceError(f"{universe.name}: source.kind is {universe.source.kind!r}, not 'yfinance'")
        self._universe, self._config, self._clock = universe, universe.source, clock
        self._client = _client(universe.name)
        self._cache: dict[str, pd.DataFrame] = {}

    def fetch(self, symbol: str, start: dt.datetime, end: dt.datetime) -> RawBars:
        """Rows of the asset whose session opens in [start, end), UTC, adjusted (`lem.sources.adjust`).

        `source` is `yahoo:` and Yahoo's name of the asset; `source_row`, the number of the bar in its day, is 1.

        Raises:
            SourceError: Yahoo did not answer, or not with daily bars of sessions; the window has a session that is
                not over; or a row has no adjustment.
            UniverseError: unknown symbol.
        """
        check_window(start, end)
        name = self._name(symbol)
        self._check_closed(symbol, start, end)
        source, table = f"yahoo:{name}", self._cache.get(name)
        if table is None:
            table = self._cache[name] = self._ask(name)
        table = table[(table["ts"] >= start) & (table["ts"] < end)].reset_index(drop=True)
        table = adjusted(f"{source} from {start:%Y-%m-%d}", table, table[ADJUSTED_CLOSE])
        table["source"], table["source_row"] = source, 1
        return RawBars(table[list(RAW_DTYPES)].astype(RAW_DTYPES), source, self._clock.now())

    def forget(self, symbol: str) -> None:
        """Let the next `fetch` ask for the asset's history again: there may be new sessions."""
        self._cache.pop(self._name(symbol), None)

    def _name(self, symbol: str) -> str:
        return self._universe.assets[self._universe.check_symbol(symbol)].venue_symbol or symbol

    def _check_closed(self, symbol: str, start: dt.datetime, end: dt.datetime) -> None:
        """Refuse a window with a session that is not over: Yahoo already has its bar, which still changes."""
        dates = [stamp.date() for stamp in pd.date_range(start.date(), end.date())]
        opens = expected_grid(self._universe, symbol, dates)[0]
        first, last = opens.searchsorted([pd.Timestamp(start), pd.Timestamp(end)])
        closes = bar_close(self._universe, opens[first:last])
        now, grace = self._clock.now(), pd.Timedelta(seconds=self._config.grace_seconds)
        if len(closes) and closes[-1] + grace > now:
            raise SourceError(
                f"yahoo: {symbol}: a session that ends at {closes[-1]:%Y-%m-%d %H:%M} UTC is asked for, and it is "
                f"{now:%Y-%m-%d %H:%M}; allowed: {self._config.grace_seconds:g} s after its end (source.grace_seconds)"
            )

    def _ask(self, name: str) -> pd.DataFrame:
        """All of Yahoo's daily bars from the universe's first date on, unadjusted, with the adjusted close."""
        source = f"yahoo:{name}"
        try:
            # Without an end: for a window in the past yfinance answers from its cache, which hides revisions.
            answer = self._client.Ticker(name).history(
                interval="1d",
                start=self._universe.start,
                end=None,
                prepost=False,
                actions=False,
                auto_adjust=False,
                back_adjust=False,
                repair=False,
                keepna=True,
                rounding=False,
                timeout=self._config.timeout_seconds,
            )
        # yfinance raises whatever its version and its HTTP library do; none of it is a defect of ours.
        except Exception as error:
            raise SourceError(f"{source}: cannot be read: {type(error).__name__}: {error}") from error
        missing = [column for column in (*COLUMNS.values(), ADJUSTED_CLOSE) if column not in answer]
        if missing and len(answer):
            there = ", ".join(map(str, answer.columns))
            raise SourceError(f"{source}: no column {', '.join(missing)}; the columns there are: {there}")
        table = pd.DataFrame({"ts": self._opens(source, answer)})
        for column, theirs in [*COLUMNS.items(), (ADJUSTED_CLOSE, ADJUSTED_CLOSE)]:
            values = answer.get(theirs, pd.Series(dtype="float64", name=theirs))
            table[column] = numbers(source, values.reset_index(drop=True))
        return table.assign(quote_volume=float("nan"))

    def _opens(self, source: str, answer: Any) -> pd.Series:
        """The sessions' opens (UTC): Yahoo's index is midnight where the asset trades."""
        if answer.empty:
            return pd.Series(dtype=RAW_DTYPES["ts"])
        dates = pd.DatetimeIndex(answer.index).tz_localize(None).as_unit("us")
        opens = pd.Series(session_opens(self._universe, dates.normalize()))
        rule = f"is no session of {self._universe.calendar}; allowed: dates on which it trades"
        refuse(source, pd.Series(dates, name="Date"), opens.isna() | (dates != dates.normalize()), rule)
        return opens


def _client(universe: str) -> ModuleType:
    """yfinance, told to raise its errors."""
    try:
        import yfinance
    except ImportError as error:
        raise SourceError(
            f"{universe}: source.kind 'yfinance' needs the package yfinance, which cannot be imported ({error}); "
            "install it with: pip install 'lem-pipeline[yfinance]'"
        ) from error
    yfinance.config.debug.hide_exceptions = False
    return yfinance


def opened(universe: Universe, data_root: str, credentials: Mapping[str, str]) -> Yahoo:
    """The source of a universe, as `lem.sources.open_source` asks for it."""
    return Yahoo(universe)
