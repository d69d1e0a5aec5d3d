"""Columns of bars: text or numbers made into times and doubles, or an error that names file, row and rule."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lem.errors import SourceError

FIRST_TIME, LAST_TIME = pd.Timestamp("1990-01-01", tz="UTC"), pd.Timestamp("2100-01-01", tz="UTC")
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
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


def numbers(url: str, column: pd.Series) -> pd.Series:
    """The column as doubles, each the nearest double to its text; NaN where the text is empty.

    Raises:
        SourceError: a text is no number.
    """
    if pd.api.types.is_numeric_dtype(column):
        return column.astype("float64")
    text = as_text(column)
    values = pd.to_numeric(text, errors="coerce")
    absent = values.isna()
    if absent.any():
        empty = text.isna() | text.str.lower().isin(_EMPTY)
        refuse(url, column, absent & ~empty, "is not a number; allowed: decimal numbers")
    return values.astype("float64")


def epoch(url: str, column: pd.Series) -> pd.Series:
    """Times from numbers since 1970 in s, ms, us or ns. Their size tells the unit: the four ranges are disjoint.

    Raises:
        SourceError: a number is a time in none of the units, or in another unit than the first row.
    """
    values = column.to_numpy()
    first, last = (int(limit.timestamp()) for limit in (FIRST_TIME, LAST_TIME))
    fits = {unit: (values >= first * size) & (values < last * size) for unit, size in _PER_SECOND.items()}
    refuse(
        url,
        column,
        pd.Series(~np.logical_or.reduce(list(fits.values()))),
        f"is in no unit a time; allowed: {', '.join(_PER_SECOND)} since 1970 that give "
        f"{FIRST_TIME:%Y-%m-%d} to before {LAST_TIME:%Y-%m-%d}",
    )
    unit = next(unit for unit, inside in fits.items() if inside[0])
    refuse(url, column, pd.Series(~fits[unit]), f"is not in {unit} as row 1 is; allowed: one unit in a file")
    size = _PER_SECOND[unit]
    if np.issubdtype(values.dtype, np.integer):
        micros = values * (10**6 // size) if size <= 10**6 else values // (size // 10**6)
    else:
        micros = np.rint(values * (10**6 / size)).astype("int64")
    return pd.Series(pd.to_datetime(micros, unit="us", utc=True))
