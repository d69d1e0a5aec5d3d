"""Universes on the sessions of any exchange: which calendars can be followed, and what their bars are."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys

import pandas as pd
import pytest
from pydantic import ValidationError

from lem.universe.calendars import bar_close, expected_bars, is_session

DAILY = {"bar": "1d", "training": {"window_days": 504}}


@pytest.mark.parametrize(
    ("calendar", "date", "opens", "closes"),
    [
        ("XHKG", "2024-01-03", "01:30", "08:00"),  # over the break at noon
        ("XHKG", "2024-12-24", "01:30", "04:00"),  # a half day
        ("XTKS", "2024-11-01", "00:00", "06:00"),
        ("XTKS", "2024-11-05", "00:00", "06:30"),  # sessions became longer
        ("XLON", "2024-03-28", "08:00", "16:30"),
        ("XLON", "2024-04-02", "07:00", "15:30"),  # summer time has begun
    ],
)
def test_a_daily_bar_is_the_session_of_its_exchange(make_universe, calendar, date, opens, closes):
    universe = make_universe(calendar=calendar, **DAILY)
    (bar,) = expected_bars(universe, "AAA-USD", dt.date.fromisoformat(date))
    assert bar == pd.Timestamp(f"{date} {opens}", tz="UTC")
    assert list(bar_close(universe, pd.DatetimeIndex([bar]))) == [pd.Timestamp(f"{date} {closes}", tz="UTC")]


@pytest.mark.parametrize(("calendar", "date"), [("XHKG", "2024-02-12"), ("XTKS", "2024-01-02"), ("XLON", "2024-04-01")])
def test_a_holiday_of_the_exchange_has_no_bars(make_universe, calendar, date):
    universe, day = make_universe(calendar=calendar, **DAILY), dt.date.fromisoformat(date)
    assert not is_session(universe, day)
    assert expected_bars(universe, "AAA-USD", day).empty


@pytest.mark.parametrize(
    ("calendar", "said"),
    [
        ("NYSEX", "unknown calendar 'NYSEX'; allowed: 24/7, or of exchange-calendars: .*XHKG.*XNYS"),
        ("XASX", "XASX runs over the end of the UTC date"),
        ("XSAU", "XSAU lies on a weekend"),
        ("XBSE", "cannot tell the sessions of 'XBSE'"),
    ],
)
def test_a_calendar_that_cannot_be_followed_is_refused_with_its_reason(make_universe, calendar, said):
    with pytest.raises(ValidationError, match=f"calendar: .*{said}"):
        make_universe(calendar=calendar, **DAILY)


def test_a_night_begins_after_the_utc_date_of_each_weekday(make_universe):
    night = make_universe(calendar="XHKG", **DAILY).night_begins
    assert (night.cron, night.time_zone) == ("30 0 * * 2,3,4,5,6", "UTC")


def test_reading_a_universe_that_never_closes_does_not_load_the_calendars_of_exchanges():
    script = (
        "import sys; from lem.universe import load_universe; load_universe('universes/sample.toml'); "
        "sys.exit('exchange_calendars' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
