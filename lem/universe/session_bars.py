"""Bars within an exchange's sessions: from the open in equal steps, over a lunch break not at all, up to the close.

Where a length does not divide a session, its last bar (and the last one before a break) is shorter: 30 minutes at the
end of New York's day in hours. On a half day there are fewer bars.
"""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import TYPE_CHECKING

from lem.errors import UniverseError
from lem.late import np, pd
from lem.universe.exchanges import first_date, session_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray


def session_grid(
    calendar: str, length: pd.Timedelta, dates: pd.DatetimeIndex
) -> tuple[pd.DatetimeIndex, NDArray[np.int64]]:
    """The bars of the sessions of some dates.

    Args:
        calendar: an exchange's.
        length: of a bar.
        dates: naive dates, each once; one without a session has no bars.

    Returns:
        Open times (UTC, microseconds) in the order of `dates`, and the position of each bar's date in `dates`.
    """
    parts = session_parts(calendar)
    place_P = dates.get_indexer(pd.DatetimeIndex(parts["date"]))
    wanted = np.flatnonzero(place_P >= 0)
    wanted = wanted[np.argsort(place_P[wanted], kind="stable")]
    start_P = parts["start"].dt.tz_localize(None).to_numpy("datetime64[us]")[wanted]
    count_P = _counts(calendar, length)[wanted]
    step_T = np.arange(count_P.sum()) - np.repeat(np.cumsum(count_P) - count_P, count_P)
    opens_T = np.repeat(start_P, count_P) + step_T * length.to_timedelta64().astype("timedelta64[us]")
    return pd.DatetimeIndex(opens_T, name="ts").tz_localize("UTC"), np.repeat(place_P[wanted], count_P)


def session_closes(calendar: str, length: pd.Timedelta, opens: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Close times (UTC) of bars: a length after the open, or where the session or its part ends.

    Raises:
        UniverseError: one of the times is not the open of a bar.
    """
    end_P = pd.DatetimeIndex(session_parts(calendar)["end"])
    end_T = end_P[_parts_of(calendar, length, opens)]
    whole_T = opens + length
    return whole_T.where(whole_T < end_T, end_T).as_unit("us").rename("close_ts")


def places_in_session(
    calendar: str, length: pd.Timedelta, opens: pd.DatetimeIndex
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The place of each bar in its session, and that of the bar after it: the schedule tells both beforehand.

    Args:
        calendar: an exchange's.
        length: of a bar.
        opens: of bars (UTC).

    Raises:
        UniverseError: one of the times is not the open of a bar.
    """
    parts = session_parts(calendar)
    part_T, counts = _parts_of(calendar, length, opens), pd.Series(_counts(calendar, length))
    by_session = counts.groupby(parts["date"])
    before_P, all_P = (by_session.cumsum() - counts).to_numpy(), by_session.transform("sum").to_numpy()
    within_T = np.asarray((opens - pd.DatetimeIndex(parts["start"])[part_T]) // length, np.int64)
    place_T = before_P[part_T] + within_T
    return place_T, np.where(place_T + 1 < all_P[part_T], place_T + 1, 0)


def _parts_of(calendar: str, length: pd.Timedelta, opens: pd.DatetimeIndex) -> NDArray[np.int64]:
    """Which of the calendar's parts of sessions each bar lies in."""
    parts = session_parts(calendar)
    start_P, end_P = pd.DatetimeIndex(parts["start"]), pd.DatetimeIndex(parts["end"])
    place_T = np.asarray(start_P.searchsorted(opens, side="right"), np.int64) - 1
    part_T = place_T.clip(0)
    wrong_T = (place_T < 0) | (opens >= end_P[part_T]) | ((opens - start_P[part_T]) % length != pd.Timedelta(0))
    if wrong_T.any():
        raise UniverseError(f"{opens[wrong_T][0]} is not the open of a bar of {calendar}")
    return part_T


def in_session(calendar: str, times: pd.DatetimeIndex) -> NDArray[np.bool_]:
    """Which times (UTC) lie in a session of an exchange, its breaks not; False for NaT."""
    parts = session_parts(calendar)
    start_P, end_P = pd.DatetimeIndex(parts["start"]), pd.DatetimeIndex(parts["end"])
    place_T = np.asarray(start_P.searchsorted(times.fillna(start_P[0]), side="right"), np.int64) - 1
    return np.asarray((place_T >= 0) & times.notna() & (times < end_P[place_T.clip(0)]))


@cache
def most_bars(calendar: str, length: pd.Timedelta, start: dt.date, end: dt.date | None) -> int:
    """Bars of the longest session from `start` to `end` (inclusive; or as far as the calendar reaches)."""
    dates = pd.DatetimeIndex(session_parts(calendar)["date"])
    first = max(start, first_date(calendar))
    inside = (dates >= pd.Timestamp(first)) & (dates <= pd.Timestamp(end or dt.date(2200, 1, 1)))
    counts = pd.Series(_counts(calendar, length)[inside]).groupby(dates[inside]).sum()
    return int(counts.max()) if len(counts) else 1


@cache
def weekdays_that_hold(calendar: str, length: pd.Timedelta, bars: int, start: dt.date) -> int:
    """The least number of weekdays in a row that hold so many bars wherever they begin, holidays and half days too.

    Args:
        calendar: an exchange's.
        length: of a bar.
        bars: wanted.
        start: holidays before it do not count; those after it do as far as the calendar reaches.
    """
    dates = pd.DatetimeIndex(session_parts(calendar)["date"])
    days = pd.bdate_range(start, dates[-1])
    by_day = pd.Series(_counts(calendar, length)).groupby(dates).sum().reindex(days, fill_value=0)
    until_D = np.r_[0, by_day.to_numpy().cumsum()]
    first_D = np.searchsorted(until_D, until_D + bars)
    inside = first_D < len(until_D)
    return int((first_D - np.arange(len(until_D)))[inside].max(initial=-(-bars // int(by_day.max()))))


@cache
def divides_sessions(calendar: str, length: pd.Timedelta, start: dt.date) -> bool:
    """Whether all bars from `start` on are whole: the length divides each session, and each part beside a break."""
    parts = session_parts(calendar)
    later = parts[pd.DatetimeIndex(parts["date"]) >= pd.Timestamp(start)]
    long = pd.DatetimeIndex(later["end"]) - pd.DatetimeIndex(later["start"])
    return bool((long % length == pd.Timedelta(0)).all())


@cache
def _counts(calendar: str, length: pd.Timedelta) -> NDArray[np.int64]:
    parts = session_parts(calendar)
    long = pd.DatetimeIndex(parts["end"]) - pd.DatetimeIndex(parts["start"])
    return np.ceil(np.asarray(long / length)).astype(np.int64)
