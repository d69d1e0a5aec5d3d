"""Bars within the sessions of exchanges: summer time, half days, breaks, longer sessions from some year on."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from lem.errors import UniverseError
from lem.universe.calendars import bar_close, expected_bars, expected_grid, is_session
from lem.universe.session_bars import in_session, places_in_session, session_grid, weekdays_that_hold
from lem.universe.windows import feature_history_days

WINDOW = {"training": {"window_days": 120}}


def utc(*texts: str) -> pd.DatetimeIndex:
    return pd.DatetimeIndex([pd.Timestamp(text, tz="UTC") for text in texts]).as_unit("us")


@pytest.mark.parametrize(
    ("calendar", "bar", "date", "count", "opens", "closes"),
    [
        ("XNYS", "30min", "2024-03-08", 13, "14:30", "21:00"),
        ("XNYS", "30min", "2024-03-11", 13, "13:30", "20:00"),  # summer time has begun
        ("XNYS", "30min", "2024-07-03", 7, "13:30", "17:00"),  # a half day
        ("XNYS", "30min", "2024-07-04", 0, None, None),
        ("XNYS", "1h", "2024-03-08", 7, "14:30", "21:00"),  # the last bar has half an hour
        ("XNYS", "1min", "2024-03-08", 390, "14:30", "21:00"),
        ("XTKS", "30min", "2024-11-01", 10, "00:00", "06:00"),
        ("XTKS", "30min", "2024-11-05", 11, "00:00", "06:30"),  # sessions became longer
        ("XLON", "5min", "2024-12-24", 54, "08:00", "12:30"),
    ],
)
def test_bars_tile_the_session(make_universe, calendar, bar, date, count, opens, closes):
    universe = make_universe(calendar=calendar, bar=bar, **WINDOW)
    day = dt.date.fromisoformat(date)
    bars = expected_bars(universe, "AAA-USD", day)
    assert (len(bars), is_session(universe, day)) == (count, count > 0)
    if count:
        assert (bars[0], bar_close(universe, bars)[-1]) == tuple(utc(f"{date} {opens}", f"{date} {closes}"))
        assert bars.dtype == bar_close(universe, bars).dtype == "datetime64[us, UTC]"


def test_no_bar_lies_in_a_break_and_the_last_one_before_it_ends_there(make_universe):
    universe = make_universe(calendar="XHKG", bar="1h", **WINDOW)
    bars = expected_bars(universe, "AAA-USD", dt.date(2024, 1, 3))
    closes = bar_close(universe, bars)
    assert [f"{a:%H:%M}-{b:%H:%M}" for a, b in zip(bars, closes, strict=True)] == [
        "01:30-02:30",
        "02:30-03:30",
        "03:30-04:00",
        "05:00-06:00",
        "06:00-07:00",
        "07:00-08:00",
    ]


def test_several_dates_have_the_bars_of_each_alone(make_universe):
    universe = make_universe(calendar="XNYS", bar="30min", **WINDOW)
    dates = [dt.date(2024, 7, day) for day in (2, 3, 4, 5)]
    bars, place = expected_grid(universe, "AAA-USD", dates)
    assert [list(bars[place == d]) for d in range(4)] == [list(expected_bars(universe, "AAA-USD", d)) for d in dates]


@pytest.mark.parametrize("time", ["2024-07-03 17:00", "2024-07-03 13:45", "2024-07-04 13:30", "2024-07-03 12:00"])
def test_a_time_that_opens_no_bar_is_refused(make_universe, time):
    universe = make_universe(calendar="XNYS", bar="30min", **WINDOW)
    with pytest.raises(UniverseError, match="is not the open of a bar of XNYS"):
        bar_close(universe, utc(time))


def test_the_schedule_tells_the_place_of_the_next_bar_on_half_days_too(make_universe):
    length = pd.Timedelta("30min")
    opens = utc("2024-07-03 16:00", "2024-07-03 16:30", "2024-07-05 13:30", "2024-07-05 19:30")
    place, following = places_in_session("XNYS", length, opens)
    assert (place.tolist(), following.tolist()) == ([5, 6, 0, 12], [6, 0, 1, 0])
    noon = utc("2024-01-03 03:30", "2024-01-03 05:00")
    place, following = places_in_session("XHKG", length, noon)
    assert (place.tolist(), following.tolist()) == ([4, 5], [5, 6])


def test_times_in_breaks_nights_and_holidays_are_in_no_session():
    times = utc("2024-01-03 01:30", "2024-01-03 04:00", "2024-01-03 05:00", "2024-01-03 08:00", "2024-02-12 02:00")
    assert in_session("XHKG", times.append(pd.DatetimeIndex([pd.NaT]).tz_localize("UTC"))).tolist() == [
        True,
        False,
        True,
        False,
        False,
        False,
    ]


def test_the_history_of_features_is_there_whatever_the_holidays(make_universe):
    universe = make_universe(calendar="XNYS", bar="30min", start="2000-01-03", end="2024-12-31", **WINDOW)
    needed, days = universe.features.history(13), feature_history_days(universe)
    dates = [d.date() for d in pd.bdate_range("2000-01-03", "2024-12-31")]
    _, place = expected_grid(universe, "AAA-USD", dates)
    counts = pd.Series(place).value_counts().reindex(range(len(dates)), fill_value=0).sort_index()
    held = counts.rolling(days).sum().dropna()
    assert (universe.bars_per_day, len(held) > 6000, held.min() >= needed) == (13, True, True)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"calendar": "XNYS", "bar": "4h"}, "bar: '4h' on calendar XNYS; allowed there: '1d', or a length up to '1h'"),
        (
            {"calendar": "XNYS", "bar": "1h", "source": {"kind": "files", "url": "{symbol}.csv", "bar": "1min"}},
            "bars of 1min cannot be made into bars of 1h on calendar XNYS",
        ),
        (
            {"bar": "1h", "source": {"kind": "files", "url": "{symbol}.csv", "outside_sessions": "leave_out"}},
            "source.outside_sessions: 1h bars on 24/7 have no sessions",
        ),
        (
            {"calendar": "XNYS", "bar": "30min", "source": {"kind": "yfinance"}},
            "bars of 1d cannot be made into bars of 30min on calendar XNYS",
        ),
    ],
)
def test_bars_that_a_session_or_source_has_not_are_refused(make_universe, keys, said):
    names = {"AAA": {}, "BBB": {}} if keys.get("source") else {"AAA-USD": {}}
    with pytest.raises(ValidationError, match=said.replace("'", ".")):
        make_universe(assets=names, **{**WINDOW, **keys})


def test_an_hour_of_one_minute_bars_is_made_where_it_divides_each_session(make_universe):
    files = {"kind": "files", "url": "{symbol}.csv", "bar": "1min"}
    universe = make_universe(calendar="XNYS", bar="30min", source=files, assets={"AAA": {}, "BBB": {}}, **WINDOW)
    assert (universe.source_bar, universe.bars_per_day) == ("1min", 13)


@pytest.mark.parametrize(("calendar", "bars"), [("XNYS", 1), ("XNYS", 12), ("XNYS", 13), ("XNYS", 170), ("XHKG", 40)])
def test_weekdays_hold_the_bars_wherever_they_begin_and_one_fewer_do_not(calendar, bars):
    length, start = pd.Timedelta("30min"), dt.date(2015, 1, 1)
    found = weekdays_that_hold(calendar, length, bars, start)
    days = pd.bdate_range(start, "2025-06-30").as_unit("us")
    counts = np.bincount(session_grid(calendar, length, days)[1], minlength=len(days))
    least = [min(counts[i : i + n].sum() for i in range(len(days) - n)) for n in (found - 1, found)]
    assert least[0] < bars <= least[1]
