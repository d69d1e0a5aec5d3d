"""What every source promises, tested on each of them."""

from __future__ import annotations

import contextlib
import datetime as dt

import pandas as pd
import pyarrow as arrow
import pytest

from lem.data.bars import validate_bars
from lem.errors import SourceError, UniverseError
from lem.sources import RAW_SCHEMA, open_source
from lem.universe.calendars import partition_window
from tests.exchange.archive_server import DAILY, put_bars
from tests.exchange.server import Exchange

DATE = dt.date(2024, 1, 5)


@pytest.fixture
def stack():
    """Servers that a case needs, until its test is over."""
    with contextlib.ExitStack() as servers:
        yield servers


@pytest.fixture(params=["simulated", "parquet", "csv", "ccxt", "archive"])
def case(request, make_universe, tmp_path):
    """A universe and a source of it that has bars around DATE."""
    universe = make_universe()
    if request.param == "simulated":
        return universe, open_source(universe, "")
    start = partition_window(DATE - dt.timedelta(days=3))[0]
    window = (start, start + dt.timedelta(days=6))
    if request.param == "ccxt":
        simulated = open_source(universe, "")
        bars = {symbol.replace("-", ""): simulated.fetch(symbol, *window).table for symbol in universe.symbols}
        exchange = request.getfixturevalue("stack").enter_context(Exchange(bars, interval="1h"))
        universe = make_universe(source={"kind": "ccxt", "venue": "binance", "bar": "1h", "url": exchange.url})
        return universe, open_source(universe, "")
    if request.param == "archive":
        for symbol in universe.symbols:
            put_bars(tmp_path, DAILY, symbol, open_source(universe, "").fetch(symbol, *window).table, bar="1h")
        universe = make_universe(source={"kind": "archive", "daily": f"{{data}}/{DAILY}", "bar": "1h"})
        return universe, open_source(universe, str(tmp_path))
    for symbol in universe.symbols:
        table = open_source(universe, "").fetch(symbol, *window).table
        table = table.drop(columns=["source", "source_row"])
        if request.param == "csv":
            table.to_csv(tmp_path / f"{symbol}.csv", index=False)
        else:
            table.to_parquet(tmp_path / f"{symbol}.parquet")
    universe = make_universe(source={"kind": "files", "url": f"{{data}}/{{symbol}}.{request.param}"})
    return universe, open_source(universe, str(tmp_path))


def test_the_rows_have_the_raw_schema_and_say_where_they_come_from(case):
    _, source = case
    raw = source.fetch("AAA-USD", *partition_window(DATE))
    assert len(raw.table) == 24
    got = arrow.Schema.from_pandas(raw.table, preserve_index=False)
    assert got.names == RAW_SCHEMA.names
    arrow.Table.from_pandas(raw.table, schema=RAW_SCHEMA, preserve_index=False)
    assert raw.table["ts"].dtype == "datetime64[us, UTC]"
    assert set(raw.table["source"]) == {raw.source}
    assert (raw.table["source_row"].diff().iloc[1:] == 1).all()


def test_the_answer_says_in_utc_when_it_was_fetched_and_the_rows_do_not(case):
    _, source = case
    before = dt.datetime.now(dt.UTC)
    first, second = (source.fetch("AAA-USD", *partition_window(DATE)) for _ in range(2))
    assert before <= first.fetched_at < second.fetched_at <= dt.datetime.now(dt.UTC)
    assert first.fetched_at.utcoffset() == dt.timedelta(0)
    pd.testing.assert_frame_equal(first.table, second.table, check_exact=True)


def test_the_window_is_half_open(case):
    _, source = case
    start = partition_window(DATE)[0]
    hour = dt.timedelta(hours=1)
    assert list(source.fetch("AAA-USD", start, start + hour).table["ts"]) == [start]
    just_after = dt.timedelta(microseconds=1)
    assert list(source.fetch("AAA-USD", start + just_after, start + hour + just_after).table["ts"]) == [start + hour]


def test_neighbouring_windows_join_without_overlap(case):
    _, source = case
    (start, middle), (_, end) = partition_window(DATE), partition_window(DATE + dt.timedelta(days=1))
    windows = ((start, middle), (middle, end), (start, end))
    first, second, both = (source.fetch("AAA-USD", *window).table for window in windows)
    pd.testing.assert_frame_equal(both, pd.concat([first, second], ignore_index=True))


def test_a_window_without_bars_has_no_rows_and_the_same_dtypes(case):
    _, source = case
    start = partition_window(DATE)[0] + dt.timedelta(minutes=1)
    empty = source.fetch("AAA-USD", start, start + dt.timedelta(minutes=1)).table
    assert empty.empty
    assert list(empty.dtypes) == list(source.fetch("AAA-USD", *partition_window(DATE)).table.dtypes)


def test_what_the_caller_does_to_a_table_does_not_change_the_next_answer(case):
    _, source = case
    first = source.fetch("AAA-USD", *partition_window(DATE)).table
    first["close"] = 0.0
    assert (source.fetch("AAA-USD", *partition_window(DATE)).table["close"] > 0).all()


def test_forgetting_changes_no_answer_of_a_source_that_is_as_it_was(case):
    _, source = case
    first = source.fetch("AAA-USD", *partition_window(DATE)).table
    for symbol in ("AAA-USD", "BBB-USD"):
        source.forget(symbol)
    pd.testing.assert_frame_equal(source.fetch("AAA-USD", *partition_window(DATE)).table, first, check_exact=True)
    with pytest.raises(UniverseError, match="no asset 'AAA-USDT'"):
        source.forget("AAA-USDT")


def test_the_rows_validate(case):
    universe, source = case
    for symbol in universe.symbols:
        result = validate_bars(source.fetch(symbol, *partition_window(DATE)).table, universe, symbol, DATE)
        assert result.counts["received"] == result.counts["expected"] == 24
        assert set(result.table["vwap_kind"]) == {"exact"}


def test_an_unknown_symbol_is_an_error_that_offers_the_known_ones(case):
    _, source = case
    with pytest.raises(UniverseError, match=r"no asset 'AAA-USDT': did you mean AAA-USD.*allowed: AAA-USD, BBB-USD"):
        source.fetch("AAA-USDT", *partition_window(DATE))


def test_a_window_that_is_not_utc_or_is_empty_is_an_error(case):
    _, source = case
    start, end = partition_window(DATE)
    with pytest.raises(SourceError, match="not in UTC"):
        source.fetch("AAA-USD", start.replace(tzinfo=None), end)
    with pytest.raises(SourceError, match="not in UTC"):
        source.fetch("AAA-USD", start, end.astimezone(dt.timezone(dt.timedelta(hours=2))))
    with pytest.raises(SourceError, match="is empty"):
        source.fetch("AAA-USD", end, start)
