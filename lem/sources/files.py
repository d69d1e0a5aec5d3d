"""Bars in CSV or Parquet files, one file an asset, under any fsspec URL (local, s3://, https://, ...).

The rows are handed on as they are: broken prices, duplicates and gaps are judged when bars are validated.
Refused is only what is no table of bars: a missing or damaged file, a missing column, text for a number, an
impossible time.
"""

from __future__ import annotations

import datetime as dt
import string
import zlib
from io import BytesIO

import fsspec
import numpy as np
import pandas as pd
import pyarrow as arrow
import pyarrow.parquet as parquet

from lem.calendars import session_opens
from lem.errors import SourceError
from lem.sources.base import NUMBERS, RAW_DTYPES, RawBars, check_window
from lem.sources.config import FilesConfig
from lem.universe import Universe

SUFFIXES = (".csv", ".csv.gz", ".parquet")
FIELDS = ("data", "symbol", "venue_symbol")
FIRST_TIME, LAST_TIME = pd.Timestamp("1990-01-01", tz="UTC"), pd.Timestamp("2100-01-01", tz="UTC")
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EMPTY = ("", "nan", "na", "null", "none")


class Files:
    """The source of `kind = "files"`. A file is read once and kept for the life of the object.

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
        where = f"{universe.name}: source.url {template!r}"
        allowed = f"allowed in braces: {', '.join(FIELDS)}"
        try:
            fields = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
        except ValueError as error:
            raise SourceError(f"{where}: {error}; {allowed}") from error
        if unknown := sorted(fields - set(FIELDS)):
            raise SourceError(f"{where}: unknown field {unknown[0]!r}; {allowed}")
        if not template.endswith(SUFFIXES):
            raise SourceError(f"{where}: unknown kind of file; allowed endings: {', '.join(SUFFIXES)}")
        if "data" in fields and not data_root:
            raise SourceError(f"{where}: {{data}} has no value; set LEM_DATA to a folder or an fsspec URL")

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
        return RawBars(table, url, dt.datetime.now(dt.UTC))

    def _load(self, url: str) -> pd.DataFrame:
        """The whole file as raw bars."""
        columns = {name: column for name, column in self._config.columns if column or name != "quote_volume"}
        content = _parse(url, _read(url))
        missing = {name: column for name, column in columns.items() if column not in content.columns}
        if missing:
            lines = [f"no column {column!r}: set source.columns.{name}" for name, column in missing.items()]
            if "quote_volume" in missing:
                lines[-1] += ' (source.columns.quote_volume = "" says that the file has none)'
            there = ", ".join(map(str, content.columns))
            raise SourceError("\n  ".join([f"{url}: the columns there are: {there}", *lines]))
        if content.empty:
            raise SourceError(f"{url}: the file has no rows; allowed: one row a bar below the column names")
        table = pd.DataFrame({"ts": self._times(url, content[columns["ts"]])})
        for name in NUMBERS:
            table[name] = _numbers(url, content[columns[name]]) if name in columns else np.nan
        table["source"], table["source_row"] = url, np.arange(1, len(table) + 1)
        return table.astype(RAW_DTYPES)

    def _times(self, url: str, column: pd.Series) -> pd.Series:
        """Bar opens in UTC. On a calendar of sessions, midnight stands for the date: its session's open."""
        if pd.api.types.is_datetime64_any_dtype(column):
            times = column.dt.tz_localize("UTC") if column.dt.tz is None else column
        elif pd.api.types.is_numeric_dtype(column):
            times = _epoch(url, column)
        elif pd.api.types.infer_dtype(column, skipna=True) in ("date", "datetime"):
            times = pd.to_datetime(column, utc=True, errors="coerce")
        else:
            text = _text(column)
            numbers = pd.to_numeric(text, errors="coerce")
            if numbers.notna().all():
                times = _epoch(url, numbers)
            else:
                times = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
        _refuse(url, column, times.isna(), "is no time; allowed: ISO 8601, dates, or numbers since 1970")
        _refuse(
            url,
            column,
            ~times.between(FIRST_TIME, LAST_TIME, inclusive="left"),
            f"is out of range; allowed: times from {FIRST_TIME:%Y-%m-%d} to before {LAST_TIME:%Y-%m-%d}",
        )
        if self._universe.calendar != "24/7":
            wall = times.dt.tz_localize(None)
            is_date = wall == wall.dt.normalize()
            dates = pd.DatetimeIndex(wall.dt.normalize())
            opens = pd.Series(session_opens(self._universe, dates), index=times.index)
            rule = f"is no session of {self._universe.calendar}; allowed: dates on which it trades"
            _refuse(url, column, is_date & opens.isna(), rule)
            times = times.dt.tz_convert("UTC").where(~is_date, opens)
        return times.dt.tz_convert("UTC").dt.as_unit("us")


def _text(column: pd.Series) -> pd.Series:
    return column.map(str, na_action="ignore").astype("str").str.strip()


def _refuse(url: str, column: pd.Series, bad: pd.Series, rule: str) -> None:
    """Raise on the first row that breaks a rule on one column."""
    if bad.any():
        row = int(np.argmax(bad.to_numpy()))
        more = f" ({bad.sum()} rows break this rule)" if bad.sum() > 1 else ""
        value = str(column.iloc[row])
        raise SourceError(f"{url}: row {row + 1}, column {column.name!r}: {value!r} {rule}{more}")


def _read(url: str) -> bytes:
    try:
        files, path = fsspec.core.url_to_fs(url)
        content = files.cat_file(path)
    except FileNotFoundError:
        raise SourceError(f"{url}: no such file; {_neighbours(url)}") from None
    # What a remote file system raises depends on its client library, and none of it is a defect of ours.
    except Exception as error:
        raise SourceError(f"{url}: cannot be read: {type(error).__name__}: {error}") from error
    if not content:
        raise SourceError(f"{url}: the file is empty (0 bytes); allowed: a table with one row a bar")
    return content


def _neighbours(url: str) -> str:
    files, path = fsspec.core.url_to_fs(url)
    folder = path.rsplit("/", 1)[0]
    try:
        names = sorted(entry.rsplit("/", 1)[-1] for entry in files.ls(folder, detail=False))
    # The message is about the missing file; a folder that cannot be listed only makes it shorter.
    except Exception:
        return f"and its folder {folder} cannot be listed"
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"in its folder there are: {', '.join(names[:8]) or 'no files'}{more}"


def _parse(url: str, content: bytes) -> pd.DataFrame:
    """The file's table, text left as text."""
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


def _numbers(url: str, column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column):
        return column.astype("float64")
    text = _text(column)
    numbers = pd.to_numeric(text, errors="coerce")
    empty = text.isna() | text.str.lower().isin(_EMPTY)
    _refuse(url, column, numbers.isna() & ~empty, "is not a number; allowed: decimal numbers")
    return numbers.astype("float64")


def _epoch(url: str, column: pd.Series) -> pd.Series:
    """Times from numbers since 1970. Their size tells the unit: the ranges of the four units are disjoint."""
    values = column.to_numpy()
    first, last = (int(limit.timestamp()) for limit in (FIRST_TIME, LAST_TIME))
    fits = {unit: (values >= first * size) & (values < last * size) for unit, size in _PER_SECOND.items()}
    _refuse(
        url,
        column,
        pd.Series(~np.logical_or.reduce(list(fits.values()))),
        f"is in no unit a time; allowed: {', '.join(_PER_SECOND)} since 1970 that give "
        f"{FIRST_TIME:%Y-%m-%d} to before {LAST_TIME:%Y-%m-%d}",
    )
    unit = next(unit for unit, inside in fits.items() if inside[0])
    _refuse(url, column, pd.Series(~fits[unit]), f"is not in {unit} as row 1 is; allowed: one unit in a file")
    size = _PER_SECOND[unit]
    if np.issubdtype(values.dtype, np.integer):
        micros = values * (10**6 // size) if size <= 10**6 else values // (size // 10**6)
    else:
        micros = np.rint(values * (10**6 / size)).astype("int64")
    return pd.Series(pd.to_datetime(micros, unit="us", utc=True))
