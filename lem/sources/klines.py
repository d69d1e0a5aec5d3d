"""The CSV table in an archive of bars, in the columns that Binance made common, with or without a header.

The rows are handed on as they are; broken prices, duplicates and gaps are judged when bars are validated. A file is
refused only if it is no table of bars of its day or month.
"""

from __future__ import annotations

import csv
import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as arrow
from pyarrow import csv as arrow_csv

from lem.errors import SourceError
from lem.sources.base import NUMBERS
from lem.sources.columns import as_text, epoch, numbers, refuse

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


def read_klines(url: str, content: bytes, start: dt.datetime, end: dt.datetime) -> pd.DataFrame:
    """All rows of a file, in its order.

    Args:
        url: names the file in an error.
        content: the file's bytes.
        start: begin of the file's own day or month, UTC.
        end: end of it, UTC, exclusive.

    Returns:
        `ts`, the six numbers, `adjustment` (1) and `source_row` (from 1, the header not counted), with the raw
        table's dtypes.

    Raises:
        SourceError: no table, a missing column, text for a number, times in no unit or in two, or a bar of another
            day or month; names file, row, and what is allowed.
    """
    text = _table(url, content)
    stamps = pd.to_numeric(as_text(text["open_time"]), errors="coerce")
    refuse(url, text["open_time"], stamps.isna(), "is not a number; allowed: s, ms, us or ns since 1970")
    times = epoch(url, stamps.rename("open_time"))
    outside = ~times.between(pd.Timestamp(start), pd.Timestamp(end), inclusive="left")
    last = (end - dt.timedelta(microseconds=1)).date()
    period = f"{start.date()}" if start.date() == last else f"{start.date()} to {last}"
    refuse(url, text["open_time"], outside, f"is no bar of this archive's time; allowed: opens of {period}, UTC")
    table = pd.DataFrame({"ts": times} | {name: numbers(url, text[name]) for name in NUMBERS})
    table["adjustment"] = 1.0
    table["source_row"] = np.arange(1, len(table) + 1)
    return table


def _table(url: str, content: bytes) -> pd.DataFrame:
    """The columns that are needed, as text, under their own names."""
    try:
        first = content.partition(b"\n")[0].decode("utf-8-sig")
        fields = next(csv.reader([first]), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{url}: the first line is no line of CSV in UTF-8: {error}") from error
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
    broken: list[arrow_csv.InvalidRow] = []

    def note(row: arrow_csv.InvalidRow) -> str:
        broken.append(row)
        return "error"

    columns = [f"{position}" for position in range(len(names))]
    try:
        table = arrow_csv.read_csv(
            arrow.BufferReader(content),
            # With one thread alone does Arrow number the rows that do not fit.
            read_options=arrow_csv.ReadOptions(use_threads=False, column_names=columns, skip_rows=int(not headless)),
            parse_options=arrow_csv.ParseOptions(invalid_row_handler=note),
            convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(columns, arrow.string())),
        )
    except (arrow.ArrowException, ValueError) as error:
        if not broken:
            raise SourceError(f"{url}: malformed CSV: {error}") from error
        row = broken[0].number - int(not headless)
        raise SourceError(f"{url}: row {row} has {broken[0].actual_columns} fields; allowed: {len(names)}") from error
    if not table.num_rows:
        raise SourceError(f"{url}: the file has no rows below its header; allowed: one row a bar")
    return pd.DataFrame({name: table.column(names.index(name)).to_pandas() for name in _NEEDED})


def _spelled(field: str) -> str:
    return _SPELLINGS.get("".join(filter(str.isalpha, field.lower())), field)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
