"""The CSV inside an archive: which tables of bars are read, and what is refused by name."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lem.errors import SourceError
from lem.sources.bad_rows import refuse_bad
from lem.sources.base import NUMBERS, RAW_DTYPES
from lem.sources.columns import numbers
from lem.sources.klines import read_klines
from tests.exchange.archive_server import HEADER, klines_csv, minute_bars
from tests.lem.builders import PROPERTY

START, DAY = dt.datetime(2024, 1, 30, tzinfo=dt.UTC), dt.timedelta(days=1)
URL = "s3://archive/AAAUSDT-1h-2024-01-30.zip"
VALUES = "2.0,0.5,1.5,10.0,1706576399999,12.0,3,1.0,1.0,0"


def line(ts="1706572800000", open_="1.0", rest=VALUES):
    """A row of the twelve columns; the first bar of the day if nothing is said."""
    return f"{ts},{open_},{rest}"


def read(*lines, content=None, start=START, end=None):
    """The rows of a day's file of these lines."""
    content = ("\n".join(lines) + "\n").encode(errors="surrogateescape") if content is None else content
    table, bad = read_klines(URL, content, start, end or start + DAY, pd.Timedelta("1h"))
    refuse_bad(bad, start, end or start + DAY, empty=table.empty)
    return table


def test_the_rows_have_the_raw_tables_dtypes_and_are_numbered_below_the_header():
    bars = minute_bars(START.date(), 1, bar="1h")
    for header in ("", HEADER):
        table = read(content=klines_csv(bars, header=header))
        assert dict(table.dtypes.astype("str")) == {name: RAW_DTYPES[name] for name in RAW_DTYPES if name != "source"}
        assert table["source_row"].tolist() == list(range(1, 25))
        pd.testing.assert_frame_equal(table[["ts", *NUMBERS, "adjustment"]], bars[["ts", *NUMBERS, "adjustment"]])


@pytest.mark.parametrize("header", ["", HEADER])
def test_a_mark_of_the_byte_order_is_no_part_of_the_first_field(header):
    content = "\n".join(["\ufeff" + (header or line()), line("1706576400000")]).encode()
    assert len(read(content=content)) == 2 - bool(header)


SHORT = "open_time,open,high,low,close,volume,quote_volume"
FIELDS = dict(zip(SHORT.split(","), ["1706572800000", "1", "2", "0.5", "1.5", "7", "9"], strict=True))


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("last", ["quote_volume", "open_time"])
def test_columns_are_found_by_name_in_any_order_and_lines_may_end_as_on_windows(end, last):
    names = [name for name in FIELDS if name != last] + ["a note", last]
    row = ",".join({**FIELDS, "a note": "x"}[name] for name in names)
    table = read(content=end.join([",".join(names), row, ""]).encode())
    assert table.loc[0, list(NUMBERS)].tolist() == [1, 2, 0.5, 1.5, 7, 9]
    assert table["ts"].tolist() == [pd.Timestamp(START)]


@pytest.mark.parametrize("time", ["open_time", "Open time", "OpenTime", "OPEN_TIME"])
@pytest.mark.parametrize("quote", ["quote_volume", "Quote volume", "Quote asset volume", "quote_asset_volume"])
def test_a_header_may_be_spelled_in_several_ways(time, quote):
    header = f"{time},Open,HIGH,low,Close,Volume,{quote}"
    assert read(header, ",".join(FIELDS.values()))["quote_volume"].tolist() == [9]


def test_a_column_whose_name_is_not_known_is_left_out_and_stands_for_no_other():
    table = read(f"{SHORT},volume 24h,taker_buy_volume", ",".join([*FIELDS.values(), "99", "98"]))
    assert table["volume"].tolist() == [7]


def test_rows_are_not_judged_and_keep_their_order():
    lines = [line("1706576400000"), line(open_="-1"), line(open_="nan"), line(open_=""), line("1706576400000")]
    table = read(*lines)
    assert list(table["ts"].dt.hour) == [1, 0, 0, 0, 1]
    np.testing.assert_array_equal(table["open"], [1, -1, np.nan, np.nan, 1])
    assert (table["adjustment"] == 1).all()


@given(st.lists(st.floats(1e-300, 1e300), min_size=1))
@PROPERTY
def test_numbers_become_the_nearest_doubles(values):
    texts = pd.Series([f"{value!r}" for value in values] + [f"{value:.30f}" for value in values if value < 1e9])
    assert numbers("a", texts.rename("x")).tolist() == [float(text) for text in texts]


def test_the_first_and_the_last_moment_of_the_day_are_in_it_and_the_next_day_is_not():
    first, after = 1706572800000, 1706659200000
    assert read(line(str(first)), line(str(after - 1)))["ts"].dt.date.nunique() == 1
    for outside in (first - 1, after):
        with pytest.raises(SourceError, match=f"row 2, column 'open_time': '{outside}' is no bar of this archive"):
            read(line(), line(str(outside)))


@pytest.mark.parametrize(
    ("days", "allowed"), [(1, "opens of 2024-01-30, UTC"), (31, "opens of 2024-01-30 to 2024-02-29, UTC")]
)
def test_what_is_outside_of_the_files_time_is_told_with_its_first_and_last_day(days, allowed):
    with pytest.raises(SourceError, match=rf"allowed: {allowed} \(2 rows break this rule\)$"):
        read(line("1700000000000"), line("1700000000000"), end=START + days * DAY)


@pytest.mark.parametrize(
    ("lines", "rule"),
    [
        ([line(), line(open_="1.O")], r"row 2, column 'open': '1\.O' is not a number"),
        ([HEADER, line(), line(open_="x")], "row 2, column 'open': 'x' is not a number"),
        ([line(), HEADER, line()], "row 2, column 'open_time': 'open_time' is not a number"),
        ([line(), line(ts="")], "row 2, column 'open_time': '' is not a number"),
        ([line(), line("1706572800000000")], "row 2, column 'open_time': '1706572800000000' is not in ms as row 1 is"),
        ([line("17065728")], "is in no unit a time; allowed: s, ms, us, ns"),
        ([line(), "1706576400000,1.0,2.0"], "row 2 has 3 fields; allowed: 12"),
        ([HEADER, line(), line()[:-2]], "row 2 has 11 fields; allowed: 12"),
        ([line() + ",0"], "no header and 13 columns; allowed without a header: the 12 columns open_time, open"),
        ([line()[:-2]], "no header and 11 columns; allowed without a header: the 12 columns open_time, open"),
        ([SHORT.removesuffix(",quote_volume"), "1,1,1,1,1,1"], "0 columns 'quote_volume'; allowed: one; the header"),
        ([HEADER.replace("count", "Volume"), line()], "2 columns 'volume'; allowed: one"),
        ([HEADER], "no rows below its header"),
        ([""], "the file has no rows"),
        (["\udcff\udcfe"], "is no line of CSV in UTF-8"),
        (["x" * 200_000], "is no line of CSV in UTF-8"),
        ([line(), '"' + line()], "row 2 has 1 fields; allowed: 12"),
        ([line(), line(open_="1\udcff")], "malformed CSV: .*invalid UTF8"),
    ],
)
def test_what_is_no_table_of_the_days_bars_is_an_error(lines, rule):
    with pytest.raises(SourceError, match=f"^{URL}: .*(?:{rule})"):
        read(*lines)


def test_a_long_header_is_cut_in_the_message():
    with pytest.raises(SourceError, match="0 columns 'open_time'; allowed: one; the header has 'x0', 'x1', ") as caught:
        read(",".join(f"x{n}" for n in range(5000)), "1")
    assert len(str(caught.value)) < 700
