from __future__ import annotations

import datetime as dt
import gzip
from decimal import Decimal

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lem.errors import SourceError
from lem.sources.files import Files

WINDOW = (dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 8, tzinfo=dt.UTC))
HEADER = "ts,open,high,low,close,volume,quote_volume"
ROWS = ["2024-01-01T00:00:00Z,1,2,1,2,10,15", "2024-01-01T01:00:00Z,2,3,2,3,10,25"]


@pytest.fixture
def files(make_universe):
    """`files(path, **keys)` is a source of the files in a folder (`{symbol}.csv` unless a url is given)."""

    def make(folder, url="{data}/{symbol}.csv", universe=None, **source):
        keys = {"kind": "files", "url": url, **source}
        return Files(make_universe(source=keys, **(universe or {})), str(folder))

    return make


def write(folder, *rows, header=HEADER, name="AAA-USD.csv"):
    (folder / name).write_text("\n".join([header, *rows]) + "\n")


def times(source, symbol="AAA-USD"):
    return list(source.fetch(symbol, *WINDOW).table["ts"].dt.strftime("%Y-%m-%dT%H:%M:%S.%f"))


def test_rows_come_in_the_order_of_the_file_with_their_row_number_and_are_not_judged(files, tmp_path):
    broken = ["2024-01-01T03:00:00Z,-1,nan,,inf,-5,0", "2024-01-01T03:00:00Z,1,1,1,1,0,0"]
    write(tmp_path, ROWS[1], "2023-12-31T23:00:00Z,1,1,1,1,1,1", *broken, ROWS[0])
    table = files(tmp_path).fetch("AAA-USD", *WINDOW).table
    assert list(table["source_row"]) == [1, 3, 4, 5]
    assert list(table["ts"].dt.hour) == [1, 3, 3, 0]
    np.testing.assert_array_equal(table["high"], [3, np.nan, 1, 2])
    np.testing.assert_array_equal(table["low"], [2, np.nan, 1, 1])
    assert table["close"][1] == np.inf


def test_a_file_that_grew_is_read_again_once_it_is_forgotten(files, tmp_path):
    write(tmp_path, ROWS[0])
    write(tmp_path, ROWS[0], name="BBB-USD.csv")
    source = files(tmp_path)
    assert [len(times(source, symbol)) for symbol in ("AAA-USD", "BBB-USD")] == [1, 1]
    write(tmp_path, *ROWS)
    write(tmp_path, *ROWS, name="BBB-USD.csv")
    assert len(times(source)) == 1
    source.forget("AAA-USD")
    assert [len(times(source, symbol)) for symbol in ("AAA-USD", "BBB-USD")] == [2, 1]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2024-01-01T00:00:00Z", "2024-01-01T01:00:00Z"),
        ("2024-01-01 00:00", "2024-01-01 01:00"),
        ("2024-01-01T01:00:00+01:00", "2023-12-31T20:00:00-05:00"),
        ("1704067200", "1704070800"),
        ("1704067200000", "1704070800000"),
        ("1704067200000000", "1704070800000000"),
        ("1704067200000000000", "1704070800000000000"),
        ("1704067200.0", "1704070800.0"),
    ],
)
def test_text_times_of_any_kind_become_utc(files, tmp_path, first, second):
    write(tmp_path, *(f"{ts},1,1,1,1,1,1" for ts in (first, second)))
    assert times(files(tmp_path)) == ["2024-01-01T00:00:00.000000", "2024-01-01T01:00:00.000000"]


@pytest.mark.parametrize(
    "kind",
    ["datetime64[s]", "datetime64[ms]", "datetime64[ns, UTC]", "datetime64[us, America/New_York]", "int64"],
)
def test_parquet_times_of_any_kind_become_utc(files, tmp_path, kind):
    stamps = pd.Series(pd.to_datetime(["2024-01-01 00:00", "2024-01-01 01:00"], utc=True))
    if kind == "int64":
        stamps = stamps.dt.as_unit("ms").astype("int64")
    elif "," in kind:
        stamps = stamps.astype(kind)
    else:
        stamps = stamps.dt.tz_localize(None).astype(kind)
    pd.DataFrame({"ts": stamps, **dict.fromkeys(HEADER.split(",")[1:], 1)}).to_parquet(tmp_path / "AAA-USD.parquet")
    source = files(tmp_path, "{data}/{symbol}.parquet")
    assert times(source) == ["2024-01-01T00:00:00.000000", "2024-01-01T01:00:00.000000"]
    assert source.fetch("AAA-USD", *WINDOW).table["close"].dtype == "float64"


def test_a_parquet_file_may_have_its_times_in_a_pandas_index(files, tmp_path):
    stamps = pd.Index(pd.to_datetime(["2024-01-01"], utc=True), name="ts")
    table = pd.DataFrame(dict.fromkeys(HEADER.split(",")[1:], 1.0), index=stamps)
    table.to_parquet(tmp_path / "AAA-USD.parquet")
    assert times(files(tmp_path, "{data}/{symbol}.parquet")) == ["2024-01-01T00:00:00.000000"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(stamp=st.integers(631152000, 4102444799), unit=st.sampled_from([1, 10**3, 10**6, 10**9]))
def test_the_unit_of_any_epoch_in_range_is_inferred(files, tmp_path, stamp, unit):
    write(tmp_path, f"{stamp * unit},1,1,1,1,1,1")
    start = dt.datetime.fromtimestamp(stamp, dt.UTC)
    assert len(files(tmp_path).fetch("AAA-USD", start, start + dt.timedelta(microseconds=1)).table) == 1


@pytest.mark.parametrize("ts", ["date", "iso", "midnight", "new york midnight"])
def test_a_date_on_an_exchange_stands_for_its_session(files, tmp_path, ts):
    dates = pd.Series([dt.date(2024, 1, 2), dt.date(2024, 1, 3)])
    if ts == "iso":
        dates = dates.astype(str)
    elif ts != "date":
        dates = pd.to_datetime(dates)
        dates = dates.dt.tz_localize("America/New_York") if ts == "new york midnight" else dates
    table = pd.DataFrame({"ts": dates, **dict.fromkeys(HEADER.split(",")[1:], 1.0)})
    table.to_parquet(tmp_path / "AAA-USD.parquet")
    source = files(tmp_path, "{data}/{symbol}.parquet", universe={"calendar": "XNYS"})
    assert times(source) == ["2024-01-02T14:30:00.000000", "2024-01-03T14:30:00.000000"]


def test_columns_are_mapped_and_a_file_may_lack_quote_volume(files, tmp_path):
    write(tmp_path, "2024-01-01 00:00,7,1,2,1,2,9", header="Open time,junk,o,h,l,c,vol")
    names = {
        "ts": "Open time",
        "open": "o",
        "high": "h",
        "low": "l",
        "close": "c",
        "volume": "vol",
        "quote_volume": "",
    }
    table = files(tmp_path, columns=names).fetch("AAA-USD", *WINDOW).table
    assert list(table.loc[0, ["open", "high", "low", "close", "volume"]]) == [1, 2, 1, 2, 9]
    assert table["quote_volume"].isna().all()


def test_compressed_csv_and_any_fsspec_url_are_read_once_for_each_source(files):
    memory = fsspec.filesystem("memory")
    memory.pipe("/lem-test/x_AAAUSD.csv.gz", gzip.compress("\n".join([HEADER, *ROWS, ""]).encode()))
    universe = {"assets": {"AAA-USD": {"venue_symbol": "AAAUSD"}}}
    source = files("memory://lem-test/", "{data}/x_{venue_symbol}.csv.gz", universe=universe)
    raw = source.fetch("AAA-USD", *WINDOW)
    assert raw.source == "memory://lem-test/x_AAAUSD.csv.gz"
    memory.rm("/lem-test", recursive=True)
    pd.testing.assert_frame_equal(source.fetch("AAA-USD", *WINDOW).table, raw.table)


def rows_error(files, tmp_path, *rows, header=HEADER, universe=None):
    write(tmp_path, *rows, header=header)
    with pytest.raises(SourceError) as error:
        files(tmp_path, universe=universe).fetch("AAA-USD", *WINDOW)
    text = str(error.value)
    assert text.startswith(f"{tmp_path}/AAA-USD.csv: ")
    return text.removeprefix(f"{tmp_path}/AAA-USD.csv: ")


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (
            "100",
            "is in no unit a time; allowed: s, ms, us, ns since 1970 that give 1990-01-01 to before",
        ),
        ("631151999", "is in no unit a time"),
        ("1704070800000", "is not in s as row 1 is; allowed: one unit in a file"),
    ],
)
def test_an_impossible_epoch_is_an_error_that_names_its_row_and_value(files, tmp_path, value, rule):
    text = rows_error(files, tmp_path, "1704067200,1,1,1,1,1,1", f"{value},1,1,1,1,1,1")
    assert text.startswith(f"row 2, column 'ts': '{value}' {rule}")


@pytest.mark.parametrize(
    ("value", "rule"), [("soon", "is no time"), ("", "is no time"), ("1975-01-01", "is out of range")]
)
def test_an_impossible_time_is_an_error_that_names_its_row_and_value(files, tmp_path, value, rule):
    text = rows_error(files, tmp_path, ROWS[0], f"{value},1,1,1,1,1,1")
    assert text.startswith(f"row 2, column 'ts': '{value}' {rule}; allowed: ")


def test_a_date_without_a_session_is_an_error_that_names_its_row(files, tmp_path):
    rows = [f"{date},1,1,1,1,1,1" for date in ("2023-12-29", "2024-01-01", "2024-01-06")]
    text = rows_error(files, tmp_path, *rows, universe={"calendar": "XNYS"})
    assert text.startswith("row 2, column 'ts': '2024-01-01' is no session of XNYS; allowed")
    assert text.endswith("(2 rows break this rule)")


def test_text_for_a_number_is_an_error_that_names_row_and_column(files, tmp_path):
    text = rows_error(files, tmp_path, ROWS[0], "2024-01-01T01:00:00Z,2,3,2,n.v.,10,25")
    assert text == "row 2, column 'close': 'n.v.' is not a number; allowed: decimal numbers"


def test_missing_columns_are_an_error_that_names_the_keys_to_set(files, tmp_path):
    text = rows_error(files, tmp_path, "2024-01-01,1", header="ts,Open")
    assert "the columns there are: ts, Open\n" in text
    assert "no column 'open': set source.columns.open\n" in text
    assert "no column 'quote_volume': set source.columns.quote_volume (source.columns.quote_volume = \"\" says" in text


def test_a_column_that_must_be_there_cannot_be_mapped_to_nothing(files, tmp_path):
    write(tmp_path, *ROWS)
    with pytest.raises(SourceError, match=r"no column '': set source\.columns\.ts"):
        files(tmp_path, columns={"ts": ""}).fetch("AAA-USD", *WINDOW)


def test_a_missing_file_is_an_error_that_lists_what_is_there(files, tmp_path):
    for n in range(10):
        write(tmp_path, name=f"{n}.csv")
    with pytest.raises(SourceError, match=r"AAA-USD\.csv: no such file; .*there are: 0\.csv, .*, 7\.csv and 2 more"):
        files(tmp_path).fetch("AAA-USD", *WINDOW)
    with pytest.raises(SourceError, match=r"no such file; and its folder .*nowhere cannot be listed"):
        files(tmp_path / "nowhere").fetch("AAA-USD", *WINDOW)


def test_what_cannot_be_read_at_all_is_an_error_that_says_why(files, tmp_path):
    (tmp_path / "AAA-USD.csv").mkdir()
    with pytest.raises(SourceError, match=r"AAA-USD\.csv: cannot be read: IsADirectoryError"):
        files(tmp_path).fetch("AAA-USD", *WINDOW)
    with pytest.raises(SourceError, match=r"nosuch://x/AAA-USD\.csv: cannot be read: ValueError: Protocol not known"):
        files("nosuch://x").fetch("AAA-USD", *WINDOW)


def test_what_a_client_quotes_of_a_password_is_neither_in_the_error_nor_chained_to_it(files, monkeypatch):
    def failing(url):
        raise OSError(f"{url} refused 'pA@ss' and pA%40ss")

    monkeypatch.setattr(fsspec.core, "url_to_fs", failing)
    with pytest.raises(SourceError) as error:
        files("sftp://desk:pA%40ss@host").fetch("AAA-USD", *WINDOW)
    url = "sftp://host/AAA-USD.csv"
    assert str(error.value) == f"{url}: cannot be read: OSError: {url} refused '***' and ***"
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__


@pytest.mark.parametrize("template", ["https://desk:pass@host/{nope}.csv", "https://desk:pass@host/{symbol}.txt"])
def test_a_template_is_refused_without_its_password(files, tmp_path, template):
    with pytest.raises(SourceError, match=r"source\.url 'https://host/"):
        files(tmp_path, template)


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_an_empty_file_is_an_error(files, tmp_path, suffix):
    source = files(tmp_path, f"{{data}}/{{symbol}}.{suffix}")
    path = tmp_path / f"AAA-USD.{suffix}"
    path.write_bytes(b"")
    with pytest.raises(SourceError, match=r"AAA-USD.*: the file is empty \(0 bytes\)"):
        source.fetch("AAA-USD", *WINDOW)
    table = pd.DataFrame(columns=HEADER.split(","))
    table.to_parquet(path) if suffix == "parquet" else table.to_csv(path, index=False)
    with pytest.raises(SourceError, match=r"AAA-USD.*: the file has no rows; allowed: one row a bar"):
        source.fetch("AAA-USD", *WINDOW)


@pytest.mark.parametrize("suffix", ["csv.gz", "parquet"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_an_error_wherever_it_is_cut(files, tmp_path, suffix, share):
    path = tmp_path / f"AAA-USD.{suffix}"
    stamps = pd.date_range("2024-01-01", periods=500, freq="h", tz="UTC")
    values = np.random.default_rng(0).random((6, 500))
    table = pd.DataFrame({"ts": stamps, **dict(zip(HEADER.split(",")[1:], values, strict=True))})
    table.to_parquet(path) if suffix == "parquet" else table.to_csv(path, index=False)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(SourceError, match="truncated or"):
        files(tmp_path, f"{{data}}/{{symbol}}.{suffix}").fetch("AAA-USD", *WINDOW)


def test_rows_with_more_fields_than_the_header_are_an_error(files, tmp_path):
    text = rows_error(files, tmp_path, *(row + ",9" for row in ROWS))
    assert text.startswith("row 1 has 8 fields; allowed: 7 (no row of the file can be read)")
    assert rows_error(files, tmp_path, ROWS[0], ROWS[1] + ",9") == "row 2 has 8 fields; allowed: 7"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("{data}/{name}.csv", r"unknown field 'name'; allowed in braces: data, symbol, venue_symbol"),
        ("{data/x.csv", "allowed in braces"),
        ("{data}/{symbol}.xlsx", r"unknown kind of file; allowed endings: \.csv, \.csv\.gz, \.parquet"),
    ],
)
def test_a_template_that_cannot_work_is_an_error_before_anything_is_read(files, tmp_path, url, message):
    with pytest.raises(SourceError, match=message):
        files(tmp_path, url)


def test_a_template_with_data_needs_a_data_root(files):
    with pytest.raises(SourceError, match=r"\{data\} has no value; set LEM_DATA"):
        files("")


GOOD = [f"2024-01-0{day}T00:00:00Z,1,2,1,2,10,15" for day in range(1, 7)]


def day_of(source, day):
    start = dt.datetime(2024, 1, day, tzinfo=dt.UTC)
    return source.fetch("AAA-USD", start, start + dt.timedelta(days=1)).table


def daily(files, tmp_path, url="{data}/{symbol}.csv"):
    return files(tmp_path, url, universe={"bar": "1d", "training": {"window_days": 504}})


@pytest.mark.parametrize(
    "row",
    [
        "2024-01-04T00:00:00Z,1,2,1,n.v.,10,15",
        "soon,1,2,1,2,10,15",
        "1924-01-04T00:00:00Z,1,2,1,2,10,15",
        "2024-01-04T00:00:00Z,1,2",
        "2024-01-04T00:00:00Z,1,2,1,2,10,15,7",
    ],
)
def test_a_bad_row_blocks_its_own_date_and_no_other(files, tmp_path, row):
    write(tmp_path, *GOOD[:3], row, *GOOD[4:])
    source = daily(files, tmp_path)
    with pytest.raises(SourceError, match="row 4"):
        day_of(source, 4)
    assert [int(day_of(source, day)["source_row"].iloc[0]) for day in (1, 2, 3, 5, 6)] == [1, 2, 3, 5, 6]


@pytest.mark.parametrize("row", ["1985-01-04,1,2,1,2,10,15", "1985-01-04,x,2,1,2,10,15", "n/a,1,2,1,2,10,15"])
def test_a_row_before_all_that_is_asked_for_refuses_nothing(files, tmp_path, row):
    write(tmp_path, row, *GOOD)
    assert [len(day_of(daily(files, tmp_path), day)) for day in range(1, 7)] == [1] * 6


@pytest.mark.parametrize("early", ["1985-01-04", "473385600", "-7258118400"])
def test_a_history_longer_than_the_calendar_s_refuses_nothing_on_an_exchange(files, tmp_path, early):
    opens = ["2024-01-02", "2024-01-03"] if "-0" in early else ["1704153600", "1704240000"]
    write(tmp_path, *(f"{ts},1,2,1,2,10,15" for ts in (early, *opens)))
    source = files(tmp_path, universe={"calendar": "XNYS"})
    assert [len(day_of(source, day)) for day in (1, 2, 3)] == [0, 1, 1]


def test_a_weekend_row_refuses_nothing_but_a_session_near_it_that_has_no_bar(files, tmp_path):
    dates = ["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-07", "2024-01-08"]
    write(tmp_path, *(f"{date},1,2,1,2,10,15" for date in dates))
    source = files(tmp_path, universe={"calendar": "XNYS"})
    assert [len(day_of(source, day)) for day in (2, 3, 4, 8)] == [1] * 4
    with pytest.raises(SourceError, match="row 4, column 'ts': '2024-01-07' is no session of XNYS"):
        day_of(source, 5)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_mapped_column_that_occurs_twice_is_refused_and_another_one_is_not(files, tmp_path, suffix):
    def put(header):
        columns = [pa.array(["2024-01-01T00:00:00Z"]), *([pa.array([1.0])] * (len(header) - 1))]
        table = pa.table(columns, names=header)
        if suffix == "parquet":
            pq.write_table(table, tmp_path / "AAA-USD.parquet")
        else:
            write(tmp_path, "2024-01-01T00:00:00Z" + ",1" * (len(header) - 1), header=",".join(header))

    put([*HEADER.split(","), "close"])
    with pytest.raises(SourceError, match=r"2 columns 'close' \(source\.columns\.close\)"):
        day_of(files(tmp_path, f"{{data}}/{{symbol}}.{suffix}"), 1)
    put([*HEADER.split(","), "note", "note"])
    assert len(day_of(files(tmp_path, f"{{data}}/{{symbol}}.{suffix}"), 1)) == 1


@pytest.mark.parametrize("end", range(1, 40, 3))
@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_a_last_line_without_its_end_is_held_back_and_the_days_before_it_are_read(files, tmp_path, end, suffix):
    whole = "\n".join([HEADER, *GOOD, ""]).encode()
    cut = whole[:-end]
    (tmp_path / f"AAA-USD.{suffix}").write_bytes(gzip.compress(cut) if suffix == "csv.gz" else cut)
    source = daily(files, tmp_path, f"{{data}}/{{symbol}}.{suffix}")
    last = 6 if end <= len(GOOD[-1]) + 1 else 5
    for day in range(1, last):
        assert len(day_of(source, day)) == 1
    with pytest.raises(SourceError, match=f"row {last}, the last one, has no line end: .* copy in progress"):
        day_of(source, last)


INTEGERS = ["uint32", "int64", "uint64", "int32"]


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
@pytest.mark.parametrize(
    "spelling", [*INTEGERS, "string", "large_string", "binary", "dictionary", "decimal", "nulls", "double"]
)
def test_epoch_numbers_of_any_type_in_parquet_are_the_same_times(files, tmp_path, spelling, unit):
    stamps = [(1704067200 + 3600 * hour) * unit for hour in range(2)]
    if spelling in INTEGERS and stamps[-1] >= 2 ** (32 if spelling == "uint32" else 31) and "32" in spelling:
        pytest.skip("does not fit")
    text = [str(stamp) for stamp in stamps]
    column = {
        "string": lambda: pa.array(text),
        "large_string": lambda: pa.array(text, pa.large_string()),
        "binary": lambda: pa.array([t.encode() for t in text], pa.binary()),
        "dictionary": lambda: pa.array(text).dictionary_encode(),
        "decimal": lambda: pa.array([Decimal(stamp) for stamp in stamps], pa.decimal128(25, 0)),
        "nulls": lambda: pa.array([*stamps, None], pa.int64()),
        "double": lambda: pa.array([float(stamp) for stamp in stamps], pa.float64()),
    }.get(spelling, lambda: pa.array(stamps, getattr(pa, spelling)()))()
    ones = pa.array([1.0] * len(column))
    table = pa.table([column, *([ones] * 6)], names=HEADER.split(","))
    pq.write_table(table, tmp_path / "AAA-USD.parquet")
    got = files(tmp_path, "{data}/{symbol}.parquet").fetch("AAA-USD", WINDOW[0], WINDOW[0] + dt.timedelta(hours=2))
    assert list(got.table["ts"].dt.strftime("%H:%M:%S.%f")) == ["00:00:00.000000", "01:00:00.000000"]


def test_a_time_in_32_bit_floats_is_refused_as_it_is_rounded(files, tmp_path):
    table = pa.table([pa.array([1704067260.0], pa.float32()), *([pa.array([1.0])] * 6)], names=HEADER.split(","))
    pq.write_table(table, tmp_path / "AAA-USD.parquet")
    with pytest.raises(SourceError, match="type float32, which cannot hold times"):
        files(tmp_path, "{data}/{symbol}.parquet").fetch("AAA-USD", *WINDOW)


@pytest.mark.parametrize(
    "dates", [["20240101", "20240102"], ["2024-01-01", "2024-01-02"], ["20240101T00Z", "20240102T00Z"]]
)
def test_dates_may_be_written_with_and_without_dashes(files, tmp_path, dates):
    write(tmp_path, *(f"{date},1,2,1,2,10,15" for date in dates))
    assert [len(day_of(daily(files, tmp_path), day)) for day in (1, 2)] == [1, 1]
    columns = [pa.array([20240101, 20240102], pa.int32()), *([pa.array([1.0, 1.0])] * 6)]
    pq.write_table(pa.table(columns, names=HEADER.split(",")), tmp_path / "AAA-USD.parquet")
    assert [len(day_of(daily(files, tmp_path, "{data}/{symbol}.parquet"), day)) for day in (1, 2)] == [1, 1]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_a_mark_of_the_byte_order_change_nothing(files, tmp_path, end):
    (tmp_path / "AAA-USD.csv").write_bytes(b"\xef\xbb\xbf" + end.join([HEADER, *GOOD, ""]).encode())
    assert len(files(tmp_path).fetch("AAA-USD", *WINDOW).table) == 6


def test_the_answer_says_how_much_the_whole_table_has(files, tmp_path):
    write(tmp_path, *GOOD)
    whole = files(tmp_path).fetch("AAA-USD", WINDOW[0], WINDOW[0] + dt.timedelta(days=1)).whole
    assert (whole.rows, whole.first.day, whole.last.day) == (6, 1, 6)
