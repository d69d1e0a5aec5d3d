"""Columns of bars: text or numbers made into doubles, or an error that names file, row and rule."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lem.errors import SourceError

FIRST_TIME, LAST_TIME = pd.Timestamp("1990-01-01", tz="UTC"), pd.Timestamp("2100-01-01", tz="UTC")
NO_NUMBER = "is not a number; allowed: decimal numbers"
_EMPTY = ("", "nan", "na", "null", "none")


def refuse(url: str, column: pd.Series, bad: pd.Series, rule: str) -> None:
    """Raise if a row breaks a rule on one column.

    Args:
        url: names the file in the error.
        column: the column.
        bad: true for rows that break the rule.
        rule: in words, with what is allowed.

    Raises:
        SourceError: a row breaks it; names file, the first such row (from 1), column, value, rule, and how many do.
    """
    if bad.any():
        row = int(np.argmax(bad.to_numpy()))
        more = f" ({bad.sum()} rows break this rule)" if bad.sum() > 1 else ""
        value = str(column.iloc[row])
        raise SourceError(f"{url}: row {row + 1}, column {column.name!r}: {value!r} {rule}{more}")


def as_text(column: pd.Series) -> pd.Series:
    """The column as text without blanks at its ends; missing values stay missing."""
    text = column if isinstance(column.dtype, pd.StringDtype) else column.map(str, na_action="ignore").astype("str")
    return text.str.strip()


def plain(column: pd.Series) -> pd.Series:
    """The column without what Parquet may wrap around its values: a dictionary, or bytes for text."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if pd.api.types.infer_dtype(column, skipna=True) == "bytes":
        column = column.map(lambda value: value.decode("utf-8", "replace"), na_action="ignore")
    return column


def numbers(url: str, column: pd.Series) -> pd.Series:
    """The column as doubles, each the nearest double to its text; NaN where the text is empty.

    Raises:
        SourceError: a text is no number.
    """
    values, bad = read_numbers(column)
    refuse(url, column, bad, NO_NUMBER)
    return values


def read_numbers(column: pd.Series) -> tuple[pd.Series, pd.Series]:
    """The column as doubles (NaN where the text is empty or no number), and true for the rows whose text is none."""
    column = plain(column)
    if pd.api.types.is_bool_dtype(column):
        return pd.Series(np.nan, index=column.index), pd.Series(True, index=column.index)
    if pd.api.types.is_numeric_dtype(column):
        return column.astype("float64"), pd.Series(False, index=column.index)
    text = as_text(column)
    values = pd.to_numeric(text, errors="coerce")
    absent = values.isna()
    bad = absent & ~(text.isna() | text.str.lower().isin(_EMPTY)) if absent.any() else absent
    return values.astype("float64"), bad.astype(bool)
