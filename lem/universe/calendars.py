"""Which bars exist: partition dates, sessions, and the grid of bars that a partition must hold.

A partition is one UTC date. A 24/7 market fills every date with bars; an exchange has one bar a session, from the
session's open to its close (half days as the exchange announced them), or bars of equal length within it; a weekday
without a session is a partition without rows. Every function is pure: same universe and date, same answer.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from lem.errors import UniverseError
from lem.late import np, pd
from lem.universe.exchanges import UTC_US, first_date, sessions
from lem.universe.session_bars import session_closes, session_grid
from lem.universe.universe import Universe

if TYPE_CHECKING:
    from numpy.typing import NDArray


@cache
def _closes(calendar: str) -> pd.Series:
    """Close of every session, indexed by its open (both UTC)."""
    return sessions(calendar).set_index("open")["close"]


def partition_window(date: dt.date) -> tuple[dt.datetime, dt.datetime]:
    """The half-open UTC window [start, end) of bar opens that belong to a partition."""
    start = dt.datetime.combine(date, dt.time(), dt.UTC)
    return start, start + dt.timedelta(days=1)


def partition_dates(universe: Universe, start: dt.date, end: dt.date) -> list[dt.date]:
    """Partition dates from `start` to `end`, both inclusive: every day (24/7), or Monday to Friday (exchanges).

    Holidays are partition dates without rows, so an exchange's announcement never changes which partitions exist.
    """
    dates = map(dt.date.fromordinal, range(start.toordinal(), end.toordinal() + 1))
    return [date for date in dates if universe.calendar == "24/7" or date.weekday() < 5]


def check_partitions(universe: Universe, start: dt.date, end: dt.date) -> None:
    """Refuse a range of dates without any partition.

    Args:
        universe: whose calendar counts.
        start: first date.
        end: last date, inclusive.

    Raises:
        UniverseError: no partition in the range (none on Saturday and Sunday but 24/7), or it ends before it starts;
            names the universe's nearest partitions.
    """
    if partition_dates(universe, start, end):
        return
    beside = (offset_partition(universe, start, -1), offset_partition(universe, end, 1))
    near = [f"{date}" for date in beside if universe.start <= date <= (universe.end or date)]
    nearest = f"; nearest in the universe: {', '.join(near)}" if near else ""
    span = f"for {start}" if start == end else f"from {start} to {end}"
    raise UniverseError(f"universe {universe.name!r} has no partition {span}; allowed: Monday to Friday{nearest}")


def offset_partition(universe: Universe, date: dt.date, n: int) -> dt.date:
    """The n-th partition date after `date`; with a negative n, before it; with n = 0, `date` itself.

    Raises:
        UniverseError: n is 0 and `date` is no partition date.
    """
    if universe.calendar == "24/7":
        return date + dt.timedelta(days=n)
    if n == 0:
        if date.weekday() >= 5:
            raise UniverseError(f"{date} is no partition of {universe.name!r}; allowed: Monday to Friday")
        return date
    rolled = np.busday_offset(np.datetime64(date, "D"), n, roll="backward" if n > 0 else "forward")
    return rolled.astype(dt.date)


def is_session(universe: Universe, date: dt.date) -> bool:
    """Whether the market trades on `date`.

    Raises:
        UniverseError: the exchange's calendar does not reach to `date`.
    """
    if universe.calendar == "24/7":
        return True
    known = sessions(universe.calendar)
    first, last = first_date(universe.calendar), known.index[-1].date()
    if not first <= date <= last:
        raise UniverseError(f"calendar {universe.calendar} does not know {date}; allowed: {first} to {last}")
    return pd.Timestamp(date) in known.index


def is_listed(universe: Universe, symbol: str, date: dt.date) -> bool:
    """Whether the asset is listed on `date`, its first `settle_days` days left out; `delisted` is inclusive."""
    asset = universe.assets[universe.check_symbol(symbol)]
    first = asset.listed + dt.timedelta(days=universe.settle_days) if asset.listed else date
    return first <= date <= (asset.delisted or date)


def session_opens(universe: Universe, dates: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Open time (UTC) of the first bar of each naive date; NaT where there is no session."""
    if universe.calendar == "24/7":
        return dates.tz_localize("UTC").as_unit("us")
    return pd.DatetimeIndex(sessions(universe.calendar)["open"].reindex(dates))


def expected_grid(
    universe: Universe, symbol: str, dates: Sequence[dt.date]
) -> tuple[pd.DatetimeIndex, NDArray[np.int64]]:
    """The bars of several partitions at once.

    Returns:
        Open times (UTC, microseconds) in the order of `dates`, and the position of each bar's partition in `dates`.
        There are no bars for a date without a session, outside of the asset's listing or outside of the exchange's
        calendar.

    Raises:
        UniverseError: unknown symbol.
    """
    # Around the clock a day opens at midnight: pandas' cost a call, which is more than that of a day's hours, is saved.
    open_D = np.array(dates, "datetime64[D]").astype("datetime64[us]")
    if universe.calendar != "24/7":
        days = pd.DatetimeIndex(open_D)
        if universe.in_sessions:
            opens, day_T = session_grid(universe.calendar, universe.bar_length, days)
            listed_T = np.array([is_listed(universe, symbol, date) for date in dates], dtype=bool)[day_T]
            return opens[listed_T], day_T[listed_T]
        open_D = session_opens(universe, days).tz_localize(None).to_numpy("datetime64[us]", copy=True)
    open_D[[not is_listed(universe, symbol, date) for date in dates]] = "NaT"
    day_T = np.repeat(np.flatnonzero(~np.isnat(open_D)), universe.bars_per_day)
    # Every day has the same number of bars and they stand together: the position modulo that number is the bar.
    bar_T = np.arange(len(day_T)) % universe.bars_per_day
    opens = open_D[day_T] + bar_T * universe.bar_length.to_timedelta64().astype("timedelta64[us]")
    return pd.DatetimeIndex(opens, name="ts").tz_localize("UTC"), day_T


def expected_bars(universe: Universe, symbol: str, date: dt.date) -> pd.DatetimeIndex:
    """Open times (UTC, microseconds) of the bars of a partition; empty on holidays and unlisted days.

    Raises:
        UniverseError: unknown symbol, or a date that the exchange's calendar does not know.
    """
    if not (is_listed(universe, symbol, date) and is_session(universe, date)):
        return pd.DatetimeIndex([], dtype=UTC_US, name="ts")
    return expected_grid(universe, symbol, [date])[0]


def bar_close(universe: Universe, opens: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Close times (UTC) of the bars that open at `opens`: open plus bar length, or the session's close.

    Raises:
        UniverseError: one of the times is not the open of a session, or of a bar in one.
    """
    if universe.in_sessions:
        return session_closes(universe.calendar, universe.bar_length, opens)
    if universe.calendar == "24/7":
        return (opens + universe.bar_length).as_unit("us").rename("close_ts")
    closes = pd.DatetimeIndex(_closes(universe.calendar).reindex(opens), name="close_ts")
    if closes.hasnans:
        raise UniverseError(f"{opens[closes.isna()][0]} is not the open of a session of {universe.calendar}")
    return closes


def outage_mask(universe: Universe, symbol: str, opens: pd.DatetimeIndex) -> NDArray[np.bool_]:
    """True for bars that open inside an outage that the universe lists for this asset or for all."""
    mask = np.zeros(len(opens), dtype=bool)
    for outage in universe.outages:
        if outage.assets is None or symbol in outage.assets:
            mask |= np.asarray((opens >= pd.Timestamp(outage.start)) & (opens < pd.Timestamp(outage.end)))
    return mask


def outage_lines(symbol: str, start: dt.datetime, end: dt.datetime) -> str:
    """Lines for the universe file that list an outage of one asset.

    Args:
        symbol: of the asset.
        start: begin, UTC.
        end: end, UTC, exclusive.
    """
    return (
        f"    [[outages]]\n    start = {start:%Y-%m-%dT%H:%M:%SZ}\n    end = {end:%Y-%m-%dT%H:%M:%SZ}\n"
        f'    assets = ["{symbol}"]\n    reason = "why there are none"'
    )
