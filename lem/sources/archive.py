"""A venue's daily and monthly zip archives of bars, with SHA-256 sidecars, under any fsspec URL (https://, s3://, ...).

Archives are unpacked and read in memory. The rows are handed on as they are: broken prices, duplicates and gaps are
judged when bars are validated. One file that is damaged or unverified fails the whole window; a row that cannot be
read, or is of another time, blocks its own day.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple
from urllib.parse import urlsplit

import pandas as pd

from lem.errors import SourceError
from lem.sources.bad_rows import BadRow, refuse_bad
from lem.sources.base import RAW_DTYPES, RawBars, Source, check_window
from lem.sources.download import Downloads
from lem.sources.klines import read_klines
from lem.sources.limits import CLOCK, Clock
from lem.sources.templates import template_fields
from lem.sources.zipped import unpack
from lem.universe import Universe
from lem.universe.calendars import expected_bars, outage_lines, outage_mask, partition_window
from lem.universe.source_config import ArchiveConfig
from lem.universe.source_section import BarLength

FIELDS = ("data", "symbol", "venue_symbol", "bar", "date", "month")
SUFFIX = ".zip"
KEPT = 16
"""Number of parsed archives kept in memory: a month of one-minute bars takes 3 MB."""

_SPELLED: dict[BarLength, str] = {"1min": "1m", "5min": "5m", "15min": "15m", "30min": "30m"}
_MISSING, _NOTHING = "missing", "nothing"


class _Day(NamedTuple):
    """Where a day's bars are.

    Args:
        date: the day.
        url: of the archive; `nothing` if no bar is expected, `missing` if the day is not archived yet.
        table: the archive's rows; None if there is no archive.
        bad: its rows that cannot be read.
    """

    date: dt.date
    url: str
    table: pd.DataFrame | None
    bad: Sequence[BadRow] = ()


class Archive:
    """The source of `kind = "archive"`.

    Args:
        universe: whose `[source]` section holds the URL templates.
        data_root: what `{data}` in a template stands for.
        credentials: of the venue in `source.fallback`, if there is one.
        clock: of this machine, for waiting and to tell which months are over.

    Raises:
        SourceError: a template has an unknown field or lacks one, holds a password or a query, does not end in .zip,
            or needs a data root that is not set; or the fallback's bars have another length.
    """

    def __init__(
        self,
        universe: Universe,
        data_root: str,
        credentials: Mapping[str, str],
        clock: Clock = CLOCK,
    ) -> None:
        if not isinstance(universe.source, ArchiveConfig):
            raise SourceError(f"{universe.name}: source.kind is {universe.source.kind!r}, not 'archive'")
        self._universe, self._config = universe, universe.source
        self._grid = universe.model_copy(update={"bar": universe.source_bar})
        self._data_root, self._credentials = data_root.rstrip("/"), credentials
        self._downloads = Downloads(self._config.timeout_seconds, self._config.retries, clock)
        self._clock, self._lock = clock, threading.Lock()
        self._tables: OrderedDict[str, tuple[pd.DataFrame, list[BadRow]]] = OrderedDict()
        self._without_monthly: set[str] = set()
        self._fallback: Source | None = None
        self._check("daily", self._config.daily, "date", "month")
        if self._config.monthly:
            self._check("monthly", self._config.monthly, "month", "date")
        venue = self._config.fallback
        if venue is not None and venue.bar != self._config.bar:
            raise SourceError(
                f"{universe.name}: source.fallback.bar is {venue.bar!r} and source.bar is {self._config.bar!r}; "
                "allowed: the same length"
            )

    def url(self, symbol: str, date: dt.date, monthly: bool = False) -> str:
        """URL of the archive with a day's bars.

        Args:
            symbol: of the asset.
            date: the day.
            monthly: the archive of the day's whole month.

        Raises:
            UniverseError: unknown symbol.
        """
        asset = self._universe.assets[self._universe.check_symbol(symbol)]
        template = self._config.monthly if monthly else self._config.daily
        return template.format(
            data=self._data_root,
            symbol=symbol,
            venue_symbol=asset.name_on(date, symbol),
            bar=_SPELLED.get(self._config.bar, self._config.bar),
            date=date.isoformat(),
            month=f"{date:%Y-%m}",
        )

    def fetch(self, symbol: str, start: dt.datetime, end: dt.datetime) -> RawBars:
        """Rows whose bar opens in [start, end), UTC, archive by archive, in each archive's order.

        Days without an archive come from `source.fallback`, and the answer's `source` says so. No archive is needed
        for a day on which the universe expects no bar (not listed), or, without a fallback, for one that lies in a
        listed outage.

        Raises:
            RowsError: a row of the window cannot be read; names file, row and rule.
            SourceError: an archive is missing, cannot be read, or breaks a rule; names file, rule and what is allowed.
            UniverseError: unknown symbol.
        """
        check_window(start, end)
        first, last = start.date(), (end - dt.timedelta(microseconds=1)).date()
        dates = [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]
        tables, sources = list[pd.DataFrame](), []
        # Lazily: a long window keeps one archive in memory at a time, not all of them.
        for url, group in groupby((self._day(symbol, date) for date in dates), key=lambda day: day.url):
            days = list(group)
            since = max(start, partition_window(days[0].date)[0])
            until = min(end, partition_window(days[-1].date)[1])
            table, source = days[0].table, url
            if url == _MISSING:
                raw = self._venue().fetch(symbol, since, until)
                table = raw.table
                source = f"{raw.source} (not archived: {self._named(symbol, days)})"
            elif table is None:
                source = f"no bars expected: {self._named(symbol, days)}"
            else:
                table = table[(table["ts"] >= since) & (table["ts"] < until)].assign(source=url)
                refuse_bad(days[0].bad, since, until, empty=table.empty)
            if table is not None:
                tables.append(table[list(RAW_DTYPES)])
            sources.append(source)
        tables = tables or [pd.DataFrame({name: [] for name in RAW_DTYPES}).astype(RAW_DTYPES)]
        return RawBars(pd.concat(tables, ignore_index=True), ", ".join(sources), dt.datetime.now(dt.UTC))

    def forget(self, symbol: str) -> None:
        """Let the next `fetch` read all archives again: they may have been replaced, or be there only now.

        The archives of all assets are forgotten. That costs nothing if the assets are asked for one after the other.
        """
        self._universe.check_symbol(symbol)
        with self._lock:
            self._tables.clear()
            self._without_monthly.clear()
        if self._fallback is not None:
            self._fallback.forget(symbol)

    def _named(self, symbol: str, days: list[_Day]) -> str:
        first, last = (self.url(symbol, days[n].date) for n in (0, -1))
        return first if first == last else f"{first} to {last.rsplit('/', 1)[-1]}"

    def _day(self, symbol: str, date: dt.date) -> _Day:
        """The day's bars from its month's archive if the month is over and the archive there, else from its own."""
        grid = expected_bars(self._grid, symbol, date)
        if grid.empty:
            return _Day(date, _NOTHING, None)
        begin, end = partition_window(date)
        month = begin.replace(day=1)
        next_month = (month + dt.timedelta(days=31)).replace(day=1)
        if self._config.monthly and next_month <= self._clock.now():
            url = self.url(symbol, date, monthly=True)
            if url not in self._without_monthly:
                table = self._table(url, month, next_month)
                if table is not None:
                    return _Day(date, url, *table)
                self._without_monthly.add(url)
        url = self.url(symbol, date)
        table = self._table(url, begin, end)
        if table is not None:
            return _Day(date, url, *table)
        if self._config.fallback is None:
            if outage_mask(self._grid, symbol, grid).all():
                return _Day(date, _NOTHING, None)
            monthly = self.url(symbol, date, monthly=True) if self._config.monthly else ""
            also = f", and no {monthly}" if monthly in self._without_monthly else ""
            raise SourceError(
                f"{url}: no such archive{also}; allowed: a day that is archived, or a venue to ask instead "
                "(source.fallback); where the venue never made these bars, list it in the universe file:\n"
                f"{outage_lines(symbol, begin, end)}"
            )
        return _Day(date, _MISSING, None)

    def _table(self, url: str, start: dt.datetime, end: dt.datetime) -> tuple[pd.DataFrame, list[BadRow]] | None:
        """All rows of an archive, from memory if it was read lately; None if there is no such file."""
        with self._lock:
            if url in self._tables:
                self._tables.move_to_end(url)
                return self._tables[url]
        content = self._downloads.verified(url)
        if content is None:
            return None
        text = unpack(url, content, self._config.max_bytes)
        table = read_klines(url, text, start, end, self._universe.source_bar_length)
        with self._lock:
            self._tables[url] = table
            if len(self._tables) > KEPT:
                self._tables.popitem(last=False)
        return table

    def _venue(self) -> Source:
        if self._fallback is None:
            from lem.sources.ccxt_venue import Ccxt

            universe = self._universe.model_copy(update={"source": self._config.fallback})
            self._fallback = Ccxt(universe, self._credentials, self._clock, self._config.absent)
        return self._fallback

    def _check(self, key: str, template: str, needed: str, other: str) -> None:
        """Refuse a template that cannot work, before anything is fetched."""
        where = f"{self._universe.name}: source.{key}"
        # URLs stand in errors and in the lake, so they may hold no secret; one that does is not shown.
        if "@" in urlsplit(template.replace("{data}", self._data_root)).netloc:
            raise SourceError(f"{where}: its URL (or LEM_DATA) holds a user or password; allowed: a URL without")
        where += f" {template!r}"
        allowed = tuple(field for field in FIELDS if field != other)
        fields = template_fields(where, template, allowed, self._data_root)
        if needed not in fields or not fields & {"symbol", "venue_symbol"}:
            raise SourceError(
                f"{where}: lacks a field; allowed: one with {{{needed}}} and {{venue_symbol}} or {{symbol}}"
            )
        if not template.endswith(SUFFIX) or "?" in template or "#" in template:
            raise SourceError(f"{where}: allowed: a URL without query that ends in {SUFFIX}, beside <URL>.CHECKSUM")


def opened(universe: Universe, data_root: str, credentials: Mapping[str, str]) -> Archive:
    """The source of a universe, as `lem.sources.open_source` asks for it."""
    return Archive(universe, data_root, credentials)
