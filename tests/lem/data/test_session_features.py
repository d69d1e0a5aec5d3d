"""Features of bars within an exchange's sessions: summer time, half days and holidays move nothing."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from lem.advice.clock import moment
from lem.advice.feed import Feed
from lem.data.bars import validate_bars
from lem.data.feature_causality import features_are_causal
from lem.data.features import compute_features, season_slots
from lem.data.panel import Panel, panel_table
from lem.lake import Lake
from lem.sources import open_source
from lem.strategies.volume_curve import fit_volume_curve
from lem.universe.calendars import partition_dates, partition_window
from lem.universe.windows import history_dates

FIRST, LAST = dt.date(2024, 10, 21), dt.date(2024, 12, 6)
"""Over the end of summer time on 3 November, Thanksgiving on 28 November and the half day after it."""


@pytest.fixture(scope="module")
def universe(make_universe):
    return make_universe(
        calendar="XNYS",
        bar="30min",
        start="2024-09-30",
        end="2024-12-31",
        training={"window_days": 40},
        features={"volatility": 26, "short_volatility": 4, "volume": 26, "seasons": 4},
    )


@pytest.fixture(scope="module")
def bars(universe):
    source, symbol = open_source(universe, ""), "AAA-USD"
    return {
        date: validate_bars(source.fetch(symbol, *partition_window(date)).table, universe, symbol, date).table
        for date in partition_dates(universe, universe.start, LAST)
    }


@pytest.fixture(scope="module")
def features(universe, bars):
    return {
        date: compute_features(
            pd.concat([bars[d] for d in history_dates(universe, date)]), bars[date], universe.features, universe.clock
        )
        for date in partition_dates(universe, FIRST, LAST)
    }


def by_place(bars, date, place):
    """Volumes at a place of the sessions up to a date, the latest last."""
    return [bars[d]["volume"].iloc[place] for d in bars if d <= date and len(bars[d]) > place]


@pytest.mark.parametrize(
    ("date", "row", "following"),
    [
        ("2024-11-04", 3, 4),  # the first session of winter time
        ("2024-11-27", 12, 0),  # the last bar before Thanksgiving is followed by the half day's first
        ("2024-11-29", 6, 0),  # the half day's last bar
        ("2024-12-02", 8, 9),  # the half day had no such bar: sessions before it count
    ],
)
def test_the_usual_volume_is_that_of_the_next_bars_place_in_earlier_sessions(bars, features, date, row, following):
    day = dt.date.fromisoformat(date)
    earlier = by_place(bars, day if following <= row else day - dt.timedelta(days=1), following)[-4:]
    table = features[day]
    expected = np.log(np.mean(earlier) / table["mean_volume"].iloc[row])
    assert len(earlier) == 4
    assert table["valid"].iloc[row]
    assert table["next_volume"].iloc[row] == pytest.approx(expected, rel=1e-12)


def test_the_time_of_day_is_the_exchanges(features):
    summer, winter = features[dt.date(2024, 10, 30)], features[dt.date(2024, 11, 13)]
    assert summer["ts"].iloc[0].hour != winter["ts"].iloc[0].hour
    np.testing.assert_array_equal(summer["day_sin"], winter["day_sin"])
    np.testing.assert_array_equal(summer["week_cos"], winter["week_cos"])


@pytest.mark.parametrize("date", [dt.date(2024, 11, 4), dt.date(2024, 11, 29), dt.date(2024, 12, 2)])
def test_no_feature_of_a_session_depends_on_later_bars(universe, bars, date):
    history = pd.concat([bars[d] for d in history_dates(universe, date)])
    assert features_are_causal(history, bars[date], universe.features, universe.clock) == []


def test_slots_are_places_in_the_session_and_are_kept_when_a_panel_is_cut(universe, features):
    panel = Panel.from_table(panel_table({"AAA-USD": pd.concat(features.values(), ignore_index=True)}))
    place, _ = universe.clock.places(pd.DatetimeIndex(panel.ts_T).tz_localize("UTC"))
    np.testing.assert_array_equal(panel.slot_T, place)
    np.testing.assert_array_equal(panel.cut(5, 40).slot_T, place[5:40])
    curve_W = fit_volume_curve(panel)
    assert (np.flatnonzero(curve_W != 1).max(), len(curve_W)) == (12, 48)


def test_one_session_alone_has_the_slots_that_it_has_among_others(features):
    day = features[dt.date(2024, 11, 29)]
    panel = Panel.from_table(panel_table({"AAA-USD": day}))
    assert panel.slot_T.tolist() == list(range(7))


def test_hours_around_the_clock_keep_their_slots_where_days_are_missing():
    stamps = pd.date_range("2024-01-01", periods=96, freq="1h").to_numpy("datetime64[us]")
    apart = np.concatenate([stamps[:24], stamps[72:]])
    for ts_T in (stamps, apart, stamps[:5], stamps[:24]):
        np.testing.assert_array_equal(season_slots(ts_T, 24), ts_T.astype("datetime64[h]").astype(int) % 24)


@pytest.mark.parametrize("date", [dt.date(2024, 11, 27), dt.date(2024, 11, 29)])
def test_what_the_desk_sees_bar_by_bar_are_the_features_that_the_night_makes(universe, features, tmp_path, date):
    feed = Feed(universe, Lake(str(tmp_path)), open_source(universe, ""))
    night = features[date]
    for row in range(len(night)):
        at = moment(universe, night["close_ts"].iloc[row].to_pydatetime())
        assert at.last == night["ts"].iloc[row]
        seen = feed.features("AAA-USD", date, at)
        pd.testing.assert_frame_equal(seen, night.iloc[: row + 1])


def test_after_the_last_bar_of_a_half_day_the_next_is_that_of_monday(universe):
    at = moment(universe, dt.datetime(2024, 11, 29, 18, 0, tzinfo=dt.UTC))
    assert (at.bar, at.bar_end) == (
        dt.datetime(2024, 12, 2, 14, 30, tzinfo=dt.UTC),
        dt.datetime(2024, 12, 2, 15, 0, tzinfo=dt.UTC),
    )
