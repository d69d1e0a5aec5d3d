"""When the night begins: behind the partition that it makes, on the same weekday in summer and in winter."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lem.universe.night_hours import NightConfig, night_of, night_problem

ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Asia/Tokyo", "Australia/Sydney", "Asia/Kolkata")


@pytest.mark.parametrize(
    ("calendar", "keys", "cron", "zone"),
    [
        ("24/7", {}, "30 0 * * *", "UTC"),
        ("XNYS", {}, "30 20 * * 1,2,3,4,5", "America/New_York"),
        ("XNYS", {"at": "00:10", "time_zone": "UTC"}, "10 0 * * 2,3,4,5,6", "UTC"),
        ("XNYS", {"at": "09:00", "time_zone": "Asia/Tokyo"}, "0 9 * * 2,3,4,5,6", "Asia/Tokyo"),
        ("24/7", {"at": "02:30", "time_zone": "Europe/Berlin"}, "30 2 * * *", "Europe/Berlin"),
    ],
)
def test_the_schedule_follows_from_calendar_hour_and_zone(calendar, keys, cron, zone):
    night = night_of(calendar, NightConfig(**keys))
    assert (night.cron, night.time_zone) == (cron, zone)


@settings(deadline=None, max_examples=60)
@given(
    at=st.times(max_value=dt.time(23, 59)).map(lambda t: t.replace(second=0, microsecond=0)),
    zone=st.sampled_from(ZONES),
    monday=st.integers(0, 300).map(lambda week: dt.date(2022, 1, 3) + dt.timedelta(weeks=week)),
)
def test_an_accepted_hour_lies_within_a_day_behind_the_end_of_its_partition(at, zone, monday):
    config = NightConfig(at=at, time_zone=zone)
    if night_problem("XNYS", config) is None:
        cron_day = int(night_of("XNYS", config).cron.split()[4].split(",")[0])  # of Monday's partition
        local = monday + dt.timedelta(days=(cron_day - 1) % 7)
        begins = dt.datetime.combine(local, at, ZoneInfo(zone)).astimezone(dt.UTC)
        behind = begins - dt.datetime.combine(monday + dt.timedelta(days=1), dt.time(), dt.UTC)
        # An hour's grace: in the weeks between one half of the earth's change of clocks and the other's.
        assert dt.timedelta(0) <= behind <= dt.timedelta(hours=25)


@pytest.mark.parametrize(("at", "zone"), [("19:30", "America/New_York"), ("01:30", "Europe/Berlin")])
def test_an_hour_that_is_too_early_in_one_half_of_the_year_is_refused_with_a_way_out(at, zone, make_universe):
    source = {"kind": "files", "url": "{data}/{symbol}.csv"}
    with pytest.raises(ValidationError, match=r"night\.at: .* allowed: an hour that lies on the same side all year"):
        make_universe(calendar="XNYS", source=source, night={"at": at, "time_zone": zone})


@pytest.mark.parametrize(
    "keys", [{"time_zone": "Mars/Olympus"}, {"at": "20:30:10"}, {"at": "25:00"}, {"retry_hours": 0}, {"hour": 3}]
)
def test_what_is_no_night_is_refused(keys):
    with pytest.raises(ValidationError):
        NightConfig(**keys)


def test_the_retry_goes_by_the_same_minute():
    assert night_of("24/7", NightConfig(at="00:15")).retry_cron == "15 * * * *"
    assert night_of("24/7", NightConfig(at="03:15", retry_hours=4)).retry_cron == "15 3,7,11,15,19,23 * * *"


def test_no_retry_lies_between_the_end_of_a_partition_and_its_night():
    # In winter the UTC date ends at 19:00 in New York: at 19:30 the partition is there, and its night has not begun.
    assert night_of("XNYS", NightConfig(at="20:30")).retry_cron.split()[1].split(",") == [
        str(hour) for hour in range(24) if hour != 19
    ]
    assert night_of("24/7", NightConfig(at="02:15")).retry_cron == f"15 {','.join(map(str, range(2, 24)))} * * *"


def test_the_last_nights_are_those_of_the_cron_schedule_the_latest_first():
    now = dt.datetime(2024, 1, 15, 0, 30, tzinfo=dt.UTC)  # a Monday
    every_day = night_of("24/7", NightConfig()).last(now, 2)
    assert [f"{time:%a %d %H:%M}" for time in every_day] == ["Mon 15 00:30", "Sun 14 00:30"]
    new_york = night_of("XNYS", NightConfig()).last(now, 2)
    assert [f"{time:%a %d %H:%M}" for time in new_york] == ["Sat 13 01:30", "Fri 12 01:30"]
    assert night_of("24/7", NightConfig()).last(now - dt.timedelta(seconds=1))[0].day == 14
