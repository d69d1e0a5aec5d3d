"""CSV as text: the header, and the columns below it. A row with too few or too many fields is named, not lost."""

from __future__ import annotations

import csv

import pandas as pd
import pyarrow as arrow
from pyarrow import csv as arrow_csv

from lem.errors import SourceError
from lem.sources.bad_rows import Unread


def first_fields(url: str, content: bytes) -> list[str]:
    """The fields of the first line.

    Raises:
        SourceError: it is no line of CSV in UTF-8.
    """
    try:
        first = content.splitlines()[0].decode("utf-8-sig") if content.strip() else ""
        return next(csv.reader([first]), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{url}: the first line is no line of CSV in UTF-8: {error}") from error


def text_columns(url: str, content: bytes, width: int, header: bool) -> tuple[list[pd.Series], list[Unread]]:
    """All columns as text, in their order, with the number of each row (from 1, below the header) as their index.

    A row that has not `width` fields is empty in every column.

    Args:
        url: names the file in an error.
        content: the file's bytes, in UTF-8.
        width: number of fields in a row.
        header: whether the first line is one.

    Returns:
        The columns, and the rows that do not fit.

    Raises:
        SourceError: no CSV.
    """
    broken = dict[int, str]()

    def note(row: arrow_csv.InvalidRow) -> str:
        number = row.number - int(header)
        broken[number] = f"{url}: row {number} has {row.actual_columns} fields; allowed: {width}"
        return "skip"

    names = [f"{position}" for position in range(width)]
    try:
        table = arrow_csv.read_csv(
            arrow.BufferReader(content),
            # With one thread alone does Arrow number the rows that do not fit.
            read_options=arrow_csv.ReadOptions(use_threads=False, column_names=names, skip_rows=int(header)),
            parse_options=arrow_csv.ParseOptions(invalid_row_handler=note),
            convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, arrow.string())),
        )
    except (arrow.ArrowException, ValueError) as error:
        # Arrow says so of a file without any row below the lines that were skipped.
        if "Empty CSV file" not in str(error):
            raise SourceError(f"{url}: malformed CSV: {error}") from error
        table = arrow.table({name: arrow.array([], arrow.string()) for name in names})
    rows = pd.RangeIndex(1, table.num_rows + len(broken) + 1)
    sound = rows.difference(list(broken), sort=True) if broken else rows
    columns = [pd.Series(table.column(name).to_pandas().array, index=sound) for name in names]
    columns = [column.reindex(rows) for column in columns] if broken else columns
    unread = [Unread(number - 1, text, f"fields; allowed: {width}") for number, text in sorted(broken.items())]
    return columns, unread
