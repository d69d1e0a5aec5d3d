"""Times of bars in any spelling: ISO 8601 text, dates, time stamps, or numbers since 1970 of any integer type."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from lem.errors import SourceError
from lem.sources.bad_rows import Unread, found
from lem.sources.columns import FIRST_TIME, LAST_TIME, as_text, plain

PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
IN_RANGE = f"{FIRST_TIME:%Y-%m-%d} to before {LAST_TIME:%Y-%m-%d}"
"""Times that a file may hold, in words."""
_DATE_DIGITS = (19900101, 20991231)


def read_times(url: str, column: pd.Series) -> tuple[pd.Series, list[Unread]]:
    """Times with a zone (UTC where the column states none), NaT where a row has none, and those rows.

    Args:
        url: names the file.
        column: the column as the file has it, with the number of each row as its index.

    Raises:
        SourceError: the column's type cannot hold times.
    """
    column = plain(column)
    if pd.api.types.is_datetime64_any_dtype(column):
        times = column.dt.tz_localize("UTC") if column.dt.tz is None else column
    elif pd.api.types.is_numeric_dtype(column):
        if pd.api.types.is_bool_dtype(column) or column.dtype in (np.float32, np.float16):
            raise SourceError(
                f"{url}: column {column.name!r} is of type {column.dtype}, which cannot hold times; allowed: integers, "
                "64-bit floats, time stamps, dates or text"
            )
        return since_1970(url, column)
    elif pd.api.types.infer_dtype(column, skipna=True) in ("date", "datetime"):
        times = pd.to_datetime(column, utc=True, errors="coerce")
    else:
        text = as_text(column)
        numeric = pd.to_numeric(text, errors="coerce")
        if numeric.notna().sum() > 0.5 * (text.notna() & (text != "")).sum():
            return since_1970(url, exact(text, numeric), column)
        times = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
    unread = found(url, column, times.isna(), "is no time; allowed: ISO 8601, dates, or numbers since 1970")
    late = (times.notna() & ~times.between(FIRST_TIME, LAST_TIME, inclusive="left")).astype(bool)
    out = found(url, column, late, f"is out of range; allowed: times from {IN_RANGE}")
    return times.mask(late), unread + [_early(row, times.iloc[row.position]) for row in out]


def since_1970(url: str, column: pd.Series, shown: pd.Series | None = None) -> tuple[pd.Series, list[Unread]]:
    """Times from numbers since 1970 in s, ms, us or ns, or from dates written as one number (20240131).

    Their size tells the unit, as the ranges are disjoint. Most rows tell that of the file.

    Args:
        url: names the file.
        column: the numbers, with the number of each row as its index.
        shown: what an error shows of them; if left out, the numbers.
    """
    shown = column if shown is None else shown
    values = _wide(column)
    first, last = (int(limit.timestamp()) for limit in (FIRST_TIME, LAST_TIME))
    fits = {unit: (values >= first * size) & (values < last * size) for unit, size in PER_SECOND.items()}
    dates = (values >= _DATE_DIGITS[0]) & (values <= _DATE_DIGITS[1])
    if dates.sum() > sum(inside.sum() for inside in fits.values()):
        written = pd.Series(values, index=column.index).where(dates).astype("Int64").astype("str")
        times = pd.to_datetime(written, format="%Y%m%d", utc=True, errors="coerce")
        return times, found(url, shown, times.isna(), "is no date as most rows are; allowed: YYYYMMDD in all of them")
    any_unit = np.logical_or.reduce(list(fits.values()))
    rule = f"is in no unit a time; allowed: {', '.join(PER_SECOND)} since 1970 that give {IN_RANGE}"
    unread = found(url, shown, pd.Series(~any_unit), rule)
    if not any_unit.any():
        return pd.Series(pd.NaT, index=column.index, dtype="datetime64[us, UTC]"), unread
    unit = max(fits, key=lambda name: (fits[name].sum(), fits[name][any_unit][0]))
    alike = shown.index[fits[unit]][0]
    size = PER_SECOND[unit]
    unread = [_early(row, _moment(values[row.position] / size)) for row in unread]
    rule = f"is not in {unit} as row {alike} is; allowed: one unit in a file"
    unread += found(url, shown, pd.Series(any_unit & ~fits[unit]), rule)
    kept = np.where(fits[unit], values, 0)
    if np.issubdtype(kept.dtype, np.integer):
        micros = kept * (10**6 // size) if size <= 10**6 else kept // (size // 10**6)
    else:
        micros = np.rint(kept * (10**6 / size)).astype("int64")
    times = pd.Series(pd.to_datetime(micros, unit="us", utc=True), index=column.index)
    return times.where(pd.Series(fits[unit], index=column.index)), unread


def _early(row: Unread, time: pd.Timestamp | None) -> Unread:
    """The row with its time, where that lies before all that a file may hold."""
    return replace(row, time=time) if time is not None and time < FIRST_TIME else row


def _moment(seconds: float) -> pd.Timestamp | None:
    """A time since 1970; None where it is none of the last centuries."""
    return pd.Timestamp(seconds, unit="s", tz="UTC") if -9e9 < seconds < 9e9 else None


def _wide(column: pd.Series) -> np.ndarray:
    """The numbers in 64 bits: integers as such where all of them fit, and -1 for what is none of a time."""
    if pd.api.types.is_integer_dtype(column):
        small = column.isna() | (column > np.iinfo(np.int64).max)
        return column.mask(small, 0).to_numpy().astype(np.int64) - small.to_numpy(bool).astype(np.int64)
    return np.nan_to_num(column.to_numpy(float), nan=-1.0)


def exact(text: pd.Series, numeric: pd.Series) -> pd.Series:
    """Numbers of a text; integers as such, although a row that is none would make doubles of all.

    Args:
        text: of each row.
        numeric: the same as numbers, NaN where the text is none.
    """
    if pd.api.types.is_integer_dtype(numeric):
        return numeric
    whole = text.str.fullmatch(r"[+-]?\d{1,18}|[+-]?\d{19}").fillna(False).astype(bool) & numeric.notna()
    if not (whole == numeric.notna()).all():
        return numeric
    return text.where(whole, "-1").astype("int64")
