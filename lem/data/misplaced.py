"""Rows that stand at a wrong time, and bars that are absent: what each looks like, and what to do about it.

An outage excuses bars that the venue never made. Where rows are there at another time (in local time, at the close of
their bar, a constant time beside the grid), an outage would lose them: so it is not offered there.
"""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np

from lem.late import pd
from lem.universe import Universe
from lem.universe.calendars import bar_close, outage_lines
from lem.universe.session_bars import in_session

ZONES = ("America/New_York", "America/Sao_Paulo", "Europe/London", "Europe/Berlin", "Europe/Athens", "Australia/Sydney")
"""Zones whose change of the clocks is looked for: one for each of the common rules."""
_EXCHANGE = "America/New_York"
_JUST_BEFORE = [dt.timedelta(microseconds=1), dt.timedelta(milliseconds=1), dt.timedelta(seconds=1)]
_SHOWN_MINUTES = dt.timedelta(minutes=15)


def told_of_misplaced(
    universe: Universe, symbol: str, off_grid: pd.Series, missing: pd.DatetimeIndex, rows: int
) -> str:
    """What rows beside the grid look like, and the way on; empty for none.

    Args:
        universe: gives the grid; its bar is the source's.
        symbol: of the asset.
        off_grid: opens of the day's rows beside the grid, UTC.
        missing: opens of the day's bars without a row.
        rows: number of all of the day's rows.
    """
    if off_grid.empty:
        return ""
    text = f"rows at a wrong time: {len(off_grid)} of {rows}; {_looks(universe, off_grid)}"
    if 2 * len(off_grid) > rows:
        return text
    first, last = (time.floor(universe.bar_length) for time in (off_grid.min(), off_grid.max()))
    # A bar that is there stays: the outage then begins with the row that follows it.
    first = first if first in missing else off_grid.min().floor("s")
    return (
        f"{text}. Where the source cannot be corrected, an outage that is listed for {symbol} from "
        f"{first:%Y-%m-%d %H:%M:%S} to {last + universe.bar_length:%Y-%m-%d %H:%M:%S} UTC leaves these rows out; "
        "they are then counted in the report"
    )


def told_of_bad(universe: Universe, symbol: str, opens: pd.DatetimeIndex, rows: int) -> str:
    """The way on where the venue's own rows break a rule; empty where most of the day's rows do.

    Args:
        universe: gives the grid; its bar is the source's.
        symbol: of the asset.
        opens: of the rows that break it, UTC.
        rows: number of all of the day's rows.
    """
    if opens.empty or 2 * len(opens) > rows or universe.calendar != "24/7":
        return ""
    first, last = opens.min(), opens.max()
    if (last - first) / universe.bar_length + 1 > len(opens) + 1:
        return (
            f"Where the source cannot be corrected, an outage that is listed for {symbol} over just such a bar leaves "
            "it out; it is then counted in the report"
        )
    return (
        f"Where the source cannot be corrected, an outage that is listed for {symbol} from {first:%Y-%m-%d %H:%M:%S} "
        f"to {last + universe.bar_length:%Y-%m-%d %H:%M:%S} UTC leaves them out; they are then counted in the report"
    )


def told_of_missing(universe: Universe, symbol: str, block: pd.DatetimeIndex, off_grid: pd.Series, day: bool) -> str:
    """What is said of bars in a row that are absent: an outage is offered only where no row stands at a wrong time.

    Args:
        universe: gives the grid; its bar is the source's.
        symbol: of the asset.
        block: opens of the absent bars, which follow each other.
        off_grid: opens of the day's rows beside the grid, UTC.
        day: whether all of the day's bars are absent.
    """
    first, end = block[0], bar_close(universe, block[-1:])[0]
    text = f"missing bars: {len(block)} from {first:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
    near = off_grid.between(first - universe.bar_length, end, inclusive="left")
    if day and len(off_grid):
        near[:] = True
    if near.any():
        return f"{text}: {near.sum()} row(s) of this time stand beside the grid, so this is no outage"
    if zone := skipped_in(block):
        return (
            f"{text}: looks like local time: in {zone} the clocks are put forward over just these bars; "
            f"{_remedy(universe, 'zone')}. If the stamps are UTC, see [[outages]] in docs/universes.md"
        )
    edge = not day and universe.calendar == "24/7" and (_begins_day(first) or _begins_day(end))
    doubt = "stamps in local time or at the bars' closes look like this at the edge of a day; " if edge else ""
    return (
        f"{text}; {doubt}where the venue never made them, list it in the universe file:\n"
        f"{outage_lines(symbol, first, end)}"
    )


def skipped_in(opens: pd.DatetimeIndex) -> str:
    """The first of `ZONES` where no clock ever showed these times, read as local ones, but the times around did."""
    if opens.empty or opens[-1] - opens[0] >= pd.Timedelta("1h"):
        return ""
    length = pd.Timedelta("1h") if len(opens) == 1 else opens[1] - opens[0]
    around = (opens[0] - length, opens[-1] + length)
    for zone in ZONES:
        if not any(_shown(time, zone) for time in opens) and all(_shown(time, zone) for time in around):
            return zone
    return ""


def repeated_in(opens: pd.DatetimeIndex) -> str:
    """The first of `ZONES` where the clocks show all these times twice, read as local ones; empty for none."""
    for zone in ZONES:
        if len(opens) and all(_shown_twice(time, zone) for time in opens):
            return zone
    return ""


def told_of_repeated(universe: Universe, zone: str) -> str:
    """What conflicting duplicates look like in an hour that the clocks of a zone show twice."""
    return (
        f"looks like local time: in {zone} the clocks are put back and show these times twice; "
        f"{_remedy(universe, 'zone')}"
    )


def _looks(universe: Universe, off_grid: pd.Series) -> str:
    stamps = pd.DatetimeIndex(off_grid)
    if universe.daily_sessions:
        wall = stamps.tz_convert(_EXCHANGE)
        if (wall == wall.normalize()).all():
            return f"looks like local midnight in {_EXCHANGE}; {_remedy(universe, 'zone')}"
        if ((wall.hour >= 13) & (wall.hour <= 16)).all():
            return f"looks like close stamps: sessions end at this time; {_remedy(universe, 'stamp')}"
        return "correct the stamps in the source"
    if universe.in_sessions:
        return _looks_beside_sessions(universe, stamps)
    after = stamps - stamps.floor(universe.bar_length)
    if any((universe.bar_length - after == gap).all() for gap in _JUST_BEFORE):
        gap = universe.bar_length - after[0]
        return f"looks like close stamps, {_duration(gap)} before the end of each bar; {_remedy(universe, 'stamp')}"
    if (after != after[0]).any():
        return f"at {after.nunique()} different times after the grid's; correct the stamps in the source"
    if universe.bar == "1d" and after[0] % _SHOWN_MINUTES == pd.Timedelta(0):
        hours = -after[0] / pd.Timedelta("1h")
        hours += 24 if hours < -12 else 0
        return f"looks like local midnight, of a zone at UTC{hours:+g} h; {_remedy(universe, 'zone')}"
    shift = f"looks like a shifted grid: {_duration(after[0])} after the grid's bars"
    if after[0] % _SHOWN_MINUTES == pd.Timedelta(0):
        return f"{shift}, as in local time of a zone beside whole hours; {_remedy(universe, 'zone')}"
    return f"{shift}; correct the stamps in the source"


def _looks_beside_sessions(universe: Universe, stamps: pd.DatetimeIndex) -> str:
    """What rows beside the bars of an exchange's sessions look like."""
    if not in_session(universe.calendar, stamps).any():
        told = f"outside of the sessions of {universe.calendar}, as bars of extended hours are"
        if "outside_sessions" in type(universe.source).model_fields:
            told += '; to leave them out, say so: source.outside_sessions = "leave_out"'
        return f"{told}; where they are of sessions, their stamps are local time: {_remedy(universe, 'zone')}"
    return f"bars open every {universe.bar} from the open of a session on; correct the stamps in the source"


def _remedy(universe: Universe, key: str) -> str:
    """What to set, where this kind of source has the key."""
    if key not in type(universe.source).model_fields:
        return "correct the stamps in the source"
    value = '"close"' if key == "stamp" else "the zone's name"
    return f"say so: source.{key} = {value}"


def _begins_day(time: pd.Timestamp) -> bool:
    return bool(time == time.normalize())


def _duration(time: pd.Timedelta) -> str:
    seconds = time / pd.Timedelta("1s")
    return f"{seconds / 60:g} min" if seconds >= 60 and seconds % 60 == 0 else f"{seconds:g} s"


def _shown(time: pd.Timestamp, zone: str) -> bool:
    """Whether a clock of the zone ever shows the UTC time's digits."""
    local = time.tz_localize(None).to_pydatetime().replace(tzinfo=ZoneInfo(zone))
    return local.astimezone(dt.UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local.replace(tzinfo=None)


def _shown_twice(time: pd.Timestamp, zone: str) -> bool:
    local = time.tz_localize(None).to_pydatetime().replace(tzinfo=ZoneInfo(zone))
    offsets = [local.replace(fold=fold).utcoffset() for fold in (0, 1)]
    return _shown(time, zone) and bool(np.diff([offset.total_seconds() for offset in offsets if offset]).any())
