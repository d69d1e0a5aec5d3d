"""Features of the last days up to the bar that has just closed.

Days that are over come from the lake, the others from the source. They are made by the same rules as the night will
make them, and are the same to the bit.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from lem.advice.clock import Moment, is_over
from lem.advice.day_log import AssetDay, DayLog, Tables
from lem.advice.late_bars import late_bars, not_yet
from lem.advice.next_bars import Asked, next_bars
from lem.data.bars import TABLE_SCHEMA, validate_bars
from lem.data.features import check_features, compute_features
from lem.data.panel import Panel
from lem.data.tail import Followed, Tail
from lem.errors import AdviceError, LakeError, LemError
from lem.lake import Lake
from lem.lineage.one_source import OneSource
from lem.lineage.quarantine import quarantine_path, quarantined_dates
from lem.sources.base import Source
from lem.universe import Universe
from lem.universe.calendars import (
    is_listed,
    partition_dates,
    partition_window,
)
from lem.universe.windows import history_dates

MOST_AT_ONCE = 16
"""Assets that a source is asked for at the same time."""


@dataclass(frozen=True)
class _Ahead:
    """What a source answered for the bars of a window."""

    since: dt.datetime
    until: dt.datetime
    found: pd.DataFrame | LemError


class Feed:
    """Validated bars and features of a universe up to a moment. Days that are over are read once and kept.

    Nothing is written: the lake stays as the pipeline made it.

    Args:
        universe: whose bars they are.
        lake: has the days that are over.
        source: has the others.
    """

    def __init__(self, universe: Universe, lake: Lake, source: Source) -> None:
        self._universe, self._lake, self._source = universe, lake, source
        self._features: dict[tuple[str, dt.date], pd.DataFrame | AssetDay] = {}
        self._bars: dict[tuple[str, dt.date], pd.DataFrame | AssetDay] = {}
        self._raw: dict[tuple[str, dt.date], tuple[pd.DataFrame | AssetDay, dt.datetime]] = {}
        self._days: dict[tuple[str, dt.date], AssetDay] = {}
        self._log = dt.date.min, DayLog()
        self._tails: dict[str, Tail] = {}
        self._ahead: dict[str, _Ahead | None] = {}

    def fetch_ahead(self, symbols: Sequence[str], at: Moment) -> None:
        """Fetch what `features` will want of the day of the last bar, of several assets at the same time.

        What a source refuses is told by `features`.

        Args:
            symbols: of the assets.
            at: says which bar is the last.
        """
        self._ahead = {}
        symbols = [symbol for symbol in symbols if symbol in self._universe.assets]  # others are refused one by one
        if not symbols:
            return
        for symbol in symbols:
            self._source.forget(symbol)
        with ThreadPoolExecutor(min(len(symbols), MOST_AT_ONCE), "bars") as pool:
            self._ahead = dict(zip(symbols, pool.map(partial(self._ask_ahead, at=at), symbols), strict=True))

    def _ask_ahead(self, symbol: str, at: Moment) -> _Ahead | None:
        date = at.last.date()
        if (symbol, date) in self._bars or (symbol, date) in self._features:
            return None
        # A lake that cannot be read is told of by `features`.
        with suppress(LakeError):
            if is_over(self._universe, date, at) and self._stored("bars", date, symbol):
                return None
        _, since, until = self._missing(symbol, date, at)
        if since >= until:
            return None
        try:
            return _Ahead(since, until, self._source.fetch(symbol, since, until).table)
        except LemError as error:
            return _Ahead(since, until, error)

    def go_on(self, wanted: Mapping[str, tuple[dt.date, np.datetime64]], at: Moment) -> dict[str, Panel]:
        """Features of the bars that have closed since, of those assets whose bars simply go on.

        New bars and features of all these assets are made together: the same as `features` would tell, to the bit.
        Where anything else has happened, an asset is left out: `features` reads its day and says what is wrong.

        Args:
            wanted: for each asset the first partition that `features` would be asked for, and the open of the last bar
                of it that is known (UTC).
            at: says which bar is the last. `fetch_ahead` was called for it.
        """
        over, asked = is_over(self._universe, at.last.date(), at), dict[str, Asked]()
        for symbol, (first, last) in wanted.items():
            tail = self._tails.get(symbol)
            if tail is not None and tail.last == pd.Timestamp(last, tz="UTC"):
                # What an asset is refused for is told by `features`.
                with suppress(LemError):
                    asked |= self._asked(symbol, first, tail, at, over)
        found, together = dict[str, Panel](), list[Followed]()
        with suppress(LemError):
            together = list(next_bars(asked, self._universe, at, over))
        for made in together:
            date, symbols = at.last.date(), made.bars.symbols
            log = self._log_of(date)
            for symbol in symbols:
                key, tail = (symbol, date), made.tails[symbol]
                if not asked[symbol].tail.bars_of_day:
                    self._days[key] = AssetDay(symbol, None, log, len(log))
                self._tails[symbol], self._raw[key] = tail, (self._days[key], asked[symbol].until)
                if over:
                    self._features[key] = self._bars[key] = self._days[key]
                found[symbol] = made.panel.of([symbol])
            log.add(symbols, Tables(made.bars.raw, made.bars.table, made.features))
        return found

    def _asked(self, symbol: str, first: dt.date, tail: Tail, at: Moment, over: bool) -> dict[str, Asked]:
        """What the source told of an asset's bars behind a tail; empty where they are not read from it alone.

        Raises:
            AdviceError: a day that is read is quarantined.
            LakeError: the lake cannot be read.
            SourceError: the stored days are from another source.
        """
        date, ahead = at.last.date(), self._ahead.get(symbol)
        dates = self._dates(first, date)
        self._refuse(symbol, dates)
        begun: Tail | None = tail
        if tail.date != date:
            self._forget(symbol, dates)
            begun = tail.of_next_day(self._universe, date)
        if begun is None or ahead is None or isinstance(ahead.found, LemError):
            return {}
        _, since, until = self._missing(symbol, date, at)
        hit = any(
            outage.start < until and outage.end > since and (outage.assets is None or symbol in outage.assets)
            for outage in self._universe.outages
        )
        # Where the bars are stored, nothing was fetched ahead.
        stored = over and self._stored("features", date, symbol)
        # Bars of a day without any row do not show what theirs would be.
        blank = begun.quoted is None and begun.bars_of_day > 0
        if (
            hit
            or stored
            or blank
            or (since, until) != (ahead.since, ahead.until)
            or not is_listed(self._universe, symbol, date)
        ):
            return {}
        return {symbol: Asked(begun, since, until, ahead.found)}

    def features(self, symbol: str, first: dt.date, at: Moment) -> pd.DataFrame:
        """The feature table of `symbol` from the partition `first` to the bar that closed last.

        Raises:
            AdviceError: bars are missing, quarantined or not validated, or the source does not answer. It names the
                asset, the day and what is wrong.
        """
        dates = self._dates(first, at.last.date())
        self._tails.pop(symbol, None)
        self._forget(symbol, dates)
        if symbol not in self._ahead:
            # A bar is wanted that was not there before: what the source read then does not have it.
            self._source.forget(symbol)
        try:
            self._refuse(symbol, dates)
            table = pd.concat([self._features_of(symbol, date, at) for date in dates], ignore_index=True)
        except AdviceError:
            raise
        except LemError as error:
            raise AdviceError(
                f"{symbol}: no advice without bars up to {at.as_of:%Y-%m-%d %H:%M} UTC: {error}"
            ) from error
        if table.empty or table["ts"].iloc[-1] != at.last:
            there = "none" if table.empty else f"{table['ts'].iloc[-1]:%Y-%m-%d %H:%M}"
            raise AdviceError(
                f"{symbol}: the last bar is {there}, and that of {at.last:%Y-%m-%d %H:%M} UTC is expected (the asset "
                f"is not listed then); no advice"
            )
        return table

    def bars(self, symbol: str, date: dt.date, at: Moment) -> pd.DataFrame:
        """The validated bars of a partition that have closed by a moment, as `features` reads them.

        Raises:
            AdviceError: as `features`.
        """
        self._forget(symbol, [date])
        self._source.forget(symbol)
        self._refuse_quarantined(symbol, [date])
        try:
            return self._bars_of(symbol, date, at)
        except AdviceError:
            raise
        except LemError as error:
            raise AdviceError(f"{symbol}: no bars of {date}: {error}") from error

    def _features_of(self, symbol: str, date: dt.date, at: Moment) -> pd.DataFrame:
        if (symbol, date) in self._features:
            return _table(self._features, (symbol, date), "features")
        over = is_over(self._universe, date, at)
        if over and self._stored("features", date, symbol):
            table = self._lake.read_table(self._lake.path(self._universe.name, "features", date, symbol))
        else:
            before = [self._bars_of(symbol, d, at) for d in history_dates(self._universe, date)]
            past = pd.concat(before) if before else TABLE_SCHEMA.empty_table().to_pandas()
            day = self._bars_of(symbol, date, at)
            table = check_features(compute_features(past, day, self._universe.features, self._universe.clock))
            if date == at.last.date():
                self._tails[symbol] = Tail.of(past, day, self._universe, date, over)
                self._begin(symbol, date, day, table)
        if over:
            self._features[symbol, date] = table
        return table

    def _bars_of(self, symbol: str, date: dt.date, at: Moment) -> pd.DataFrame:
        if (symbol, date) in self._bars:
            return _table(self._bars, (symbol, date), "bars")
        over = is_over(self._universe, date, at)
        if over and self._stored("bars", date, symbol):
            table = self._lake.read_table(self._lake.path(self._universe.name, "bars", date, symbol))
        else:
            table = self._from_source(symbol, date, at)
        if over:
            self._bars[symbol, date] = table
        return table

    def _log_of(self, date: dt.date) -> DayLog:
        """The log of the day that is followed; that of a day before is kept by those who need it."""
        if self._log[0] != date:
            self._log = date, DayLog()
        return self._log[1]

    def _begin(self, symbol: str, date: dt.date, bars: pd.DataFrame, features: pd.DataFrame) -> None:
        """Keep what was made of a day as a whole: bars that follow are added to it."""
        raw, _ = self._raw.get((symbol, date), (None, None))
        if isinstance(raw, pd.DataFrame):
            log = self._log_of(date)
            self._days[symbol, date] = AssetDay(symbol, Tables(raw, bars, features), log, len(log))

    def _stored(self, table: str, date: dt.date, symbol: str) -> bool:
        return self._lake.exists(self._lake.path(self._universe.name, table, date, symbol))

    def _dates(self, first: dt.date, last: dt.date) -> list[dt.date]:
        return [date for date in partition_dates(self._universe, first, last) if date >= self._universe.start]

    def _refuse(self, symbol: str, dates: list[dt.date]) -> None:
        """Refuse to read features of some dates where the lake says that the bars cannot be relied on."""
        OneSource(self._lake, self._universe, symbol).refuse_reading_beside()
        self._refuse_quarantined(symbol, [*history_dates(self._universe, dates[0]), *dates] if dates else [])

    def _refuse_quarantined(self, symbol: str, dates: list[dt.date]) -> None:
        """Refuse quarantined days: the lake may still have tables of them that were made of other bars."""
        bad = [date for date in quarantined_dates(self._lake, self._universe.name, symbol) if date in dates]
        if bad:
            # Once repaired, these days and what was computed from them are other ones than were read.
            for kept in (self._features, self._bars, self._raw, self._days):
                for key in [key for key in kept if key[0] == symbol]:
                    del kept[key]
            self._tails.pop(symbol, None)
            more = f" and of {len(bad) - 1} more days up to {bad[-1]}" if len(bad) > 1 else ""
            path = quarantine_path(self._universe.name, bad[0], symbol)
            raise AdviceError(
                f"{symbol}: the bars of {bad[0]}{more} are quarantined, see {self._lake.show(path)}; repair them with: "
                f"lem backfill --universe {self._universe.name} --from {bad[0]} --to {bad[-1]}; no advice before"
            )

    def _from_source(self, symbol: str, date: dt.date, at: Moment) -> pd.DataFrame:
        """Bars of a date that have closed. What was fetched before is not fetched again."""
        end = partition_window(date)[1]
        known, since, until = self._missing(symbol, date, at)
        raw = known.table("raw") if isinstance(known, AssetDay) else known
        if since < until:
            fetched = self._fetched(symbol, since, until)
            raw = fetched if raw is None else pd.concat([raw, fetched], ignore_index=True)
        assert raw is not None
        # The venue may correct itself: where something is wrong, the whole day is asked for next time.
        self._raw.pop((symbol, date), None)
        late = late_bars(raw, self._universe, symbol, date, at)
        there = late[0].to_pydatetime() if len(late) else until
        table = validate_bars(raw, not_yet(self._universe, there, end), symbol, date).table
        if len(late):
            raise AdviceError(
                f"{symbol}: the source does not have the bars from {there:%Y-%m-%d %H:%M} to {at.as_of:%Y-%m-%d %H:%M} "
                f"UTC yet ({len(late)} of {self._universe.source_bar}); no advice before it has: ask again"
            )
        self._raw[symbol, date] = raw, until
        return table[table["close_ts"] <= at.as_of].reset_index(drop=True)

    def _missing(
        self, symbol: str, date: dt.date, at: Moment
    ) -> tuple[pd.DataFrame | AssetDay | None, dt.datetime, dt.datetime]:
        """What was fetched of a date, and from when to when bars of it that have closed are missing."""
        start, end = partition_window(date)
        raw, since = self._raw.get((symbol, date), (None, start))
        return raw, since, end if self._universe.daily_sessions else min(end, at.as_of)

    def _fetched(self, symbol: str, since: dt.datetime, until: dt.datetime) -> pd.DataFrame:
        ahead = self._ahead.get(symbol)
        if ahead is None or (ahead.since, ahead.until) != (since, until):
            return self._source.fetch(symbol, since, until).table
        if isinstance(ahead.found, LemError):
            raise ahead.found
        return ahead.found

    def _forget(self, symbol: str, dates: list[dt.date]) -> None:
        """Let go of the days before those that features of the first date read."""
        oldest = min(history_dates(self._universe, dates[0]) or dates) if dates else dt.date.min
        for kept in (self._features, self._bars, self._raw, self._days):
            for key in [key for key in kept if key[0] == symbol and key[1] < oldest]:
                del kept[key]


def _table(
    kept: dict[tuple[str, dt.date], pd.DataFrame | AssetDay], key: tuple[str, dt.date], kind: str
) -> pd.DataFrame:
    """A table that is kept; one that was followed bar by bar is put together when it is first asked for."""
    table = kept[key]
    if isinstance(table, AssetDay):
        table = kept[key] = table.table(kind)
    return table
