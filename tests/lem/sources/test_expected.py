from __future__ import annotations

import datetime as dt

import pytest

from lem.sources import open_source
from lem.sources.expected import OnlyExpected
from lem.universe.calendars import partition_window
from lem.universe.source_config import KINDS

SECTIONS = {
    "simulated": {},
    "files": {"url": "/nowhere/{symbol}.csv"},
    "ccxt": {"venue": "binance", "url": "http://127.0.0.1:9"},
    "archive": {"daily": "/nowhere/{symbol}-{date}.zip"},
    "yfinance": {},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("day", [5, 12])
def test_nothing_is_asked_of_any_kind_of_source_for_a_day_outside_of_the_listing(kind, day, make_universe):
    """The listing begins on the 7th with three days to settle, and ends on the 11th; no source could be read."""
    if kind == "yfinance":
        pytest.importorskip("yfinance")
    calendar = {"calendar": "XNYS"} if kind == "yfinance" else {}
    assets = {"AAA-USD": {"listed": "2024-01-07", "delisted": "2024-01-11"}}
    universe = make_universe(source={"kind": kind, **SECTIONS[kind]}, assets=assets, **calendar)
    answer = open_source(universe, "").fetch("AAA-USD", *partition_window(dt.date(2024, 1, day)))
    assert answer.table.empty
    assert answer.source == f"no bars expected: AAA-USD is not listed 2024-01-{day:02}"


def test_of_a_longer_window_the_listed_days_are_asked_for(make_universe):
    asked = []

    class Source:
        def fetch(self, symbol, start, end):
            asked.append((start, end))

    universe = make_universe(assets={"AAA-USD": {"delisted": "2024-01-11"}})
    start, end = partition_window(dt.date(2024, 1, 10))[0], partition_window(dt.date(2024, 1, 14))[1]
    OnlyExpected(universe, Source()).fetch("AAA-USD", start + dt.timedelta(hours=3), end)
    assert asked == [(start + dt.timedelta(hours=3), start + dt.timedelta(days=2))]
