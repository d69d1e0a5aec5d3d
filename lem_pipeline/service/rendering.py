"""JSON of many slices: each column is written at once, and the rows are put together from the pieces.

What all slices of an answer share (the bar, the model, often the mode) is written once and copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import repeat
from typing import Any

from lem.advice.answers import FIELDS, ROUNDED, Columns
from lem_pipeline.service.numbers import dumped

_NUMBERS = {
    *("number", "seconds_left", "share", "finish", "probability", "last_close", "benchmark_price", "achieved"),
    *("gain_bps", "expected_gain_bps", "expected_low_bps", "expected_high_bps", "model_age_days", "repeated"),
}
"""Numbers and truth values: none of their texts has a comma."""


def slices_json(columns: Columns) -> bytes:
    """A list of `lem_pipeline.service.models.SliceView`; amounts are numbers with all of their digits.

    Args:
        columns: of the slices.
    """
    count = len(columns[FIELDS[0]])
    if not count:
        return b"[]"
    pieces, before = list[Iterable[str]](), "{"
    # What records have rounded to floats is written with all of its digits.
    digits = {exact: _digits(columns[exact]) for exact in ROUNDED.values()}
    for name in FIELDS:
        texts = digits[ROUNDED[name]] if name in ROUNDED else _texts(columns[name], name, digits.get(name))
        before += f'"{name}":'
        if texts.count(texts[0]) == count:
            before += f"{texts[0]},"
        else:
            pieces += [repeat(before), texts]
            before = ","
    ends = f"{before.removesuffix(',')}}}"
    rows = zip(*pieces, repeat(ends, count), strict=False)
    return f"[{','.join(map(''.join, rows))}]".encode()


def _texts(column: Sequence[Any], name: str, digits: list[str] | None) -> list[str]:
    """The JSON of each value of a column, of which the digits may be there already."""
    if digits is not None or name == "limit_price":
        return [text if text == "null" else f'"{text}"' for text in digits or _digits(column)]
    if name in _NUMBERS:
        return dumped(column)[1:-1].decode().split(",")
    known = {value: dumped(value).decode() for value in set(column)}
    return [known[value] for value in column]


def _digits(numbers: Sequence[Decimal | None]) -> list[str]:
    return ["null" if number is None else f"{number:f}" for number in numbers]
