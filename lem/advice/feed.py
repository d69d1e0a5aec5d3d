"""Features of the last days up to the bar that has just closed.

Days that are over come from the lake, the others from the source. They are made by the same rules as the night will
make them, and are the same to the bit.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pandas as pd

from lem.advice.clock import Moment
from lem.data.bars import TABLE_SCHEMA, validate_bars
from lem.data.features import check_features, compute_features
from lem.errors import AdviceError, LemError
from lem.lake import Lake
from lem.lineage.one_source import OneSource
from lem.lineage.quarantine import quarantine_path, quarantined_dates
from lem.sources.base import Source
from lem.universe import Outage, Universe
from lem.universe.calendars import bar_close, expected_bars, outage_mask, partition_dates, partition_window
from lem.universe.session_bars import session_grid
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
        self._features: dict[tuple[str, dt.date], pd.DataFrame] = {}
        self._bars: dict[tuple[str, dt.date], pd.DataFrame] = {}
        self._raw: dict[tuple[str, dt.date], tuple[pd.DataFrame, dt.datetime]] = {}
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
        if len(symbols) < 2:
            return
        for symbol in symbols:
            self._source.forget(symbol)
        with ThreadPoolExecutor(min(len(symbols), MOST_AT_ONCE), "bars") as pool:
            self._ahead = dict(zip(symbols, pool.map(partial(self._ask_ahead, at=at), symbols), strict=True))

    def _ask_ahead(self, symbol: str, at: Moment) -> _Ahead | None:
        date = at.last.date()
        if (symbol, date) in self._bars or (symbol, date) in self._features:
            return None
        over = _is_over(self._universe, date, at)
        if over and self._lake.exists(self._lake.path(self._universe.name, "bars", date, symbol)):
            return None
        _, since, until = self._missing(symbol, date, at)
        if since >= until:
            return None
        try:
            return _Ahead(since, until, self._source.fetch(symbol, since, until).table)
        except LemError as error:
            return _Ahead(since, until, error)

    def features(self, symbol: str, first: dt.date, at: Moment) -> pd.DataFrame:
        """The feature table of `symbol` from the partition `first` to the bar that closed last.

        Raises:
            AdviceError: bars are missing, quarantined or not validated, or the source does not answer. It names the
                asset, the day and what is wrong.
        """
        dates = [d for d in partition_dates(self._universe, first, at.last.date()) if d >= self._universe.start]
        self._forget(symbol, dates)
        if symbol not in self._ahead:
            # A bar is wanted that was not there before: what the source read then does not have it.
            self._source.forget(symbol)
        try:
            OneSource(self._lake, self._universe, symbol).refuse_reading_beside()
            self._refuse_quarantined(symbol, [*history_dates(self._universe, dates[0]), *dates] if dates else [])
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
            return self._features[symbol, date]
        over = _is_over(self._universe, date, at)
        path = self._lake.path(self._universe.name, "features", date, symbol)
        if over and self._lake.exists(path):
            table = self._lake.read_table(path)
        else:
            before = [self._bars_of(symbol, d, at) for d in history_dates(self._universe, date)]
            past = pd.concat(before) if before else TABLE_SCHEMA.empty_table().to_pandas()
            day = self._bars_of(symbol, date, at)
            table = check_features(compute_features(past, day, self._universe.features, self._universe.clock))
        if over:
            self._features[symbol, date] = table
        return table

    def _bars_of(self, symbol: str, date: dt.date, at: Moment) -> pd.DataFrame:
        if (symbol, date) in self._bars:
            return self._bars[symbol, date]
        over = _is_over(self._universe, date, at)
        path = self._lake.path(self._universe.name, "bars", date, symbol)
        stored = over and self._lake.exists(path)
        table = self._lake.read_table(path) if stored else self._from_source(symbol, date, at)
        if over:
            self._bars[symbol, date] = table
        return table

    def _refuse_quarantined(self, symbol: str, dates: list[dt.date]) -> None:
        """Refuse quarantined days: the lake may still have tables of them that were made of other bars."""
        bad = [date for date in quarantined_dates(self._lake, self._universe.name, symbol) if date in dates]
        if bad:
            # Once repaired, these days and what was computed from them are other ones than were read.
            for kept in (self._features, self._bars, self._raw):
                for key in [key for key in kept if key[0] == symbol]:
                    del kept[key]
            more = f" and of {len(bad) - 1} more days up to {bad[-1]}" if len(bad) > 1 else ""
            path = quarantine_path(self._universe.name, bad[0], symbol)
            raise AdviceError(
                f"{symbol}: the bars of {bad[0]}{more} are quarantined, see {self._lake.show(path)}; repair them with: "
                f"lem backfill --universe {self._universe.name} --from {bad[0]} --to {bad[-1]}; no advice before"
            )

    def _from_source(self, symbol: str, date: dt.date, at: Moment) -> pd.DataFrame:
        """Bars of a date that have closed. What was fetched before is not fetched again."""
        end = partition_window(date)[1]
        raw, since, until = self._missing(symbol, date, at)
        if since < until:
            fetched = self._fetched(symbol, since, until)
            raw = fetched if raw is None else pd.concat([raw, fetched], ignore_index=True)
        assert raw is not None
        # The venue may correct itself: where something is wrong, the whole day is asked for next time.
        self._raw.pop((symbol, date), None)
        late = self._late(raw, symbol, date, at)
        there = late[0].to_pydatetime() if len(late) else until
        table = validate_bars(raw, _not_yet(self._universe, there, end), symbol, date).table
        if len(late):
            raise AdviceError(
                f"{symbol}: the source does not have the bars from {there:%Y-%m-%d %H:%M} to {at.as_of:%Y-%m-%d %H:%M} "
                f"UTC yet ({len(late)} of {self._universe.source_bar}); no advice before it has: ask again"
            )
        self._raw[symbol, date] = raw, until
        return table[table["close_ts"] <= at.as_of].reset_index(drop=True)

    def _missing(self, symbol: str, date: dt.date, at: Moment) -> tuple[pd.DataFrame | None, dt.datetime, dt.datetime]:
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

    def _late(self, raw: pd.DataFrame, symbol: str, date: dt.date, at: Moment) -> pd.DatetimeIndex:
        """Opens of the bars that have closed and that the source will have soon: those after the last one it has.

        Empty unless they reach up to the bar that has just closed: nobody knows that older bars will still come.
        """
        grid = self._universe.model_copy(update={"bar": self._universe.source_bar})
        opens = expected_bars(grid, symbol, date)
        opens = opens[~outage_mask(grid, symbol, opens)]
        opens = opens[bar_close(grid, opens) <= pd.Timestamp(at.as_of)]
        behind = opens if raw.empty else opens[opens > raw["ts"].max()]
        return behind if len(behind) and bar_close(grid, behind)[-1] == pd.Timestamp(at.as_of) else behind[:0]

    def _forget(self, symbol: str, dates: list[dt.date]) -> None:
        """Let go of the days before those that features of the first date read."""
        oldest = min(history_dates(self._universe, dates[0]) or dates) if dates else dt.date.min
        for kept in (self._features, self._bars, self._raw):
            for key in [key for key in kept if key[0] == symbol and key[1] < oldest]:
                del kept[key]


def _is_over(universe: Universe, date: dt.date, at: Moment) -> bool:
    """Whether all bars of a partition have closed. A session's single daily bar always has: nobody asks before."""
    if not universe.in_sessions:
        return universe.daily_sessions or partition_window(date)[1] <= at.as_of
    days = pd.DatetimeIndex([pd.Timestamp(date)])
    opens, _ = session_grid(universe.calendar, universe.bar_length, days)
    return len(opens) == 0 or bar_close(universe, opens[-1:])[0] <= pd.Timestamp(at.as_of)


def _not_yet(universe: Universe, until: dt.datetime, end: dt.datetime) -> Universe:
    """The universe in which the bars from `until` on are not expected yet."""
    if until >= end:
        return universe
    later = Outage(start=until, end=end, reason="not closed yet")
    return universe.model_copy(update={"outages": (*universe.outages, later)})
