"""What a file's time stamps mean: the zone of those without an offset, and whether they are a bar's begin or end."""

from __future__ import annotations

import pandas as pd

from lem.errors import SourceError
from lem.sources.bad_rows import Unread, found
from lem.sources.columns import FIRST_TIME, LAST_TIME, as_text, plain
from lem.sources.times import IN_RANGE
from lem.universe import Universe
from lem.universe.calendars import bar_close, session_opens
from lem.universe.session_bars import in_session, session_closes, session_grid

_NO_TIME = "is no time; allowed: ISO 8601 without an offset, or dates"
_OFFSET = r"(?:[zZ]|[+-]\d{2}(?::?\d{2})?(?::?\d{2})?)$"
"""At the end of a text with a time of day."""


def has_offset(text: pd.Series) -> pd.Series:
    """Which ISO texts name their offset from UTC."""
    return text.str.contains(r"\d[T ]\d", na=False) & text.str.contains(_OFFSET, regex=True, na=False)


def zoned(url: str, column: pd.Series, zone: str, sessions: bool) -> tuple[pd.Series, pd.Series, list[Unread]]:
    """Naive stamps in UTC and as the clock of their zone showed them, NaT where a row has none, and those rows.

    Args:
        url: names the file in an error.
        column: as it stands in the file, with the number of each row as its index.
        zone: whose clock they show (`source.zone`).
        sessions: a stamp at midnight is the date of a session, whatever the zone.

    Raises:
        SourceError: most of the stamps are not naive, so that no zone is obeyed.
    """
    wall, unread = _naive(url, plain(column), zone)
    if sessions and (wall.isna() | (wall == wall.dt.normalize())).all():
        _refuse_zone(url, zone, "its stamps are dates of sessions")
    times = _in_order(wall, zone)
    rule = (
        f"was shown never or twice by clocks of {zone}, which were set then; allowed: times that were shown once, "
        "twice in the order of time, or stamps with their offset"
    )
    unread += found(url, column, wall.notna() & times.isna(), rule)
    late = times.notna() & ~times.between(FIRST_TIME, LAST_TIME, inclusive="left")
    unread += found(url, column, late, f"is out of range; allowed: times from {IN_RANGE}")
    return times.mask(late), wall.mask(late), unread


def _refuse_zone(url: str, zone: str, what: str) -> None:
    raise SourceError(f"{url}: source.zone is {zone!r}, but {what}; allowed there: no source.zone")


def _naive(url: str, column: pd.Series, zone: str) -> tuple[pd.Series, list[Unread]]:
    """The stamps without their zone, which they must not have; NaT where there is none, and those rows."""
    if pd.api.types.is_datetime64_any_dtype(column):
        if column.dt.tz is not None:
            _refuse_zone(url, zone, f"its stamps have the zone {column.dt.tz}")
        return column, found(url, column, column.isna(), _NO_TIME)
    if pd.api.types.is_numeric_dtype(column):
        _refuse_zone(url, zone, "numbers since 1970 have none")
    text = as_text(column)
    there = (text.notna() & (text != "")).sum()
    if pd.to_numeric(text, errors="coerce").notna().sum() > 0.5 * there:
        _refuse_zone(url, zone, "numbers since 1970 have none")
    offset = has_offset(text).astype(bool)
    if offset.sum() > 0.5 * there:
        _refuse_zone(url, zone, f"{offset.sum()} of its {len(text)} stamps have an offset")
    wall = pd.to_datetime(text.mask(offset), format="ISO8601", errors="coerce")
    unread = found(url, column, wall.isna() & ~offset, _NO_TIME)
    rule = f"has an offset, which most rows have not; allowed where source.zone is {zone!r}: stamps without one"
    return wall, unread + found(url, column, offset, rule)


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


def opens_of(
    url: str, column: pd.Series, times: pd.Series, dates: pd.Series, universe: Universe
) -> tuple[pd.Series, list[Unread]]:
    """Opens of the bars that end at some times; NaT where a row has none, and those rows.

    Args:
        url: names the file in an error.
        column: as it stands in the file, with the number of each row as its index.
        times: of its rows, UTC; NaT where a row has none.
        dates: which rows are the date of a session and no time.
        universe: gives bar length and calendar.
    """
    if universe.calendar == "24/7":
        return times - universe.source_bar_length, []
    if universe.in_sessions:
        return _opens_within(url, column, times, universe)
    rule = "is a date, and source.stamp is 'close'; allowed: the time at which the session ends, or no source.stamp"
    unread = found(url, column, dates, rule)
    days = pd.DatetimeIndex(times.dt.tz_localize(None).dt.normalize())
    opens = pd.Series(session_opens(universe, days), index=times.index)
    known = opens.notna()
    closes = pd.Series(pd.NaT, index=times.index, dtype="datetime64[us, UTC]")
    closes[known] = bar_close(universe, pd.DatetimeIndex(opens[known]))
    none = times.notna() & ~dates & (times != closes)
    rule = f"is not the end of a session of {universe.calendar}; allowed: the time at which one ends, UTC"
    return opens.mask(dates | none), unread + found(url, column, none, rule)


def _opens_within(url: str, column: pd.Series, times: pd.Series, universe: Universe) -> tuple[pd.Series, list[Unread]]:
    """Opens of the bars within sessions that end at some times; NaT where none does, and those rows.

    A row outside of all sessions keeps its time less a bar: it is judged, or left out, as other rows there.
    """
    length, calendar = universe.source_bar_length, universe.calendar
    days = pd.DatetimeIndex(times.dropna().dt.tz_localize(None).dt.normalize().unique()).sort_values()
    opens, _ = session_grid(calendar, length, days)
    begun = pd.Series(opens, index=session_closes(calendar, length, opens))
    found_T = begun.reindex(pd.DatetimeIndex(times)).set_axis(times.index)
    # What ends with the open of a session lies before it, what ends with its close lies in it.
    inside = in_session(calendar, pd.DatetimeIndex(times) - pd.Timedelta(1, "us"))
    none = times.notna() & found_T.isna() & inside
    rule = f"is not the end of a bar of {universe.source_bar} of {calendar}; allowed: the time at which one ends, UTC"
    return found_T.where(found_T.notna() | none, times - length), found(url, column, none, rule)
