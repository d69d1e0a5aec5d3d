"""Bars in CSV or Parquet files, one file an asset, under any fsspec URL (local, s3://, https://, ...).

The rows are handed on as they are, on the scale of the adjusted close if the file has one: broken prices, duplicates
and gaps are judged when bars are validated. A file is refused only if it is no table of bars: it is missing or damaged,
lacks a column or has it twice. A row that cannot be read (text for a number, an impossible time, an adjusted close
whose ratio to the close is not finite and above 0) blocks its own date, and no other. A last line without its end may
be a copy in progress: it is held back, and with it the time after the last whole row.
"""

from __future__ import annotations

import datetime as dt
import gzip
import zlib
from collections.abc import Mapping
from typing import NamedTuple

import fsspec
import numpy as np
import pandas as pd
import pyarrow as arrow
import pyarrow.parquet as parquet

from lem.errors import SourceError
from lem.masking import Masking, url_passwords, without_userinfo
from lem.sources.adjust import FACTOR_RULE, factor_is_wrong, scaled
from lem.sources.bad_rows import BadRow, Unread, found, placed, refuse_bad
from lem.sources.base import NUMBERS, RAW_DTYPES, RawBars, Whole, check_window
from lem.sources.columns import NO_NUMBER, read_numbers
from lem.sources.csv_text import first_fields, text_columns
from lem.sources.stamps import opens_of, zoned
from lem.sources.templates import template_fields
from lem.sources.times import read_times
from lem.universe import Universe
from lem.universe.calendars import session_opens
from lem.universe.session_bars import in_session
from lem.universe.source_config import FilesConfig

OPTIONAL = {
    "quote_volume": ' (source.columns.quote_volume = "" says that the file has none)',
    "adjusted_close": ' (source.columns.adjusted_close = "" says that prices are taken as they are)',
}
SUFFIXES = (".csv", ".csv.gz", ".parquet")
FIELDS = ("data", "symbol", "venue_symbol")
_DAY, _NEAR = pd.Timedelta(1, "D"), pd.Timedelta(3, "D")
_FIRST, _LAST = pd.Timestamp("1900-01-01", tz="UTC"), pd.Timestamp("2200-01-01", tz="UTC")


class Files:
    """The source of `kind = "files"`. A file is read once and kept until it is forgotten.

    Args:
        universe: whose `[source]` section holds the URL template and the column names.
        data_root: what `{data}` in the template stands for.

    Raises:
        SourceError: the template has an unknown field or ending, or needs a data root that is not set.
    """

    def __init__(self, universe: Universe, data_root: str) -> None:
        if not isinstance(universe.source, FilesConfig):
            raise SourceError(f"{universe.name}: source.kind is {universe.source.kind!r}, not 'files'")
        self._universe, self._config, self._data_root = universe, universe.source, data_root.rstrip("/")
        self._cache: dict[str, _Content] = {}
        template = self._config.url
        where = f"{universe.name}: source.url {without_userinfo(template)!r}"
        template_fields(where, template, FIELDS, data_root)
        if not template.endswith(SUFFIXES):
            raise SourceError(f"{where}: unknown kind of file; allowed endings: {', '.join(SUFFIXES)}")

    def url(self, symbol: str) -> str:
        """URL of the asset's file."""
        asset = self._universe.assets[self._universe.check_symbol(symbol)]
        names = {"symbol": symbol, "venue_symbol": asset.venue_symbol or symbol, "data": self._data_root}
        return self._config.url.format(**names)

    def fetch(self, symbol: str, start: dt.datetime, end: dt.datetime) -> RawBars:
        """Rows of the asset's file whose bar opens in [start, end), UTC, in the file's order.

        Raises:
            RowsError: a row of the window cannot be read; names file, row and rule.
            SourceError: the file is missing, empty, damaged or no table of bars.
            UniverseError: unknown symbol.
        """
        check_window(start, end)
        url = self.url(symbol)
        content = self._cache.get(url)
        if content is None:
            content = self._cache[url] = self._load(url)
        table, bad, whole = content
        table = table[(table["ts"] >= start) & (table["ts"] < end)].reset_index(drop=True)
        refuse_bad(bad, start, end, table.empty, self._expected(start, end))
        return RawBars(table, without_userinfo(url), dt.datetime.now(dt.UTC), whole)

    def _expected(self, start: dt.datetime, end: dt.datetime) -> bool:
        """Whether the market trades in a window."""
        if self._universe.calendar == "24/7":
            return True
        dates = pd.date_range(start.date(), (end - dt.timedelta(microseconds=1)).date())
        return bool(session_opens(self._universe, dates).notna().any())

    def forget(self, symbol: str) -> None:
        """Let the next `fetch` read the asset's file again: it may have grown."""
        self._cache.pop(self.url(symbol), None)

    def _load(self, url: str) -> _Content:
        """The whole file as raw bars, and the rows that cannot be read."""
        columns = {name: column for name, column in self._config.columns if column or name not in OPTIONAL}
        raw, url = _read(url), without_userinfo(url)  # from here on the URL is only recorded and shown
        content, unread = _parse(url, raw, columns)
        if content.empty:
            raise SourceError(f"{url}: the file has no rows; allowed: one row a bar below the column names")
        broken = {row.position for row in unread}
        times, more, closed = self._times(url, content["ts"])
        unread += [row for row in more if row.position not in broken]
        table = pd.DataFrame({"ts": times})
        for name in NUMBERS:
            table[name] = np.nan
            if name in columns:
                table[name], bad = read_numbers(content[name])
                unread += found(url, content[name].rename(columns[name]), bad, NO_NUMBER)
        table["adjustment"] = 1.0
        if "adjusted_close" in columns:
            column, (values, bad) = content["adjusted_close"], read_numbers(content["adjusted_close"])
            column = column.rename(columns["adjusted_close"])
            unread += found(url, column, bad, NO_NUMBER)
            bad = factor_is_wrong(table, values) & ~bad & ~_at(broken, table)
            unread += found(url, column, bad, FACTOR_RULE)
            table = scaled(table, values)
        table["source"], table["source_row"] = url, np.arange(1, len(table) + 1)
        length = self._universe.source_bar_length
        rows = placed(sorted(unread, key=lambda row: row.position), table["ts"], length) + closed
        sound = table["ts"].notna() & ~_at({row.position for row in unread}, table)
        if self._config.outside_sessions == "leave_out":
            sound &= in_session(self._universe.calendar, pd.DatetimeIndex(table["ts"]))
        table = table[sound].astype(RAW_DTYPES).reset_index(drop=True)
        if not self._ends(url, raw):
            rows.append(_cut(url, table, len(content), length))
        if table.empty:
            raise SourceError(f"{rows[0].text} (no row of the file can be read)" if rows else f"{url}: no rows")
        whole = Whole(len(table), table["ts"].min().to_pydatetime(), table["ts"].max().to_pydatetime())
        return _Content(table, rows, whole)

    def _ends(self, url: str, raw: bytes) -> bool:
        return url.endswith(".parquet") or _unpacked(url, raw).endswith((b"\n", b"\r"))

    def _times(self, url: str, column: pd.Series) -> tuple[pd.Series, list[Unread], list[BadRow]]:
        """Bar opens in UTC. On a calendar of sessions, midnight means the open of that date's session.

        Also the rows without a time, and those of dates without a session: they block their own date, and a session
        near them only where its bar is not there.
        """
        column, sessions = column.rename(self._config.columns.ts), self._universe.daily_sessions
        if self._config.zone is None:
            times, unread = read_times(url, column)
            wall = times.dt.tz_localize(None)
        else:
            times, wall, unread = zoned(url, column, self._config.zone, sessions)
        closed, is_date = list[BadRow](), wall.notna() & (wall == wall.dt.normalize())
        if self._config.stamp == "close":
            times, more = opens_of(url, column, times.dt.tz_convert("UTC"), is_date, self._universe)
            unread += more
        elif sessions:
            dates = pd.DatetimeIndex(wall.dt.normalize())
            opens = pd.Series(session_opens(self._universe, dates), index=times.index)
            rule = f"is no session of {self._universe.calendar}; allowed: dates on which it trades"
            no_session = is_date & opens.isna()
            for row in found(url, column, no_session, rule):
                date = wall.iloc[row.position].tz_localize("UTC")
                closed += [
                    BadRow(date, date + _DAY, row.text, rule),
                    BadRow(date - _NEAR, date + _DAY + _NEAR, row.text, rule, if_empty=True, guessed=True),
                ]
            times = times.dt.tz_convert("UTC").where(~is_date, opens)
        return times.dt.tz_convert("UTC").dt.as_unit("us"), unread, closed


class _Content(NamedTuple):
    """What is in a file.

    Args:
        table: its rows, as raw bars.
        bad: rows that cannot be read.
        whole: how much there is.
    """

    table: pd.DataFrame
    bad: list[BadRow]
    whole: Whole


def _at(positions: set[int], table: pd.DataFrame) -> pd.Series:
    out = np.zeros(len(table), dtype=bool)
    out[list(positions)] = True
    return pd.Series(out, index=table.index)


def _cut(url: str, table: pd.DataFrame, rows: int, length: pd.Timedelta) -> BadRow:
    """What is held back where the last line has no end: the time after the last whole row."""
    since = _FIRST if table.empty else table["ts"].iloc[-1] + length
    text = (
        f"{url}: row {rows + 1}, the last one, has no line end: the file may be a copy in progress, so it is held back "
        "until it is whole; allowed: a line end after the last row (where it is whole, add one)"
    )
    return BadRow(since, _LAST, text, "line end", guessed=True)


def _read(url: str) -> bytes:
    shown = without_userinfo(url)
    try:
        files, path = fsspec.core.url_to_fs(url)
        content = files.cat_file(path)
    except FileNotFoundError:
        raise SourceError(f"{shown}: no such file; {_neighbours(url)}") from None
    # A remote file system raises whatever its client library does; none of it is a defect of ours.
    except Exception as error:
        cause = Masking(url_passwords(url))(without_userinfo(str(error)))
        # The client library's error may quote the URL, and a run keeps chained errors: so this one is not chained.
        raise SourceError(f"{shown}: cannot be read: {type(error).__name__}: {cause}") from None
    if not content:
        raise SourceError(f"{shown}: the file is empty (0 bytes); allowed: a table with one row a bar")
    return content


def _neighbours(url: str) -> str:
    files, path = fsspec.core.url_to_fs(url)
    folder = path.rsplit("/", 1)[0]
    try:
        names = sorted(entry.rsplit("/", 1)[-1] for entry in files.ls(folder, detail=False))
    # The message is about the missing file: if the folder cannot be listed, it is only shorter.
    except Exception:
        return f"and its folder {without_userinfo(folder)} cannot be listed"
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"in its folder there are: {', '.join(names[:8]) or 'no files'}{more}"


def _parse(url: str, raw: bytes, columns: Mapping[str, str]) -> tuple[pd.DataFrame, list[Unread]]:
    """The columns that are mapped, under our names, and the rows that do not fit; text is left as text."""
    if url.endswith(".parquet"):
        try:
            table = parquet.ParquetFile(arrow.BufferReader(raw)).read()
            there = table.column_names
            _refuse_columns(url, there, columns)
            wanted = table.select([there.index(column) for column in columns.values()]).rename_columns(list(columns))
            content = wanted.to_pandas(ignore_metadata=True)
        except (arrow.ArrowException, OSError, ValueError) as error:
            raise SourceError(f"{url}: truncated or corrupt Parquet: {error}") from error
        content.index = pd.RangeIndex(1, len(content) + 1)
        return content, []
    lines = _unpacked(url, raw)
    there = first_fields(url, lines)
    _refuse_columns(url, there, columns)
    # A last line without its end may be cut anywhere: it is no row yet.
    end = len(lines) if lines.endswith((b"\n", b"\r")) else max(lines.rfind(b"\n"), lines.rfind(b"\r")) + 1
    texts, unread = text_columns(url, lines[:end], len(there), header=True)
    return pd.DataFrame({name: texts[there.index(column)] for name, column in columns.items()}), unread


def _refuse_columns(url: str, there: list[str], columns: Mapping[str, str]) -> None:
    """Refuse a file in which a mapped column is absent, or stands more than once."""
    lines = [
        f"no column {column!r}: set source.columns.{name}{OPTIONAL.get(name, '')}"
        if column not in there
        else f"{there.count(column)} columns {column!r} (source.columns.{name}); allowed: one"
        for name, column in columns.items()
        if there.count(column) != 1
    ]
    if lines:
        raise SourceError("\n  ".join([f"{url}: the columns there are: {', '.join(map(str, there))}", *lines]))


def _unpacked(url: str, raw: bytes) -> bytes:
    if not url.endswith(".gz"):
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, OSError, zlib.error) as error:
        raise SourceError(f"{url}: truncated or malformed CSV: {error}") from error


def opened(universe: Universe, data_root: str, credentials: Mapping[str, str]) -> Files:
    """The source of a universe, as `lem.sources.open_source` asks for it."""
    return Files(universe, data_root)
