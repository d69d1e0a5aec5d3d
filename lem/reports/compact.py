"""Columns of few texts, kept as numbers of a sorted list of them: a report has millions of orders of a dozen texts.

A column of texts takes tens of bytes a row and is grouped by comparing texts; a categorical one takes a byte or two,
sorts in the same order and is grouped by its numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from lem.late import pd


def compact(values: pd.Series, to_text: Callable[[Any], str] = str) -> pd.Series:
    """A column as a categorical one of texts, in the texts' order; what is missing stays missing.

    Args:
        values: of any kind.
        to_text: of a value; those that have the same text become one.
    """
    number_O, distinct = pd.factorize(values)
    return numbered(number_O, [to_text(value) for value in distinct], values.index)


def numbered(number_O: ArrayLike, texts: Sequence[str], index: pd.Index) -> pd.Series:
    """A categorical column from the numbers of its texts; texts without rows are left out.

    Args:
        number_O: place of each row's text in `texts`; -1 where there is none.
        texts: in any order.
        index: of the column.
    """
    numbers = np.asarray(number_O)
    there = np.unique(numbers[numbers >= 0])
    named, place = np.unique(np.array([texts[number] for number in there], dtype=object), return_inverse=True)
    # A text's place in the sorted list, by its number; the last one is for -1.
    sorted_place = np.full(len(texts) + 1, -1)
    sorted_place[there] = place
    # Ordered, so that the first and the last of dates can be asked for.
    codes = pd.Categorical.from_codes(sorted_place[numbers], pd.Index(named, dtype=str), ordered=True)
    return pd.Series(codes, index=index)


def encoded(table: pa.Table, columns: Iterable[str]) -> pa.Table:
    """A table with some columns of text as numbers of the texts that they hold."""
    for name in columns:
        table = table.set_column(table.schema.get_field_index(name), name, table[name].dictionary_encode())
    return table


def stacked(tables: Iterable[pa.Table]) -> pd.DataFrame:
    """Tables one below the other; what is `encoded` in them becomes categorical, with sorted values.

    Args:
        tables: at least one, of the same columns.
    """
    frame = pa.concat_tables(tables).unify_dictionaries().to_pandas(split_blocks=True)
    for name, column in frame.items():
        if isinstance(column.dtype, pd.CategoricalDtype):
            frame[name] = column.cat.set_categories(sorted(column.cat.categories), ordered=True)
    return frame
