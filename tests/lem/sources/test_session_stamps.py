"""Files with bars within an exchange's sessions: stamps at the close, extended hours, minutes made into half hours."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from lem.data.bars import validate_bars
from lem.errors import BarsError, LemError
from lem.sources import open_source
from lem.universe.calendars import bar_close, expected_bars, partition_window

DATE = dt.date(2024, 11, 29)
"""A half day, 14:30 to 18:00 UTC."""


def bars(stamps):
    rng = np.random.default_rng(len(stamps))
    path = 100 * np.exp(np.cumsum(rng.normal(0, 0.002, len(stamps) + 1)))
    first, last, volume = path[:-1], path[1:], rng.exponential(20, len(stamps)) + 1
    return pd.DataFrame(
        {
            "ts": stamps,
            "open": first,
            "high": np.maximum(first, last) * 1.001,
            "low": np.minimum(first, last) / 1.001,
            "close": last,
            "volume": volume,
            "quote_volume": volume * (first + last) / 2,
        }
    )


@pytest.fixture
def day(tmp_path, make_universe):
    """`day(table, stamp="close")` is what a universe of half hours makes of DATE of this file."""

    def validated(table, length="30min", **keys):
        table.to_csv(tmp_path / "AAA.csv", index=False)
        source = {"kind": "files", "url": "{data}/{symbol}.csv", **keys}
        made = make_universe(
            calendar="XNYS",
            bar=length,
            end="2024-12-31",
            training={"window_days": 120},
            assets={"AAA": {}},
            source=source,
        )
        answer = open_source(made, str(tmp_path)).fetch("AAA", *partition_window(DATE))
        return validate_bars(answer.table, made, "AAA", DATE).table

    return validated


def half_hours(first="14:30", last="18:00", date=DATE):
    return pd.date_range(f"{date} {first}", f"{date} {last}", freq="30min", tz="UTC", inclusive="left")


def test_stamps_at_the_close_are_read_as_the_bars_that_end_there(day):
    opens = half_hours()
    by_open = day(bars(opens))
    by_close = day(bars(opens + pd.Timedelta("30min")), stamp="close")
    pd.testing.assert_frame_equal(by_open, by_close)


def test_the_short_last_bar_of_a_session_in_hours_ends_with_it(day, make_universe):
    universe = make_universe(calendar="XNYS", bar="1h", end="2024-12-31", training={"window_days": 120})
    opens = expected_bars(universe, "AAA-USD", DATE)
    closes = bar_close(universe, opens)
    table = day(bars(closes), length="1h", stamp="close")
    assert list(table["ts"]) == list(opens)
    assert [f"{t:%H:%M}" for t in table["close_ts"]] == ["15:30", "16:30", "17:30", "18:00"]


def test_a_stamp_within_a_session_that_ends_no_bar_is_named(day):
    stamps = [*half_hours("15:00", "17:30"), pd.Timestamp(f"{DATE} 17:35", tz="UTC")]
    with pytest.raises(LemError, match=r"row 6, column 'ts'.*is not the end of a bar of 30min of XNYS"):
        day(bars(pd.DatetimeIndex(stamps)), stamp="close")


def test_rows_of_extended_hours_are_refused_with_the_key_that_leaves_them_out(day):
    with pytest.raises(BarsError, match=r'outside of the sessions of XNYS.*outside_sessions = "leave_out"'):
        day(bars(half_hours("09:00", "23:30")))


@pytest.mark.parametrize("stamp", ["open", "close"])
def test_rows_of_extended_hours_are_left_out_where_that_is_said(day, stamp):
    late = pd.Timedelta("30min") * int(stamp == "close")
    whole = bars(half_hours("09:00", "23:30"))
    inside = whole[whole["ts"].isin(half_hours())]
    table = day(whole.assign(ts=whole["ts"] + late), outside_sessions="leave_out", stamp=stamp)
    np.testing.assert_array_equal(table["close"], inside["close"])
    assert list(table["ts"]) == list(half_hours())


def test_a_row_within_the_session_beside_its_bars_is_never_left_out(day):
    stamps = half_hours().insert(3, pd.Timestamp(f"{DATE} 15:40", tz="UTC"))
    with pytest.raises(BarsError, match=r"bars open every 30min from the open of a session on"):
        day(bars(stamps), outside_sessions="leave_out")


def test_a_missing_bar_is_told_with_the_sessions_grid(day):
    with pytest.raises(BarsError, match="missing bars: 1 from 2024-11-29 16:00 to 2024-11-29 16:30"):
        day(bars(half_hours().delete(3)))


def test_minutes_are_made_into_half_hours_of_the_session(day):
    minutes = pd.date_range(f"{DATE} 14:30", f"{DATE} 18:00", freq="1min", tz="UTC", inclusive="left")
    whole = bars(minutes)
    table = day(whole, bar="1min")
    assert list(table["ts"]) == list(half_hours())
    np.testing.assert_allclose(table["volume"], whole["volume"].to_numpy().reshape(7, 30).sum(axis=1), rtol=1e-12)
