"""Which bar is next, and clocks that stand in for the present."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass

import numpy as np

from lem.errors import AdviceError
from lem.late import pd
from lem.sources.limits import Clock
from lem.universe import Universe
from lem.universe.calendars import bar_close, partition_window, session_opens
from lem.universe.session_bars import session_grid

_REACH = dt.timedelta(days=12)
"""No exchange is closed for as long as this."""


@dataclass(frozen=True)
class Moment:
    """Where time stands on a market (all UTC).

    Args:
        now: the clock's time.
        bar: open of the bar that is advised on, the first that has not closed yet.
        bar_end: its close.
        last: open of the bar before it, the last that decisions may know.
        as_of: close of that bar.
    """

    now: dt.datetime
    bar: dt.datetime
    bar_end: dt.datetime
    last: dt.datetime
    as_of: dt.datetime


def moment(universe: Universe, now: dt.datetime) -> Moment:
    """Where `now` (UTC) stands among the bars of a universe.

    Raises:
        AdviceError: `now` lies outside of the dates that the universe has data for.
    """
    if now.date() < universe.start or now.date() > (universe.end or now.date()):
        raise AdviceError(
            f"{universe.name}: no bars are expected on {now:%Y-%m-%d}; allowed: {universe.start} to "
            f"{universe.end or 'today'} (start and end in the universe file), or a clock set to such a day"
        )
    reach = _reach(universe)
    opens = _opens(universe, now.date() - reach, now.date() + reach)
    closes = bar_close(universe, opens)
    place = int(closes.searchsorted(pd.Timestamp(now), side="right"))
    times = opens[place], closes[place], opens[place - 1], closes[place - 1]
    return Moment(now, *(stamp.to_pydatetime() for stamp in times))


def bars_of_order(universe: Universe, first: dt.datetime, count: int, last: dt.datetime, now: dt.datetime) -> Moment:
    """The moment at which the bars that an order might use are known: those of its days that have closed by `now`.

    Args:
        universe: whose bars they are.
        first: open of the order's first bar (UTC).
        count: bars that it may use.
        last: open of the last bar that it did use (UTC).
        now: the clock's time (UTC).

    Raises:
        AdviceError: `last` has not closed yet.
    """
    days = _REACH + 2 * count * (pd.Timedelta(1, "D") / universe.bars_per_day)
    opens = _opens(universe, first.date(), min(first.date() + days, universe.end or dt.date.max))
    possible = opens[opens >= pd.Timestamp(first)][:count]
    until = max(possible[-1].date(), last.date())
    opens = opens[opens < pd.Timestamp(until, tz="UTC") + pd.Timedelta(days=1)]
    closes = bar_close(universe, opens)
    closed = int(closes.searchsorted(pd.Timestamp(now), side="right"))
    if closed == 0 or opens[closed - 1] < pd.Timestamp(last):
        ends = bar_close(universe, pd.DatetimeIndex([last]))[0]
        raise AdviceError(f"the bar of {last:%Y-%m-%d %H:%M} UTC closes at {ends:%Y-%m-%d %H:%M}: ask again after that")
    at, as_of = opens[closed - 1].to_pydatetime(), closes[closed - 1].to_pydatetime()
    return Moment(now, as_of, as_of, at, as_of)


def bars_between(universe: Universe, first: dt.datetime, last: dt.datetime) -> int:
    """How many bars open after `first`, up to and with `last` (both opens of bars, UTC)."""
    if last <= first:
        return 0
    opens = _opens(universe, first.date(), last.date())
    return int(((opens > pd.Timestamp(first)) & (opens <= pd.Timestamp(last))).sum())


def last_open(universe: Universe) -> dt.datetime | None:
    """Open of the last bar (UTC) of a universe; None where it has no end, or one that its calendar does not reach."""
    if universe.end is None:
        return None
    opens = _opens(universe, universe.end - _reach(universe), universe.end)
    return opens[-1].to_pydatetime() if len(opens) else None


def _reach(universe: Universe) -> dt.timedelta:
    return _REACH if universe.calendar != "24/7" else dt.timedelta(days=1)


def _opens(universe: Universe, first: dt.date, last: dt.date) -> pd.DatetimeIndex:
    days = pd.date_range(first, last, freq="D", unit="us")
    if universe.in_sessions:
        return session_grid(universe.calendar, universe.bar_length, days)[0]
    starts = session_opens(universe, days)
    starts = starts[starts.notna()]
    within = np.arange(universe.bars_per_day) * universe.bar_length.to_timedelta64()
    naive = starts.tz_convert("UTC").tz_localize(None).to_numpy()
    return pd.DatetimeIndex((naive[:, None] + within).ravel().astype("datetime64[us]")).tz_localize("UTC")


def is_over(universe: Universe, date: dt.date, at: Moment) -> bool:
    """Whether all bars of a partition have closed. A session's single daily bar always has: nobody asks before."""
    if not universe.in_sessions:
        return universe.daily_sessions or partition_window(date)[1] <= at.as_of
    days = pd.DatetimeIndex([pd.Timestamp(date)])
    opens, _ = session_grid(universe.calendar, universe.bar_length, days)
    return len(opens) == 0 or bar_close(universe, opens[-1:])[0] <= pd.Timestamp(at.as_of)


class ReplayClock(Clock):
    """A clock that was set to a moment of the past: to wait takes no time, the clock is moved on instead.

    Args:
        start: what it shows at first (UTC).
        speed: its seconds in one of ours.
    """

    def __init__(self, start: dt.datetime, speed: float = 1.0) -> None:
        self._start, self._speed, self._since, self._slept = start, speed, time.monotonic(), 0.0

    def now(self) -> dt.datetime:
        """What the clock shows (UTC)."""
        return self._start + dt.timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """The clock's seconds since its start."""
        return (time.monotonic() - self._since) * self._speed + self._slept

    def sleep(self, seconds: float) -> None:
        """Move the clock on by so many seconds, at once."""
        self._slept += seconds
