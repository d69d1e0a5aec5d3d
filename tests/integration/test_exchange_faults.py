"""Every way in which a venue misbehaves, end to end: the real ccxt client, a loopback exchange, and validation.

Each case either ends with all bars as the exchange has them, or is blocked by an error whose text is checked.
"""

from __future__ import annotations

import datetime as dt
import math
import re

import pandas as pd
import pytest

from lem.data.bars import validate_bars
from lem.errors import BarsError, SourceError
from lem.sources.base import NUMBERS
from lem.sources.ccxt_venue import Ccxt
from lem.universe.calendars import expected_bars
from tests.exchange import faults as wrong
from tests.exchange import faults_table
from tests.exchange.clock import FakeClock
from tests.exchange.content_cases import CONTENT
from tests.exchange.endpoint_cases import ENDPOINTS
from tests.exchange.server import Exchange
from tests.exchange.transport_cases import TRANSPORT
from tests.exchange.venue_cases import DATE, END, START, Place

PAGE = 6  # bars: four pages a day
PART = "A venue (`ccxt`)"
CASES = [*TRANSPORT, *CONTENT, *ENDPOINTS]
HISTORY, RENAME = "history that the venue has changed", "a renamed symbol whose renames the universe lists"


@pytest.fixture(scope="module")
def bars(make_universe):
    """Two days of two markets, as the exchange has them."""
    from lem.sources import open_source

    universe = make_universe()
    window = (START - dt.timedelta(days=1), END + dt.timedelta(days=1))
    return {
        f"{symbol[:3]}USDT": open_source(universe, "").fetch(symbol, *window).table[["ts", *NUMBERS]]
        for symbol in universe.symbols
    }


@pytest.fixture
def place(bars):
    with Exchange(bars, interval="1h") as exchange:
        yield Place(
            exchange, FakeClock(), {"kind": "ccxt", "venue": "binance", "bar": "1h", "page": PAGE, "retries": 2}
        )


def opened(place: Place, make_universe):
    source = {**place.source, "url": place.exchange.url}
    assets = {"AAA-USDT": place.asset, "BBB-USDT": {}}
    universe = make_universe(source=source, assets=assets)
    place.source["universe"] = universe
    return universe, Ccxt(universe, {}, place.clock)


def compare(table: pd.DataFrame, truth: pd.DataFrame, grid: pd.DatetimeIndex) -> tuple[int, int, int]:
    """Rows lost, duplicated and invented by a validated table, beside what the exchange has."""
    truth = truth.assign(ts=truth["ts"].astype(table["ts"].dtype))
    same = table.merge(truth, on=["ts", *NUMBERS], how="left", indicator=True)["_merge"] == "both"
    return len(grid.difference(pd.DatetimeIndex(table["ts"]))), int(table["ts"].duplicated().sum()), int((~same).sum())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault)
def test_a_fault_costs_no_bar_or_blocks_the_day(case, place, bars, make_universe):
    case.do(place)
    universe, source = opened(place, make_universe)
    lost = duplicated = invented = 0
    result, message = None, ""
    try:
        raw = source.fetch("AAA-USDT", START, END).table
        result = validate_bars(raw, universe, "AAA-USDT", DATE)
    except (SourceError, BarsError) as error:
        message = str(error)
    if result is None:
        assert case.blocked, f"not expected: {message}"
        assert re.search(case.blocked, message), message
        assert "blocked" in case.told
    else:
        assert not case.blocked, "this day should have been blocked"
        grid = expected_bars(universe, "AAA-USDT", DATE)
        lost, duplicated, invented = compare(result.table, bars["AAAUSDT"], grid)
        assert result.counts["duplicates"] == case.duplicates
        assert set(result.table["vwap_kind"]) == {"exact"}
    assert (lost, duplicated, invented) == (0, 0, 0)
    if case.requests is not None:
        assert len(place.exchange.requests) == case.requests
    for query in place.exchange.requests:
        assert int(query["endTime"]) - int(query["startTime"]) <= (PAGE - 1) * 3_600_000
    case.check(place)
    faults_table.record(case.fault, case.told, lost, duplicated, invented, part=PART)


def test_changed_history_changes_the_raw_bytes_and_nothing_else_does(place, make_universe):
    universe, source = opened(place, make_universe)
    first = source.fetch("AAA-USDT", START, END)
    place.exchange.faults.rows(wrong.nothing, on=(6,))  # of the second fetch, and healed there
    again = Ccxt(universe, {}, place.clock).fetch("AAA-USDT", START, END)
    pd.testing.assert_frame_equal(first.table, again.table, check_exact=True)
    place.exchange.books["AAAUSDT"].numbers[24 + 8, 4:] *= 1.5
    changed = source.fetch("AAA-USDT", START, END).table
    differs = (changed != first.table).any(axis=1)
    assert list(changed["ts"][differs]) == [START + dt.timedelta(hours=8)]
    told = "fetched again it has other bytes, so that the revision is found by its hash; same bars give the same bytes"
    faults_table.record(HISTORY, told, 0, 0, 0, part=PART)


def test_a_listed_rename_splits_the_window_and_loses_nothing(place, bars, make_universe):
    old = place.exchange.books["AAAUSDT"]
    cut = 24  # the old name ends with the day before DATE
    parts = {"OLDUSDT": slice(None, cut), "AAAUSDT": slice(cut, None)}
    for name, part in parts.items():
        place.exchange.books[name] = type(old)(
            name, name[:3], "USDT", old.ts[part], old.numbers[part], old.length, old.trades[part]
        )
    place.asset["renames"] = [{"until": str(DATE - dt.timedelta(days=1)), "venue_symbol": "OLDUSDT"}]
    universe, source = opened(place, make_universe)
    table = source.fetch("AAA-USDT", START - dt.timedelta(days=1), END).table
    assert list(table["source"].unique()) == ["binance/OLDUSDT/1h", "binance/AAAUSDT/1h"]
    lost = duplicated = invented = 0
    for date in (DATE - dt.timedelta(days=1), DATE):
        day = table[table["ts"].dt.date == date].reset_index(drop=True)
        result = validate_bars(day, universe, "AAA-USDT", date)
        found = compare(result.table, bars["AAAUSDT"], expected_bars(universe, "AAA-USDT", date))
        lost, duplicated, invented = lost + found[0], duplicated + found[1], invented + found[2]
    assert (lost, duplicated, invented) == (0, 0, 0)
    told = "each day is asked for by the name of that day, all bars"
    faults_table.record(RENAME, told, lost, duplicated, invented, part=PART)


def test_the_docs_have_the_table_of_these_faults():
    faults_table.check(PART, [*(case.fault for case in CASES), HISTORY, RENAME])


def test_a_comparison_sees_what_is_lost_duplicated_and_invented(bars):
    truth = bars["AAAUSDT"].iloc[24:48].reset_index(drop=True)
    grid = pd.DatetimeIndex(truth["ts"])
    assert compare(truth, truth, grid) == (0, 0, 0)
    assert compare(truth.drop(index=3), truth, grid) == (1, 0, 0)
    assert compare(truth.iloc[[0, *range(24)]], truth, grid) == (0, 1, 0)
    assert compare(truth.assign(close=truth["close"].where(truth.index != 5, math.pi)), truth, grid) == (0, 0, 1)
