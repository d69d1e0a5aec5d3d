"""Sessions of exchanges, from exchange-calendars; and which of its calendars the pipeline can follow."""

from __future__ import annotations

import datetime as dt
from functools import cache

from lem.late import pd

FIRST_SESSION = "1990-01-01"
"""Start of the exchange calendars, where theirs is not later; sources refuse time stamps before it."""

UTC_US = "datetime64[us, UTC]"

ZONES = {"24/7": "UTC", "XNYS": "America/New_York"}
"""Zones of calendars that are known without exchange-calendars."""


@cache
def first_date(calendar: str) -> dt.date:
    """The first date that an exchange's calendar knows, from `FIRST_SESSION` on."""
    import exchange_calendars

    bound = type(exchange_calendars.get_calendar(calendar)).bound_min()
    first = dt.date.fromisoformat(FIRST_SESSION)
    return first if bound is None else max(first, bound.date())


@cache
def sessions(calendar: str) -> pd.DataFrame:
    """Open and close (UTC) of every session by the session's date, until about a year from today."""
    import exchange_calendars  # only here: markets that never close do not need it

    schedule = exchange_calendars.get_calendar(calendar, start=pd.Timestamp(first_date(calendar))).schedule
    table = schedule[["open", "close"]].astype(UTC_US)
    table.index = pd.DatetimeIndex(schedule.index).as_unit("us")
    return table


@cache
def session_parts(calendar: str) -> pd.DataFrame:
    """Begin and end (UTC) of what each session trades without a break, in time order, with the session's date."""
    import exchange_calendars

    schedule = exchange_calendars.get_calendar(calendar, start=pd.Timestamp(first_date(calendar))).schedule
    whole = sessions(calendar)
    breaks = schedule[["break_start", "break_end"]].astype(UTC_US).set_axis(whole.index)
    halved = breaks["break_start"].notna()
    parts = pd.concat(
        [
            pd.DataFrame({"start": whole["open"], "end": breaks["break_start"].where(halved, whole["close"])}),
            pd.DataFrame({"start": breaks["break_end"], "end": whole["close"]})[halved],
        ]
    )
    return parts.rename_axis("date").reset_index().sort_values("start", ignore_index=True)


@cache
def zone_of(calendar: str) -> str:
    """The time zone of an exchange's clocks (IANA)."""
    if calendar in ZONES:
        return ZONES[calendar]
    import exchange_calendars

    return str(exchange_calendars.get_calendar(calendar).tz)


@cache
def calendar_problem(calendar: str, start: dt.date) -> str | None:
    """What is wrong with a calendar's name for a universe that starts on a date; None if it can be followed.

    New York's is known to be right, so that a universe file of its sessions is read without its calendar.
    """
    if calendar in ("24/7", "XNYS"):
        return None
    import exchange_calendars

    known = exchange_calendars.get_calendar_names(include_aliases=False)
    if calendar not in known:
        return f"unknown calendar {calendar!r}; allowed: 24/7, or of exchange-calendars: {', '.join(sorted(known))}"
    try:
        table = sessions(calendar)
    except (NotImplementedError, ValueError) as error:  # some of its calendars cannot be built
        return f"exchange-calendars cannot tell the sessions of {calendar!r}: {error}; allowed: another calendar"
    table = table[table.index >= pd.Timestamp(start)]
    dates = pd.DatetimeIndex(table.index)
    opens, last = (pd.DatetimeIndex(table[name]).tz_localize(None) for name in ("open", "close"))
    outside = (opens.normalize() != dates) | ((last - pd.Timedelta(1, "us")).normalize() != dates)
    for wrong, why in (
        (outside, "runs over the end of the UTC date, which is a partition"),
        (dates.day_of_week >= 5, "lies on a weekend, which has no partitions"),
    ):
        if wrong.any():
            return (
                f"the session of {dates[wrong][0]:%Y-%m-%d} of {calendar} {why}; allowed: a calendar whose "
                f"sessions, from start on, lie on weekdays within one UTC date"
            )
    return None
