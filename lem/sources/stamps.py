"""What a file's time stamps mean: the zone of those without an offset, and whether they are a bar's begin or end."""

from __future__ import annotations

import pandas as pd

from lem.errors import SourceError
from lem.sources.columns import as_text, refuse
from lem.universe import Universe
from lem.universe.calendars import bar_close, session_opens

_OFFSET = r"(?:[zZ]|[+-]\d{2}(?::?\d{2})?(?::?\d{2})?)$"
"""At the end of a text with a time of day."""


def has_offset(text: pd.Series) -> pd.Series:
    """Which ISO texts name their offset from UTC."""
    return text.str.contains(r"\d[T ]\d", na=False) & text.str.contains(_OFFSET, regex=True, na=False)


def zoned(url: str, column: pd.Series, zone: str, sessions: bool) -> tuple[pd.Series, pd.Series]:
    """Naive stamps as times in UTC, and as the clock of their zone showed them; NaT where there is none.

    Args:
        url: names the file in an error.
        column: as it stands in the file.
        zone: whose clock they show (`source.zone`).
        sessions: a stamp at midnight is the date of a session, whatever the zone.

    Raises:
        SourceError: the stamps are not naive, so that no zone is obeyed; or the clock showed one never or twice.
    """
    wall = _naive(url, column, zone)
    if sessions and (wall.isna() | (wall == wall.dt.normalize())).all():
        _refuse_zone(url, zone, "its stamps are dates of sessions")
    times = _in_order(wall, zone)
    rule = (
        f"was shown never or twice by clocks of {zone}, which were set then; allowed: times that were shown once, "
        "twice in the order of time, or stamps with their offset"
    )
    refuse(url, column, wall.notna() & times.isna(), rule)
    return times, wall


def _refuse_zone(url: str, zone: str, what: str) -> None:
    raise SourceError(f"{url}: source.zone is {zone!r}, but {what}; allowed there: no source.zone")


def _naive(url: str, column: pd.Series, zone: str) -> pd.Series:
    """The stamps without their zone, which they must not have; NaT where there is none."""
    if pd.api.types.is_datetime64_any_dtype(column):
        if column.dt.tz is not None:
            _refuse_zone(url, zone, f"its stamps have the zone {column.dt.tz}")
        return column
    if pd.api.types.is_numeric_dtype(column):
        _refuse_zone(url, zone, "numbers since 1970 have none")
    text = as_text(column)
    if pd.to_numeric(text, errors="coerce").notna().any():
        _refuse_zone(url, zone, "numbers since 1970 have none")
    offset = has_offset(text)
    if offset.any():
        _refuse_zone(url, zone, f"{offset.sum()} of its {len(text)} stamps have an offset")
    return pd.to_datetime(text, format="ISO8601", errors="coerce")


def _in_order(wall: pd.Series, zone: str) -> pd.Series:
    """Naive times on a zone's clock; of an hour that was shown twice the second time follows the first."""
    first = wall.dt.tz_localize(zone, ambiguous=[True] * len(wall), nonexistent="NaT").dt.tz_convert("UTC")
    second = wall.dt.tz_localize(zone, ambiguous=[False] * len(wall), nonexistent="NaT").dt.tz_convert("UTC")
    twice = first != second
    if not (twice & wall.notna()).any():
        return first
    # Behind a row of the same hour with a later or equal stamp, the clock has been set back.
    hours = wall.where(twice & wall.notna())
    days = hours.dt.normalize()
    highest = hours.groupby(days).cummax().groupby(days).shift()
    back = (hours <= highest).groupby(days).cummax().eq(1)
    times = first.where(~(twice & back), second)
    # Without the second showing nobody knows which one it is.
    whole = back.groupby(days).transform("any").reindex(wall.index).eq(True)
    return times.where(~(twice & wall.notna()) | whole)


def opens_of(url: str, column: pd.Series, times: pd.Series, dates: pd.Series, universe: Universe) -> pd.Series:
    """Opens of the bars that end at some times.

    Args:
        url: names the file in an error.
        column: as it stands in the file.
        times: of its rows, UTC.
        dates: which rows are the date of a session and no time.
        universe: gives bar length and calendar.

    Raises:
        SourceError: a row is a session's date, or no session ends then; names file and row.
    """
    if universe.calendar == "24/7":
        return times - universe.source_bar_length
    rule = "is a date, and source.stamp is 'close'; allowed: the time at which the session ends, or no source.stamp"
    refuse(url, column, dates, rule)
    days = pd.DatetimeIndex(times.dt.tz_localize(None).dt.normalize())
    opens = session_opens(universe, days)
    known = opens.notna()
    closes = pd.Series(pd.NaT, index=times.index, dtype="datetime64[us, UTC]")
    closes[known] = bar_close(universe, opens[known])
    rule = f"is not the end of a session of {universe.calendar}; allowed: the time at which one ends, UTC"
    refuse(url, column, times != closes, rule)
    return pd.Series(opens, index=times.index)
