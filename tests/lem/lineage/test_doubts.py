from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from lem.lake import Lake
from lem.lineage.doubts import doubted, doubts_of, doubts_on, doubts_path, set_doubts
from lem.sources import RAW_SCHEMA, open_source
from lem.universe.calendars import partition_window

DATES = [dt.date(2024, 1, day) for day in range(8, 13)]
SYMBOL = "AAA-USD"


@pytest.fixture
def stored(tmp_path, make_universe):
    """A lake with five days of raw bars, and a function that changes one of them."""
    universe, lake = make_universe(), Lake(str(tmp_path / "lake"))
    source = open_source(universe, "")

    def put(date, change=lambda table: table):
        table = change(source.fetch(SYMBOL, *partition_window(date)).table)
        lake.write_table(lake.path("small", "raw_bars", date, SYMBOL), table, RAW_SCHEMA)

    for date in DATES:
        put(date)
    return universe, lake, put


def times_hundred(table):
    columns = ["open", "high", "low", "close"]
    return table.assign(**{name: table[name] * 100 for name in columns})


def test_a_day_is_compared_with_those_around_it_in_the_lake(stored):
    universe, lake, put = stored
    assert doubts_on(lake, universe, SYMBOL, DATES) == {}
    put(DATES[2], times_hundred)
    (line,) = doubts_on(lake, universe, SYMBOL, [DATES[2]])[DATES[2]]
    assert line.startswith("bar of 2024-01-10 00:00 UTC: the close jumps by a factor of ")
    assert "returns at 2024-01-11 00:00" in line
    assert list(doubts_on(lake, universe, SYMBOL, DATES)) == [DATES[2]]


def test_what_comes_out_on_a_later_day_is_told_on_it(stored):
    universe, lake, put = stored
    put(DATES[2], times_hundred)
    (line,) = doubts_on(lake, universe, SYMBOL, [DATES[3]])[DATES[3]]
    assert line.startswith("bar of 2024-01-10 00:00 UTC")
    assert doubts_on(lake, universe, SYMBOL, [DATES[4]]) == {}


def test_rows_in_a_listed_outage_are_told_of_with_its_reason_and_compared_with_nothing(stored, make_universe):
    _, lake, put = stored
    outage = {"start": "2024-01-10T00:00:00Z", "end": "2024-01-11T00:00:00Z", "reason": "in pence", "assets": [SYMBOL]}
    put(DATES[2], times_hundred)
    found = doubts_on(lake, make_universe(outages=[outage]), SYMBOL, DATES)
    assert found == {
        DATES[2]: [
            "24 row(s) of the source, the first of 2024-01-10 00:00 UTC, lie in a listed outage and are left out "
            "(in pence)"
        ]
    }


def test_doubts_are_kept_until_their_day_is_sound(stored):
    universe, lake, _ = stored
    set_doubts(lake, "small", SYMBOL, DATES, {DATES[1]: ["one", "two"], DATES[3]: ["three"]})
    assert doubted(lake, universe) == [(SYMBOL, DATES[1]), (SYMBOL, DATES[3])]
    assert doubts_of(lake, "small", DATES[1], SYMBOL) == ["one", "two"]
    set_doubts(lake, "small", SYMBOL, DATES[:2], {})
    assert doubted(lake, universe) == [(SYMBOL, DATES[3])]
    assert not lake.exists(doubts_path("small", DATES[1], SYMBOL))


def test_days_without_rows_or_with_broken_ones_stop_nothing(stored):
    universe, lake, put = stored
    put(DATES[2], lambda table: table.iloc[:0])
    put(DATES[3], lambda table: table.assign(close=-1.0))
    put(DATES[1], lambda table: table.assign(ts=pd.NaT))
    assert doubts_on(lake, universe, SYMBOL, DATES) == {}
    assert doubts_on(lake, universe, SYMBOL, []) == {}
