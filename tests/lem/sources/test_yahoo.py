"""Daily bars through yfinance, with the package's place taken by one that answers from memory."""

from __future__ import annotations

import datetime as dt
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from lem.data.bars import validate_days
from lem.errors import SourceError, UniverseError
from lem.sources import open_source
from lem.sources.base import RAW_DTYPES
from lem.sources.yahoo import Yahoo, opened
from lem.universe.calendars import partition_dates, partition_window
from tests.exchange.clock import FakeClock

DATES = [f"2023-11-{day}" for day in (20, 21, 22, 24, 27)]  # Thanksgiving, and the half day after it
FIRST, LAST = dt.date(2023, 11, 20), dt.date(2023, 11, 27)
WINDOW = (dt.datetime(2023, 11, 20, tzinfo=dt.UTC), dt.datetime(2023, 11, 28, tzinfo=dt.UTC))


def history(dates=DATES, dividend=0.99, **changes):
    """What yfinance's Ticker.history gives with auto_adjust=False: midnights in New York; a dividend on the 24th."""
    close = np.arange(100.0, 100 + len(dates))
    table = pd.DataFrame(
        {
            "Open": close,
            "High": close + 1,
            "Low": close - 1,
            "Close": close,
            "Adj Close": np.where(pd.Index(dates) < "2023-11-24", close * dividend, close),
            "Volume": np.arange(1000, 1000 + len(dates)),
        },
        index=pd.DatetimeIndex(dates, name="Date").tz_localize("America/New_York"),
    )
    return table.assign(**changes)


@pytest.fixture
def yahoo(monkeypatch, make_universe):
    """`yahoo(answer)`: the source, with `asked`, one (name, arguments) for each request to the package."""

    def make(answer, now="2024-01-01T12:00", assets=None, **source):
        asked = []

        class Ticker:
            def __init__(self, name):
                self.name = name

            def history(self, **arguments):
                asked.append((self.name, arguments))
                if isinstance(answer, Exception):
                    raise answer
                return answer.copy()

        package = SimpleNamespace(
            Ticker=Ticker, config=SimpleNamespace(debug=SimpleNamespace(hide_exceptions=True)), asked=asked
        )
        monkeypatch.setitem(sys.modules, "yfinance", package)
        keys = {"kind": "yfinance", **source}
        assets = assets or {"AAA": {}, "BRK.B": {"venue_symbol": "BRK-B"}}
        universe = make_universe(calendar="XNYS", start="2023-11-01", source=keys, assets=assets)
        made = Yahoo(universe, FakeClock(dt.datetime.fromisoformat(now).replace(tzinfo=dt.UTC)))
        return SimpleNamespace(source=made, package=package, universe=universe, asked=asked)

    return make


def test_bars_open_with_their_session_and_are_on_the_scale_of_the_adjusted_close(yahoo):
    made = yahoo(history())
    raw = made.source.fetch("AAA", *WINDOW)
    table = raw.table
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == RAW_DTYPES
    assert list(table["ts"].dt.strftime("%FT%H:%M")) == [f"{date}T14:30" for date in DATES]
    assert list(table["adjustment"]) == [0.99, 0.99, 0.99, 1, 1]
    assert (table["close"][0], table["high"][0], table["volume"][0]) == (99, 101 * 0.99, 1000 / 0.99)
    assert table["quote_volume"].isna().all()
    assert set(table["source"]) == {raw.source} == {"yahoo:AAA"}
    assert set(table["source_row"]) == {1}


def test_a_history_is_asked_for_once_and_none_of_the_packages_repairs_is_wanted(yahoo):
    made = yahoo(history())
    days = partition_dates(made.universe, FIRST, LAST)
    rows = {day: made.source.fetch("BRK.B", *partition_window(day)).table for day in days}
    ((name, arguments),) = made.asked
    assert name == "BRK-B"
    assert arguments.pop("timeout") == 30
    wanted = {"interval": "1d", "start": dt.date(2023, 11, 1), "end": None, "keepna": True}
    not_wanted = ("prepost", "actions", "auto_adjust", "back_adjust", "repair", "rounding")
    assert arguments == wanted | dict.fromkeys(not_wanted, False)
    assert made.package.config.debug.hide_exceptions is False
    bars = validate_days(rows, made.universe, "BRK.B")
    assert [len(result.table) for result in bars.values()] == [1, 1, 1, 0, 1, 1]
    assert {kind for result in bars.values() for kind in result.table["vwap_kind"]} == {"estimated"}
    assert bars[dt.date(2023, 11, 24)].table["close_ts"][0] == pd.Timestamp("2023-11-24T18:00Z")


def test_a_history_is_asked_for_again_once_it_is_forgotten(yahoo):
    answer = history()
    made = yahoo(answer)
    for name in ("AAA", "BRK.B"):
        made.source.fetch(name, *WINDOW)
    answer["Volume"] = 7
    made.source.forget("BRK.B")
    volumes = {name: set(made.source.fetch(name, *partition_window(LAST)).table["volume"]) for name in ("AAA", "BRK.B")}
    assert volumes == {"AAA": {1004.0}, "BRK.B": {7.0}}
    assert [name for name, _ in made.asked] == ["AAA", "BRK-B", "BRK-B"]


def test_the_same_history_gives_the_same_rows_whatever_is_appended_to_it(yahoo):
    day = partition_window(dt.date(2023, 11, 22))
    first = yahoo(history()).source.fetch("AAA", *day).table
    more = history(["2023-11-17", *DATES, "2023-11-28"], Close=[99.0, *np.arange(100.0, 106)])
    later = yahoo(more.assign(Open=more["Close"], High=more["Close"] + 1, Low=more["Close"] - 1)).source
    other = later.fetch("AAA", *day).table
    pd.testing.assert_frame_equal(first[["ts", "source", "source_row"]], other[["ts", "source", "source_row"]])


@pytest.mark.parametrize("column", ["Close", "Adj Close"])
def test_a_row_without_prices_is_not_dropped_but_an_error(yahoo, column):
    answer = history()
    answer.loc[answer.index[2], column] = np.nan
    made = yahoo(answer)
    with pytest.raises(SourceError, match=r"yahoo:AAA from 2023-11-20: row 3, column 'Adj Close': .* no adjustment"):
        made.source.fetch("AAA", *WINDOW)
    assert len(made.source.fetch("AAA", *partition_window(LAST)).table) == 1


def test_a_session_that_is_not_over_is_not_asked_for(yahoo):
    day = partition_window(LAST)
    with pytest.raises(SourceError, match=r"ends at 2023-11-27 21:00 UTC .* it is 2023-11-27 22:59; allowed: 7200 s"):
        yahoo(history(), now="2023-11-27T22:59").source.fetch("AAA", *day)
    assert len(yahoo(history(), now="2023-11-27T23:00").source.fetch("AAA", *day).table) == 1
    assert len(yahoo(history(), now="2023-11-27T21:00", grace_seconds=0).source.fetch("AAA", *day).table) == 1
    before = (WINDOW[0], day[0])
    assert len(yahoo(history(), now="2023-11-27T15:00").source.fetch("AAA", *before).table) == 4


def test_days_outside_of_the_listing_may_be_asked_for(yahoo):
    made = yahoo(history(), now="2023-11-27T15:00", assets={"AAA": {"delisted": "2023-11-24"}})
    assert len(made.source.fetch("AAA", *WINDOW).table) == 5


def test_no_rows_are_an_answer(yahoo):
    for answer in (pd.DataFrame(), history([])):
        table = yahoo(answer).source.fetch("AAA", *WINDOW).table
        assert table.empty
        assert {name: str(dtype) for name, dtype in table.dtypes.items()} == RAW_DTYPES


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (RuntimeError("Too Many Requests"), "yahoo:AAA: cannot be read: RuntimeError: Too Many Requests"),
        (history().drop(columns="Adj Close"), "yahoo:AAA: no column Adj Close; the columns there are: Open, High"),
        (history(["2023-11-20", "2023-11-23"]), "row 2, column 'Date': '2023-11-23.*' is no session of XNYS"),
        (history(["2023-11-20 09:30"]), "row 1, column 'Date': .* is no session of XNYS"),
        (history(Open="n/a"), "row 1, column 'Open': 'n/a' is not a number"),
    ],
)
def test_what_is_no_table_of_daily_bars_is_an_error(yahoo, answer, message):
    with pytest.raises(SourceError, match=message):
        yahoo(answer).source.fetch("AAA", *WINDOW)


def test_without_the_package_the_error_says_how_to_install_it(yahoo, monkeypatch):
    universe = yahoo(history()).universe
    monkeypatch.setitem(sys.modules, "yfinance", None)
    with pytest.raises(SourceError, match=r"needs the package yfinance.*pip install 'lem-pipeline\[yfinance\]'"):
        open_source(universe, "")


def test_only_daily_bars_a_known_symbol_and_its_own_kind_are_taken(yahoo, make_universe):
    made = yahoo(history())
    assert isinstance(opened(made.universe, "", {}), Yahoo)
    with pytest.raises(UniverseError, match="no asset 'AAB'"):
        made.source.fetch("AAB", *WINDOW)
    with pytest.raises(SourceError, match=r"source\.kind is 'simulated', not 'yfinance'"):
        Yahoo(make_universe())
    with pytest.raises(ValidationError, match=r"source\.bar: bars of 1d cannot be made into bars of 1h"):
        make_universe(source={"kind": "yfinance"})
