"""When the night begins: `[night]` in a universe file, and the cron schedule that follows from it and the calendar.

A partition is one UTC date and is complete when that date is over. The night begins at a local time in a time zone,
after the end of the UTC date. In summer and in winter it falls on the same local day, so daylight saving moves the
moment at which the night begins, and never the partition that is due.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, field_validator

_DEFAULTS = {"24/7": (dt.time(0, 30), "UTC"), "XNYS": (dt.time(20, 30), "America/New_York")}
_SEASONS = (dt.date(2024, 1, 15), dt.date(2024, 7, 15))
"""Two Mondays, one in winter time and one in summer time, on either half of the earth."""


class NightConfig(BaseModel):
    """When a universe's night begins and how far back it looks.

    Args:
        enabled: whether the automation runs as soon as it is deployed; otherwise somebody turns it on in the UI.
        at: local time at which the night begins, to the minute. XNYS: 20:30 in New York, by when the UTC date of the
            session is over all year round; all others: 00:30 UTC.
        time_zone: IANA name of the zone of `at`.
        retry_hours: hours between two tries of the last night's partitions that are missing or failed.
        catch_up_days: each night also makes missing partitions of this many calendar days back.
        within_hours: hours after its beginning in which the night must be made; after that it counts as missed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = False
    at: dt.time | None = None
    time_zone: str | None = None
    retry_hours: Annotated[int, Field(ge=1, le=12)] = 1
    catch_up_days: Annotated[int, Field(ge=1, le=366)] = 14
    within_hours: Annotated[int, Field(ge=1, le=20)] = 6

    @field_validator("at")
    @classmethod
    def _to_the_minute(cls, value: dt.time | None) -> dt.time | None:
        if value is not None and (value.second or value.microsecond or value.tzinfo):
            raise ValueError("allowed: hours and minutes, as in '20:30'")
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None and value not in available_timezones():
            raise ValueError("unknown time zone; allowed: IANA names, as in 'UTC' or 'America/New_York'")
        return value


@dataclass(frozen=True)
class NightHours:
    """A universe's night, resolved.

    Args:
        cron: when it begins.
        retry_cron: when partitions that are missing or failed are tried again.
        time_zone: IANA name of the zone of both.
    """

    cron: str
    retry_cron: str
    time_zone: str

    def last(self, now: dt.datetime, count: int = 1) -> list[dt.datetime]:
        """The last moments at which a night has begun, up to and with `now`; UTC, the latest first.

        Args:
            now: with its time zone.
            count: how many.
        """
        minute, hour, *_, days = self.cron.split()
        weekdays = range(7) if days == "*" else [int(day) for day in days.split(",")]
        zone, found = ZoneInfo(self.time_zone), list[dt.datetime]()
        date = now.astimezone(zone).date()
        while len(found) < count:
            begins = dt.datetime.combine(date, dt.time(int(hour), int(minute)), zone).astimezone(dt.UTC)
            if date.isoweekday() % 7 in weekdays and begins <= now:
                found.append(begins)
            date -= dt.timedelta(days=1)
        return found


def _behind(at: dt.time, zone: ZoneInfo, end: dt.datetime) -> dt.datetime:
    """The first local time `at` that is not before `end`."""
    first = dt.datetime.combine(end.astimezone(zone).date(), at, zone)
    return first if first >= end else first + dt.timedelta(days=1)


def _weekdays_later(at: dt.time, zone: ZoneInfo, monday: dt.date) -> int:
    """Days from a partition's date to the local date of the first `at` after the partition's end."""
    return (_behind(at, zone, _end(monday)).date() - monday).days


def _end(date: dt.date) -> dt.datetime:
    return dt.datetime.combine(date + dt.timedelta(days=1), dt.time(), dt.UTC)


def _retry_hours(at: dt.time, zone: ZoneInfo, every: int) -> str:
    """The hours of the retries: every n-th from the night's own, none between a partition's end and its night."""
    ends = [_end(day) for day in _SEASONS]
    chosen = [
        hour
        for hour in sorted((at.hour + step) % 24 for step in range(0, 24, every))
        if all(_behind(at.replace(hour=hour), zone, end) >= _behind(at, zone, end) for end in ends)
    ]
    return "*" if len(chosen) == 24 else ",".join(map(str, chosen))


def night_problem(calendar: str, config: NightConfig) -> str | None:
    """What is wrong with the night's hour on this calendar; None if it is right."""
    at, zone = _hour(calendar, config)
    if calendar == "24/7" or len({_weekdays_later(at, ZoneInfo(zone), day) for day in _SEASONS}) == 1:
        return None
    return (
        f"{at:%H:%M} in {zone} lies before the end of the UTC date in one half of the year and behind it in the other; "
        f"allowed: an hour that lies on the same side all year, as 20:30 in New York does"
    )


def night_of(calendar: str, config: NightConfig) -> NightHours:
    """The night of a calendar: each day (`24/7`), or the evening or morning after each weekday (exchanges)."""
    at, zone = _hour(calendar, config)
    days = "*"
    if calendar != "24/7":
        # In cron Monday is 1. The UTC mornings after Monday to Friday are Tuesday to Saturday.
        later = _weekdays_later(at, ZoneInfo(zone), _SEASONS[0])
        days = ",".join(str((weekday + later) % 7) for weekday in range(1, 6))
    hours = _retry_hours(at, ZoneInfo(zone), config.retry_hours)
    return NightHours(f"{at.minute} {at.hour} * * {days}", f"{at.minute} {hours} * * *", zone)


def _hour(calendar: str, config: NightConfig) -> tuple[dt.time, str]:
    at, zone = _DEFAULTS.get(calendar, _DEFAULTS["24/7"])
    return config.at or at, config.time_zone or zone
