"""Adjusted prices: what a file's adjusted close does to the rows, and that it can be undone."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lem.data.bars import validate_bars, validate_days
from lem.errors import SourceError
from lem.sources.adjust import adjusted
from lem.sources.base import PRICES, RAW_DTYPES
from lem.sources.files import Files
from lem.universe import load_universe
from lem.universe.calendars import partition_dates, partition_window
from tests.conftest import ROOT

WINDOW = (dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 8, tzinfo=dt.UTC))
HEADER = "date,open,high,low,close,volume,quote_volume,adj_close"
ROWS = ["2024-01-02,8,12,6,10,100,900,5", "2024-01-03,8,12,6,10,100,900,9.5", "2024-01-04,8,12,6,10,100,900,10"]
DAY = dt.date(2024, 1, 2)


@pytest.fixture
def files(make_universe, tmp_path):
    """`files(rows)`: a source of a file with these rows, on New York's calendar."""

    def make(rows=ROWS, header=HEADER, **columns):
        (tmp_path / "AAA-USD.csv").write_text("\n".join([header, *rows]) + "\n")
        keys = {"ts": "date", "adjusted_close": "adj_close", **columns}
        source = {"kind": "files", "url": "{data}/{symbol}.csv", "columns": keys}
        return Files(make_universe(calendar="XNYS", source=source), str(tmp_path))

    return make


def test_prices_are_scaled_to_the_adjusted_close_and_volume_so_that_the_traded_value_stays(files):
    table = files().fetch("AAA-USD", *WINDOW).table
    assert list(table.columns) == list(RAW_DTYPES)
    assert list(table["adjustment"]) == [0.5, 0.95, 1.0]
    assert list(table.loc[0, ["open", "high", "low", "close", "volume"]]) == [4, 6, 3, 5, 200]
    assert list(table.loc[2, ["open", "high", "low", "close", "volume"]]) == [8, 12, 6, 10, 100]
    np.testing.assert_allclose(table["close"] * table["volume"], 1000, rtol=1e-15)
    assert list(table["quote_volume"]) == [900] * 3


def test_the_recorded_adjustment_undoes_what_was_done(files):
    table = files().fetch("AAA-USD", *WINDOW).table
    plain = files(adjusted_close="").fetch("AAA-USD", *WINDOW).table
    assert (plain["adjustment"] == 1).all()
    np.testing.assert_allclose(table["close"] / table["adjustment"], plain["close"], rtol=1e-15)
    np.testing.assert_allclose(table["volume"] * table["adjustment"], plain["volume"], rtol=1e-15)


def test_an_exact_vwap_is_adjusted_with_the_prices(files, make_universe):
    table = files().fetch("AAA-USD", *partition_window(DAY)).table
    bars = validate_bars(table, make_universe(calendar="XNYS"), "AAA-USD", DAY).table
    assert (bars["vwap_kind"][0], bars["vwap"][0]) == ("exact", 9 * 0.5)


@pytest.mark.parametrize("value", ["", "nan", "0", "-5", "inf"])
def test_a_row_without_an_adjustment_is_an_error_that_names_file_row_and_rule(files, tmp_path, value):
    rows = [*ROWS[:2], ROWS[2].removesuffix("10") + value]
    with pytest.raises(SourceError) as error:
        files(rows).fetch("AAA-USD", *WINDOW)
    text = str(error.value)
    assert text.startswith(f"{tmp_path}/AAA-USD.csv: row 3, column 'adj_close': ")
    assert text.endswith(
        "gives no adjustment; allowed: an adjusted close whose ratio to the row's close is finite and > 0"
    )


@pytest.mark.parametrize("close", ["0", "", "-10"])
def test_a_close_without_a_ratio_to_its_adjusted_close_is_an_error(files, close):
    with pytest.raises(SourceError, match=r"row 1, column 'adj_close': .* gives no adjustment"):
        files([f"2024-01-02,8,12,6,{close},100,900,5"]).fetch("AAA-USD", *WINDOW)


def test_a_file_without_the_column_is_an_error_that_says_how_to_do_without(files):
    header = HEADER.removesuffix(",adj_close").replace("quote_volume", "qv")
    rows = [row.rpartition(",")[0] for row in ROWS]
    with pytest.raises(SourceError) as error:
        files(rows, header).fetch("AAA-USD", *WINDOW)
    lines = str(error.value).splitlines()[1:]
    assert [line.partition(" (")[2] for line in lines] == [
        'source.columns.quote_volume = "" says that the file has none)',
        'source.columns.adjusted_close = "" says that prices are taken as they are)',
    ]


PRICE = st.floats(1e-3, 1e6)


@settings(deadline=None, max_examples=60)
@given(prices=st.tuples(PRICE, PRICE, PRICE, PRICE), factor=st.floats(1e-4, 1e2), volume=st.floats(0, 1e12))
def test_adjusted_prices_keep_the_order_of_the_sources_to_the_last_digit(prices, factor, volume):
    low, *between, high = sorted(prices)
    row = pd.DataFrame({"open": between[:1], "high": high, "low": low, "close": between[1:], "volume": volume})
    out = adjusted("x", row, (row["close"] * factor).rename("adjusted")).iloc[0]
    assert out["low"] <= min(out["open"], out["close"]) <= max(out["open"], out["close"]) <= out["high"]
    assert out["close"] * out["volume"] == pytest.approx(row["close"][0] * volume, rel=1e-14)


@pytest.fixture(scope="module")
def dow(shared_data):
    folder = shared_data("dow_1d")
    universe = load_universe(ROOT / "universes" / "dow.toml")
    return folder, universe, Files(universe, str(folder.parent))


def test_real_daily_bars_are_on_the_scale_of_their_adjusted_close_and_valid(dow):
    folder, universe, source = dow
    days = partition_dates(universe, dt.date(2020, 8, 3), dt.date(2020, 9, 30))
    for symbol in universe.symbols:
        raw = {day: source.fetch(symbol, *partition_window(day)).table for day in days}
        bars = pd.concat([result.table for result in validate_days(raw, universe, symbol).values()])
        file = pd.read_parquet(folder / f"{symbol}.parquet")
        file = file[(file["date"] >= days[0]) & (file["date"] <= days[-1])]
        np.testing.assert_allclose(bars["close"], file["adj_close"], rtol=1e-14)
        np.testing.assert_allclose(bars["close"] * bars["volume"], file["close"] * file["volume"], rtol=1e-14)


def test_the_real_files_prices_and_volume_know_splits_already_and_only_dividends_are_left_to_adjust(dow):
    folder, _, source = dow
    apple = pd.read_parquet(folder / "AAPL.parquet").set_index("date")
    before, after = (apple.loc[dt.date(2020, 8, day)] for day in (28, 31))  # four shares for one from the 31st on
    assert 0.9 < after["close"] / before["close"] < 1.1
    assert 0.5 < after["volume"] / before["volume"] < 2
    window = (dt.datetime(2024, 2, 8, tzinfo=dt.UTC), dt.datetime(2024, 2, 10, tzinfo=dt.UTC))
    table = source.fetch("AAPL", *window).table  # 0.24 USD a share, to those who held it before the 9th
    assert table["adjustment"][1] == 1
    assert table["adjustment"][0] == pytest.approx(1 - 0.24 / 188.32, abs=1e-5)
    assert {name for name in PRICES if table[name][0] == apple.loc[dt.date(2024, 2, 8), name]} == set()
