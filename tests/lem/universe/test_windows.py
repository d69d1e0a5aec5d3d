from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lem.universe.calendars import is_session, offset_partition, partition_dates
from lem.universe.windows import (
    dates_before,
    execution_dates,
    feature_history_days,
    forward_days,
    history_dates,
    is_training_date,
    training_window,
    warmup_days,
)
from tests.lem.builders import PROPERTY

DATES = st.dates(dt.date(2015, 1, 1), dt.date(2024, 12, 31))


@pytest.fixture(scope="module")
def universes(make_universe):
    sessions = make_universe(calendar="XNYS", start="2000-01-03", end="2025-12-31", horizon=12)
    return [
        make_universe(start="2000-01-01", end="2025-12-31", horizon=n, backtest={"min_bars": [1]}) for n in (2, 24, 25)
    ] + [sessions]


@PROPERTY
@given(st.integers(0, 3), DATES)
def test_a_training_window_never_reaches_its_date_and_leaves_a_purge(universes, which, date):
    universe = universes[which]
    window = training_window(universe, date)
    assert window.start < window.train_end < window.gate_start < window.end == date
    trained = dates_before(universe, window.start, window.train_end)
    judged = dates_before(universe, window.gate_start, window.end)
    purged = dates_before(universe, window.train_end, window.gate_start)
    assert max(trained) < window.train_end
    assert max(judged) < date
    assert len(judged) == universe.training.holdout_days
    assert len(purged) == universe.purge_days
    assert len(purged) * universe.bars_per_day >= universe.horizon, "the purge is one horizon long"
    assert len(trained) + len(purged) + len(judged) == universe.training.window_days


@PROPERTY
@given(DATES, st.integers(-400, 400).filter(bool))
def test_offsets_on_an_equity_calendar_count_weekdays(universes, date, n):
    universe, step = universes[-1], 1 if n > 0 else -1
    expected, left = date, abs(n)
    while left:
        expected += dt.timedelta(days=step)
        left -= expected.weekday() < 5
    assert offset_partition(universe, date, n) == expected


@PROPERTY
@given(DATES, st.integers(-400, 400))
def test_offsets_on_a_market_without_holidays_count_days(universes, date, n):
    assert offset_partition(universes[0], date, n) == date + dt.timedelta(days=n)


@pytest.mark.parametrize("horizon", [2, 5, 12, 21, 60])
def test_windows_hold_enough_sessions_for_every_date_of_fifteen_years(make_universe, horizon):
    universe = make_universe(
        calendar="XNYS",
        start="2000-01-03",
        end="2025-12-31",
        horizon=horizon,
        backtest={"min_bars": [1]},
        training={
            "window_days": 504,
            "sequence": 256,
        },
    )
    days = partition_dates(universe, dt.date(2005, 1, 3), dt.date(2025, 12, 31))
    place = {day: i for i, day in enumerate(days)}
    before = np.concatenate([[0], np.cumsum([is_session(universe, day) for day in days])])
    history = universe.features.history(1)
    short: list[tuple[str, dt.date]] = []
    for day in partition_dates(universe, dt.date(2010, 1, 1), dt.date(2024, 12, 31)):
        i = place[day]
        if not is_session(universe, day):
            continue
        end = place[offset_partition(universe, day, forward_days(universe))]
        if before[end + 1] - before[i] < horizon:
            short.append(("horizon", day))
        start = place[offset_partition(universe, day, -feature_history_days(universe))]
        if before[i] - before[start] < history:
            short.append(("features", day))
        start = place[offset_partition(universe, day, -warmup_days(universe))]
        if before[i] - before[start] < universe.model.warmup + 1:
            short.append(("warm-up", day))
    assert short == []


def test_windows_of_hourly_bars_hold_what_they_must(universes):
    for universe in universes[:3]:
        assert forward_days(universe) * 24 >= universe.horizon - 1
        assert feature_history_days(universe) * 24 >= universe.features.history(24)
        assert warmup_days(universe) * 24 >= universe.model.warmup + 1


@PROPERTY
@given(st.integers(0, 3), DATES)
def test_reads_lie_on_the_right_side_of_the_date(universes, which, date):
    universe = universes[which]
    assert all(d < date for d in history_dates(universe, date))
    assert len(history_dates(universe, date)) == feature_history_days(universe)
    if which < 3 or date.weekday() < 5:
        read = execution_dates(universe, date)
        assert read == sorted(read)
        assert date in read
        assert sum(d < date for d in read) == warmup_days(universe)
        assert sum(d > date for d in read) == forward_days(universe)


def test_nothing_before_the_start_of_the_universe_is_read(make_universe):
    universe = make_universe(start="2024-01-05")
    assert history_dates(universe, dt.date(2024, 1, 5)) == []
    assert history_dates(universe, dt.date(2024, 1, 7)) == [dt.date(2024, 1, 5), dt.date(2024, 1, 6)]
    assert execution_dates(universe, dt.date(2024, 1, 5))[0] == dt.date(2024, 1, 5)


def test_training_dates_are_every_nth_partition_from_the_start(make_universe):
    universe = make_universe(training={"retrain_every": 3})
    days = partition_dates(universe, universe.start, dt.date(2024, 1, 12))
    assert [d.day for d in days if is_training_date(universe, d)] == [1, 4, 7, 10]
