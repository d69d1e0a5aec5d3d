"""Bars that a venue leaves out when nobody trades, from the file to the validated bars."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from lem.data.bars import validate_bars
from lem.errors import BarsError
from lem.sources import open_source
from lem.universe.calendars import partition_window
from tests.lem.sources.test_stamps import bars

DATE = dt.date(2024, 1, 5)


@pytest.fixture
def day(tmp_path, make_universe):
    """`day(table)` are the bars of the date of a file with these rows, whose absent bars are without trades."""

    def validated(table, absent="no_trades", asset=None, **keys):
        table.to_csv(tmp_path / "AAA-USD.csv", index=False)
        source = {"kind": "files", "url": "{data}/{symbol}.csv", "absent": absent}
        universe = make_universe(source=source, assets={"AAA-USD": asset or {}}, **keys)
        answer = open_source(universe, str(tmp_path)).fetch("AAA-USD", *partition_window(DATE))
        return validate_bars(answer.table, universe, "AAA-USD", DATE)

    return validated


@pytest.fixture
def table():
    """Three whole days around the date, hourly."""
    return bars(pd.date_range("2024-01-04", periods=72, freq="1h", tz="UTC"))


def without(table, *hours):
    """The rows without some hours of the date, counted from its begin; from the day before they are negative."""
    return table.drop(index=[24 + hour for hour in hours])


def test_an_absent_bar_between_two_others_is_one_without_trades_at_the_last_close(day, table):
    result = day(without(table, 5, 6, 11))
    found = result.table
    assert list(found.index[found["flag"] == "no_trades"]) == [5, 6, 11]
    closes = table["close"].to_numpy()[24:48]
    for hour, last in ((5, 4), (6, 4), (11, 10)):
        assert set(found.loc[hour, ["open", "high", "low", "close"]]) == {closes[last]}
        assert found.loc[hour, "volume"] == found.loc[hour, "quote_volume"] == 0
        assert np.isnan(found.loc[hour, "vwap"])
    kept = [hour for hour in range(24) if hour not in (5, 6, 11)]
    np.testing.assert_array_equal(found["close"].to_numpy()[kept], closes[kept])
    assert result.counts | {"received": 21} == result.counts
    assert (result.counts["missing"], result.counts["outage"], result.counts["no_trades"]) == (3, 0, 3)


def test_bars_at_the_ends_of_a_day_are_without_trades_between_their_neighbours(day, table):
    found = day(without(table, -1, 0, 1, 23, 24)).table
    assert list(found.index[found["flag"] == "no_trades"]) == [0, 1, 23]
    closes = table["close"].to_numpy()
    assert list(found["close"].iloc[[0, 1, 23]]) == [closes[22], closes[22], closes[46]]


@pytest.mark.parametrize(
    ("hours", "told"),
    [
        ((*range(22, 48),), "missing bars: 2 from 2024-01-05 22:00"),
        ((*range(-24, 2),), "missing bars: 2 from 2024-01-05 00:00"),
        ((*range(24),), "missing bars: 24 from 2024-01-05 00:00"),
    ],
    ids=["behind the last bar", "before the first bar", "a day without any bar"],
)
def test_what_no_bar_follows_or_precedes_is_missing(day, table, hours, told):
    with pytest.raises(BarsError, match=told):
        day(without(table, *hours))


def test_bars_before_a_listing_are_no_neighbours(day, table):
    with pytest.raises(BarsError, match="missing bars: 1 from 2024-01-05 00:00"):
        day(without(table, 0), asset={"listed": str(DATE)}, settle_days=0)


def test_a_listed_outage_stays_one(day, table):
    outage = {"start": "2024-01-05T05:00:00Z", "end": "2024-01-05T06:00:00Z", "reason": "down"}
    found = day(without(table, 5, 6), outages=[outage]).table
    assert list(found["flag"].iloc[4:8]) == ["ok", "outage", "no_trades", "ok"]


def test_a_bad_neighbour_makes_no_bars(day, table):
    broken = table.copy()
    broken.loc[23, "close"] = np.nan
    with pytest.raises(BarsError, match="missing bars: 1 from 2024-01-05 00:00"):
        day(without(broken, 0))


def test_by_default_an_absent_bar_is_missing_and_many_of_them_are_told_with_the_key(day, table):
    with pytest.raises(BarsError, match="missing bars: 1") as one:
        day(without(table, 5), absent="missing")
    assert "no_trades" not in str(one.value)
    with pytest.raises(BarsError, match=r'6 bars are missing in 6 places.*absent = "no_trades" in \[source\]'):
        day(without(table, 1, 3, 5, 7, 9, 11), absent="missing")


def test_an_hour_that_clocks_skipped_is_told_with_the_key_for_zones(tmp_path, make_universe):
    date = dt.date(2024, 3, 10)
    table = bars(pd.date_range("2024-03-10", periods=24, freq="1h")).drop(index=2)
    table.to_csv(tmp_path / "AAA-USD.csv", index=False)
    source = {"kind": "files", "url": "{data}/{symbol}.csv"}
    universe = make_universe(source=source, assets={"AAA-USD": {}}, end="2024-03-31")
    answer = open_source(universe, str(tmp_path)).fetch("AAA-USD", *partition_window(date))
    with pytest.raises(BarsError, match=r"in America/New_York the clocks are put forward.*source\.zone = "):
        validate_bars(answer.table, universe, "AAA-USD", date)
