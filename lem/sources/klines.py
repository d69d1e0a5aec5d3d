"""The CSV table in an archive of bars, in the columns that Binance made common, with or without a header.

The rows are handed on as they are; broken prices, duplicates and gaps are judged when bars are validated. A file is
refused only if it is no table of bars; a row that cannot be read, or is of another time, blocks its own day.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd

from lem.errors import SourceError
from lem.sources.bad_rows import BadRow, Unread, clipped, found, placed
from lem.sources.base import NUMBERS
from lem.sources.columns import NO_NUMBER, as_text, read_numbers
from lem.sources.csv_text import first_fields, text_columns
from lem.sources.times import exact, since_1970

POSITIONS = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)
"""Columns of a file without a header, in their order."""
_SPELLINGS = {
    "opentime": "open_time",
    "quoteassetvolume": "quote_volume",
    "quotevolume": "quote_volume",
    **{name: name for name in NUMBERS if name != "quote_volume"},
}
"""Names of the columns in a header, in small letters alone, and ours."""
_NEEDED = ("open_time", *NUMBERS)


def read_klines(
    url: str, content: bytes, start: dt.datetime, end: dt.datetime, length: pd.Timedelta
) -> tuple[pd.DataFrame, list[BadRow]]:
    """All rows of a file that can be read, in its order, and the others.

    Args:
        url: names the file in an error.
        content: the file's bytes.
        start: begin of the file's own day or month, UTC.
        end: end of it, UTC, exclusive.
        length: of a bar.

    Returns:
        `ts`, the six numbers, `adjustment` (1) and `source_row` (from 1, the header not counted), with the raw
        table's dtypes; and the rows with text for a number, a time in no unit or in another one than the others, a bar
        of another day or month, or another number of fields.

    Raises:
        SourceError: no table, or a missing column; names file and what is allowed.
    """
    text, unread = _table(url, content)
    shown, broken = text["open_time"], {row.position for row in unread}
    stamps = pd.to_numeric(as_text(shown), errors="coerce")
    no_number = stamps.isna() & ~_at(broken, shown)
    unread += found(url, shown, no_number, "is not a number; allowed: s, ms, us or ns since 1970")
    times, more = since_1970(url, exact(as_text(shown), stamps), shown)
    unread += [row for row in more if not stamps.isna().iloc[row.position]]
    outside = times.notna() & ~times.between(pd.Timestamp(start), pd.Timestamp(end), inclusive="left")
    last = (end - dt.timedelta(microseconds=1)).date()
    period = f"{start.date()}" if start.date() == last else f"{start.date()} to {last}"
    unread += found(url, shown, outside, f"is no bar of this archive's time; allowed: opens of {period}, UTC")
    table = pd.DataFrame({"ts": times})
    for name in NUMBERS:
        table[name], bad = read_numbers(text[name])
        unread += found(url, text[name], bad, NO_NUMBER)
    table["adjustment"] = 1.0
    table["source_row"] = np.arange(1, len(table) + 1)
    rows = clipped(placed(sorted(unread, key=lambda row: row.position), times, length), start, end)
    sound = times.notna() & ~outside & ~_at({row.position for row in unread}, shown)
    return table[sound].reset_index(drop=True), rows


def _at(positions: set[int], column: pd.Series) -> pd.Series:
    """True for the rows at these positions."""
    out = np.zeros(len(column), dtype=bool)
    out[list(positions)] = True
    return pd.Series(out, index=column.index)


def _table(url: str, content: bytes) -> tuple[pd.DataFrame, list[Unread]]:
    """The columns that are needed, as text, under their own names; and the rows that do not fit."""
    fields = first_fields(url, content)
    if not fields:
        raise SourceError(f"{url}: the file has no rows; allowed: one row a bar")
    headless = _is_number(fields[0])
    names = list(POSITIONS) if headless else [_spelled(field) for field in fields]
    if headless and len(fields) != len(POSITIONS):
        raise SourceError(
            f"{url}: no header and {len(fields)} columns; allowed without a header: the {len(POSITIONS)} columns "
            f"{', '.join(POSITIONS)}"
        )
    for name in _NEEDED:
        if names.count(name) != 1:
            there = ", ".join(repr(field) for field in fields)[:500]
            raise SourceError(f"{url}: {names.count(name)} columns {name!r}; allowed: one; the header has {there}")
    _refuse_cut(url, content, names[-1])
    columns, unread = text_columns(url, content, len(names), header=not headless)
    if columns[0].empty:
        raise SourceError(f"{url}: the file has no rows below its header; allowed: one row a bar")
    return pd.DataFrame({name: columns[names.index(name)] for name in _NEEDED}), unread


def _refuse_cut(url: str, content: bytes, last: str) -> None:
    """Refuse a file whose last number may be cut: nobody can tell it from a whole one."""
    if last in _NEEDED and not content.endswith((b"\n", b"\r")):
        raise SourceError(
            f"{url}: the last line has no end, so its {last} may be cut; allowed: a line end after the last row"
        )


def _spelled(field: str) -> str:
    return _SPELLINGS.get("".join(filter(str.isalpha, field.lower())), field)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
