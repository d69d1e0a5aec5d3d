from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lem.errors import UniverseError
from lem.universe.calendars import (
    bar_close,
    check_partitions,
    expected_bars,
    expected_grid,
    is_listed,
    is_session,
    offset_partition,
    outage_mask,
    partition_dates,
    partition_window,
)

DATES = st.dates(dt.date(2000, 1, 3), dt.date(2026, 1, 1))
CALENDARS = pytest.mark.parametrize("calendar", ["24/7", "XNYS"])


def utc(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def test_every_day_is_a_partition_of_a_market_that_never_closes(make_universe):
    dates = partition_dates(make_universe(), dt.date(2024, 1, 5), dt.date(2024, 1, 8))
    assert dates == [dt.date(2024, 1, day) for day in (5, 6, 7, 8)]


def test_weekdays_are_partitions_of_an_exchange_and_a_holiday_among_them_has_no_bars(make_universe):
    universe = make_universe(calendar="XNYS")
    dates = partition_dates(universe, dt.date(2023, 12, 29), dt.date(2024, 1, 2))
    assert dates == [dt.date(2023, 12, 29), dt.date(2024, 1, 1), dt.date(2024, 1, 2)]
    assert [is_session(universe, date) for date in dates] == [True, False, True]
    assert expected_bars(universe, "AAA-USD", dates[1]).empty


@pytest.mark.parametrize(("bar", "count"), [("1min", 1440), ("5min", 288), ("1h", 24), ("4h", 6)])
def test_the_intraday_grid_tiles_its_day(make_universe, bar, count):
    universe = make_universe(bar=bar)
    date = dt.date(2024, 2, 29)
    opens = expected_bars(universe, "AAA-USD", date)
    closes = bar_close(universe, opens)
    start, end = partition_window(date)
    assert len(opens) == count
    assert (opens[0], closes[-1]) == (start, end)
    assert list(opens[1:]) == list(closes[:-1])
    assert opens.dtype == closes.dtype == "datetime64[us, UTC]"


def test_a_daily_bar_of_a_market_that_never_closes_opens_at_midnight(make_universe):
    universe = make_universe(
        bar="1d",
        source={"kind": "files", "url": "{symbol}.csv"},
        training={"window_days": 504},
    )
    opens = expected_bars(universe, "AAA-USD", dt.date(2024, 1, 6))
    assert list(opens) == [utc("2024-01-06")]
    assert list(bar_close(universe, opens)) == [utc("2024-01-07")]


@pytest.mark.parametrize(
    ("date", "opens", "closes"),
    [
        ("2024-01-02", "14:30", "21:00"),
        ("2024-07-02", "13:30", "20:00"),
        ("2023-11-24", "14:30", "18:00"),  # the half day after Thanksgiving
    ],
)
def test_a_session_bar_runs_from_the_exchange_open_to_its_close(make_universe, date, opens, closes):
    universe = make_universe(calendar="XNYS")
    grid = expected_bars(universe, "AAA-USD", dt.date.fromisoformat(date))
    assert list(grid) == [utc(f"{date} {opens}")]
    assert list(bar_close(universe, grid)) == [utc(f"{date} {closes}")]
    assert grid.dtype == bar_close(universe, grid).dtype == "datetime64[us, UTC]"


def test_the_close_of_a_bar_that_is_no_session_is_an_error(make_universe):
    with pytest.raises(UniverseError, match=r"2024-01-01 14:30.* is not the open of a session of XNYS"):
        bar_close(make_universe(calendar="XNYS"), pd.DatetimeIndex([utc("2024-01-01 14:30")]))


def test_a_date_that_the_calendar_does_not_know_is_an_error_and_no_holiday(make_universe):
    with pytest.raises(UniverseError, match="does not know 1970-01-01; allowed: 1990-01-01 to"):
        is_session(make_universe(calendar="XNYS"), dt.date(1970, 1, 1))


@pytest.mark.parametrize(("settle", "counts"), [(0, [0, 24, 24, 24, 0]), (1, [0, 0, 24, 24, 0]), (3, [0] * 5)])
def test_an_asset_has_bars_from_its_listing_less_the_first_days_to_its_delisting_inclusive(
    make_universe, settle, counts
):
    assets = {"AAA-USD": {"listed": "2024-01-03", "delisted": "2024-01-05"}}
    universe = make_universe(assets=assets, settle_days=settle)
    assert [len(expected_bars(universe, "AAA-USD", dt.date(2024, 1, day))) for day in range(2, 7)] == counts


def test_three_days_after_a_listing_are_left_out_and_none_where_no_listing_is_stated(make_universe):
    universe = make_universe(assets={"AAA-USD": {"listed": "2024-01-03"}, "BBB-USD": {"delisted": "2024-01-03"}})
    listed = {
        symbol: [day for day in range(1, 9) if is_listed(universe, symbol, dt.date(2024, 1, day))]
        for symbol in universe.symbols
    }
    assert listed == {"AAA-USD": [6, 7, 8], "BBB-USD": [1, 2, 3]}


@CALENDARS
@given(
    start=DATES, count=st.integers(0, 12), listed=st.integers(0, 6), settle=st.integers(0, 3), listing=st.integers(0, 6)
)
def test_the_grid_of_several_partitions_is_their_expected_bars_in_order(
    make_universe, calendar, start, count, listed, settle, listing
):
    first = start + dt.timedelta(days=listed)
    last = first + dt.timedelta(days=listing)
    assets = {"AAA-USD": {"listed": first - dt.timedelta(days=settle), "delisted": last}}
    universe = make_universe(calendar=calendar, assets=assets, settle_days=settle)
    dates = [start + dt.timedelta(days=n) for n in range(count)]
    ts, day = expected_grid(universe, "AAA-USD", dates)
    grids = [expected_bars(universe, "AAA-USD", date) for date in dates]
    assert ts.dtype == "datetime64[us, UTC]"
    assert list(ts) == [opens for grid in grids for opens in grid]
    assert list(day) == [n for n, grid in enumerate(grids) for _ in grid]
    assert {dates[n] for n in day} <= {date for date in dates if first <= date <= last}


def test_a_date_that_the_calendar_does_not_know_has_no_bars_in_a_grid_of_several(make_universe):
    dates = [dt.date(1970, 1, 5), dt.date(2024, 1, 5), dt.date(2999, 1, 4)]
    ts, day = expected_grid(make_universe(calendar="XNYS"), "AAA-USD", dates)
    assert (list(ts), list(day)) == ([utc("2024-01-05 14:30")], [1])
    with pytest.raises(UniverseError, match="no asset 'CCC-USD'"):
        expected_grid(make_universe(), "CCC-USD", dates)


@CALENDARS
@given(date=DATES, n=st.integers(-400, 400))
def test_an_offset_counts_partition_dates(make_universe, calendar, date, n):
    universe = make_universe(calendar=calendar)
    date = offset_partition(universe, date, 1)
    other = offset_partition(universe, date, n)
    between = partition_dates(universe, min(date, other), max(date, other))
    assert len(between) == abs(n) + 1
    assert offset_partition(universe, other, -n) == date


def test_the_offset_from_a_weekend_counts_the_weekdays_beside_it(make_universe):
    universe, saturday = make_universe(calendar="XNYS"), dt.date(2024, 3, 9)
    assert offset_partition(universe, saturday, 1) == dt.date(2024, 3, 11)
    assert offset_partition(universe, saturday, -1) == dt.date(2024, 3, 8)
    with pytest.raises(UniverseError, match="2024-03-09 is no partition"):
        offset_partition(universe, saturday, 0)


def test_a_weekend_without_a_partition_is_refused_with_the_nearest_of_the_universe(make_universe):
    universe, day = make_universe(calendar="XNYS", start="2024-01-06"), dt.date
    check_partitions(universe, day(2024, 1, 13), day(2024, 1, 15))
    check_partitions(make_universe(), day(2024, 1, 13), day(2024, 1, 13))
    for last, span in ((14, "from 2024-01-13 to 2024-01-14"), (13, "for 2024-01-13")):
        with pytest.raises(UniverseError, match=rf"{span}; .* nearest in the universe: 2024-01-12, 2024-01-15$"):
            check_partitions(universe, day(2024, 1, 13), day(2024, 1, last))
    with pytest.raises(UniverseError, match=r"nearest in the universe: 2024-01-08$"):
        check_partitions(universe, day(2024, 1, 6), day(2024, 1, 7))
    with pytest.raises(UniverseError, match=r"for 1824-01-03; allowed: Monday to Friday$"):
        check_partitions(universe, day(1824, 1, 3), day(1824, 1, 3))


def test_an_outage_covers_the_bars_that_open_in_its_half_open_window(make_universe):
    window = {"start": "2024-01-01T02:00:00Z", "end": "2024-01-01T04:00:00Z", "reason": "none made"}
    universe = make_universe(outages=[{**window, "assets": ["AAA-USD"]}])
    grid = expected_bars(universe, "AAA-USD", dt.date(2024, 1, 1))
    assert list(grid[outage_mask(universe, "AAA-USD", grid)].hour) == [2, 3]
    assert not outage_mask(universe, "BBB-USD", grid).any()
    assert outage_mask(make_universe(outages=[window]), "BBB-USD", grid).sum() == 2


def test_every_daily_row_of_the_real_data_is_a_session_and_every_session_has_a_row(make_universe, shared_data):
    files = sorted(shared_data("dow_1d").glob("*.parquet"))
    assert len(files) == 20
    universe = make_universe(calendar="XNYS")
    weekdays = partition_dates(universe, dt.date(2004, 7, 1), dt.date(2024, 3, 8))
    sessions = [date for date in weekdays if is_session(universe, date)]
    for path in files:
        assert list(pd.read_parquet(path, columns=["date"])["date"]) == sessions, path.name
