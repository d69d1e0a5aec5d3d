"""Bars in CSV or Parquet files, one file an asset, under any fsspec URL (local, s3://, https://, ...).

The rows are handed on as they are, on the scale of the adjusted close if the file has one: broken prices, duplicates
and gaps are judged when bars are validated. A file is refused only if it is no table of bars: it is missing or damaged,
lacks a column, has text for a number, an impossible time, or an adjusted close whose ratio to the close is not finite
and above 0.
"""

from __future__ import annotations

import datetime as dt
import zlib
from collections.abc import Mapping
from io import BytesIO

import fsspec
import numpy as np
import pandas as pd
import pyarrow as arrow
import pyarrow.parquet as parquet

from lem.errors import SourceError
from lem.masking import Masking, url_passwords, without_userinfo
from lem.sources.adjust import adjusted
from lem.sources.base import NUMBERS, RAW_DTYPES, RawBars, check_window
from lem.sources.columns import FIRST_TIME, LAST_TIME, as_text, epoch, numbers, refuse
from lem.sources.stamps import opens_of, zoned
from lem.sources.templates import template_fields
from lem.universe import Universe
from lem.universe.calendars import session_opens
from lem.universe.source_config import FilesConfig

OPTIONAL = {
    "quote_volume": ' (source.columns.quote_volume = "" says that the file has none)',
    "adjusted_close": ' (source.columns.adjusted_close = "" says that prices are taken as they are)',
}
SUFFIXES = (".csv", ".csv.gz", ".parquet")
FIELDS = ("data", "symbol", "venue_symbol")


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
        self._cache: dict[str, pd.DataFrame] = {}
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
            SourceError: the file is missing, empty, damaged or no table of bars; names file, row and rule.
            UniverseError: unknown symbol.
        """
        check_window(start, end)
        url = self.url(symbol)
        if url not in self._cache:
            self._cache[url] = self._load(url)
        table = self._cache[url]
        table = table[(table["ts"] >= start) & (table["ts"] < end)].reset_index(drop=True)
        return RawBars(table, without_userinfo(url), dt.datetime.now(dt.UTC))

    def forget(self, symbol: str) -> None:
        """Let the next `fetch` read the asset's file again: it may have grown."""
        self._cache.pop(self.url(symbol), None)

    def _load(self, url: str) -> pd.DataFrame:
        """The whole file as raw bars."""
        columns = {name: column for name, column in self._config.columns if column or name not in OPTIONAL}
        raw, url = _read(url), without_userinfo(url)  # from here on the URL is only recorded and shown
        content = _parse(url, raw)
        missing = {name: column for name, column in columns.items() if column not in content.columns}
        if missing:
            lines = [
                f"no column {column!r}: set source.columns.{name}{OPTIONAL.get(name, '')}"
                for name, column in missing.items()
            ]
            there = ", ".join(map(str, content.columns))
            raise SourceError("\n  ".join([f"{url}: the columns there are: {there}", *lines]))
        if content.empty:
            raise SourceError(f"{url}: the file has no rows; allowed: one row a bar below the column names")
        table = pd.DataFrame({"ts": self._times(url, content[columns["ts"]])})
        for name in NUMBERS:
            table[name] = numbers(url, content[columns[name]]) if name in columns else np.nan
        table["adjustment"] = 1.0
        if "adjusted_close" in columns:
            table = adjusted(url, table, numbers(url, content[columns["adjusted_close"]]))
        table["source"], table["source_row"] = url, np.arange(1, len(table) + 1)
        return table.astype(RAW_DTYPES)

    def _times(self, url: str, column: pd.Series) -> pd.Series:
        """Bar opens in UTC. On a calendar of sessions, midnight means the open of that date's session."""
        wall = None
        if self._config.zone is not None:
            times, wall = zoned(url, column, self._config.zone, sessions=self._universe.calendar != "24/7")
        elif pd.api.types.is_datetime64_any_dtype(column):
            times = column.dt.tz_localize("UTC") if column.dt.tz is None else column
        elif pd.api.types.is_numeric_dtype(column):
            times = epoch(url, column)
        elif pd.api.types.infer_dtype(column, skipna=True) in ("date", "datetime"):
            times = pd.to_datetime(column, utc=True, errors="coerce")
        else:
            text = as_text(column)
            since_1970 = pd.to_numeric(text, errors="coerce")
            if since_1970.notna().all():
                times = epoch(url, since_1970)
            else:
                times = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
        refuse(url, column, times.isna(), "is no time; allowed: ISO 8601, dates, or numbers since 1970")
        refuse(
            url,
            column,
            ~times.between(FIRST_TIME, LAST_TIME, inclusive="left"),
            f"is out of range; allowed: times from {FIRST_TIME:%Y-%m-%d} to before {LAST_TIME:%Y-%m-%d}",
        )
        wall = times.dt.tz_localize(None) if wall is None else wall
        is_date = wall == wall.dt.normalize()
        if self._config.stamp == "close":
            times = opens_of(url, column, times.dt.tz_convert("UTC"), is_date, self._universe)
        elif self._universe.calendar != "24/7":
            dates = pd.DatetimeIndex(wall.dt.normalize())
            opens = pd.Series(session_opens(self._universe, dates), index=times.index)
            rule = f"is no session of {self._universe.calendar}; allowed: dates on which it trades"
            refuse(url, column, is_date & opens.isna(), rule)
            times = times.dt.tz_convert("UTC").where(~is_date, opens)
        return times.dt.tz_convert("UTC").dt.as_unit("us")


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


def _parse(url: str, content: bytes) -> pd.DataFrame:
    """The file's table, with text left as text."""
    if url.endswith(".parquet"):
        try:
            return parquet.read_table(arrow.BufferReader(content)).to_pandas(ignore_metadata=True)
        except (arrow.ArrowException, OSError, ValueError) as error:
            raise SourceError(f"{url}: truncated or corrupt Parquet: {error}") from error
    try:
        table = pd.read_csv(
            BytesIO(content),
            compression="gzip" if url.endswith(".gz") else None,
            dtype=str,
            keep_default_na=False,
        )
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise SourceError(f"{url}: truncated or malformed CSV: {error}") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise SourceError(f"{url}: rows have more fields than the header; allowed: a field for each column")
    return table


def opened(universe: Universe, data_root: str, credentials: Mapping[str, str]) -> Files:
    """The source of a universe, as `lem.sources.open_source` asks for it."""
    return Files(universe, data_root)
