"""The short ways to an Arrow table and to its hash give what pyarrow's own give."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lem.lake.arrow_tables as arrow_tables
from lem.backtest.schema import BACKTEST_SCHEMA
from lem.data.bars import TABLE_SCHEMA as BARS_SCHEMA
from lem.data.features import TABLE_SCHEMA as FEATURES_SCHEMA
from lem.data.panel import PANEL_SCHEMA
from lem.lake.arrow_tables import content_hash, decoded, frame_of, table_of
from lem.sources.base import RAW_SCHEMA

SCHEMAS = {
    "raw_bars": RAW_SCHEMA,
    "bars": BARS_SCHEMA,
    "features": FEATURES_SCHEMA,
    "panel": PANEL_SCHEMA,
    "backtest": BACKTEST_SCHEMA,
}
ROWS = 40


def column(kind: pa.DataType, rng: np.random.Generator, rows: int, gaps: bool) -> pd.Series:
    """Random values of a type, some of them missing where it has gaps."""
    gone = rng.random(rows) < 0.3 if gaps else np.zeros(rows, bool)
    if kind == pa.float64():
        return pd.Series(np.where(gone, np.nan, rng.normal(size=rows)))
    if pa.types.is_timestamp(kind):
        times = pd.Series(rng.integers(0, 2**50, rows).astype("datetime64[us]")).dt.tz_localize("UTC")
        return times.mask(gone)
    if kind == pa.string():
        return pd.Series(rng.choice(["", "ok", "größer", "x" * 300], rows), dtype="str").mask(gone)
    if kind == pa.bool_():
        return pd.Series(rng.random(rows) < 0.5)
    if pa.types.is_list(kind):
        return pd.Series([list(rng.normal(size=n)) for n in rng.integers(1, 4, rows)], dtype=object)
    return pd.Series(rng.integers(-5, 5, rows))


def frame(schema: pa.Schema, rows: int = ROWS, gaps: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(rows + gaps)
    return pd.DataFrame({field.name: column(field.type, rng, rows, gaps) for field in schema})


def plainly(table: pa.Table) -> str:
    """The hash without the short way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrow_tables, "_plain_bytes", lambda column: None)
        return content_hash(table)


def file_of(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("rows", [0, 1, ROWS])
@pytest.mark.parametrize("stage", SCHEMAS)
def test_a_frame_gives_the_table_and_the_file_that_pyarrow_makes_of_it(stage, rows, gaps):
    schema, made = SCHEMAS[stage], frame(SCHEMAS[stage], rows, gaps)
    expected = pa.Table.from_pandas(made, schema=schema, preserve_index=False).replace_schema_metadata()
    table = table_of(made, schema)
    assert table.schema.equals(expected.schema, check_metadata=True)
    assert table.equals(expected)
    assert [column.null_count for column in table.columns] == [column.null_count for column in expected.columns]
    assert file_of(table) == file_of(expected)


def test_the_tables_of_the_lake_are_made_the_short_way(monkeypatch):
    def refused(*arguments, **keywords):
        raise AssertionError("pyarrow was asked")

    monkeypatch.setattr(
        arrow_tables.pa, "Table", SimpleNamespace(from_pandas=refused, from_arrays=pa.Table.from_arrays)
    )
    for stage in ("raw_bars", "bars", "features"):
        table_of(frame(SCHEMAS[stage]), SCHEMAS[stage])


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("rows", [0, 1, ROWS])
@pytest.mark.parametrize("stage", SCHEMAS)
def test_the_hash_is_the_same_the_short_way_and_the_long_one(stage, rows, gaps):
    table = table_of(frame(SCHEMAS[stage], rows, gaps), SCHEMAS[stage])
    assert content_hash(table) == plainly(table)
    assert content_hash(decoded(file_of(table))) == plainly(table)


def test_the_hash_of_a_nan_that_is_no_null_is_that_of_the_long_way():
    table = pa.table({"price": pa.array([1.0, np.nan, -0.0])})
    assert table["price"].null_count == 0
    assert content_hash(table) == plainly(table)


@pytest.mark.parametrize("stage", ["raw_bars", "bars", "features"])
def test_the_hash_of_a_slice_is_that_of_its_rows(stage):
    whole = frame(SCHEMAS[stage])
    part = table_of(whole, SCHEMAS[stage]).slice(7, 12)
    assert content_hash(part) == plainly(part) == content_hash(table_of(whole.iloc[7:19], SCHEMAS[stage]))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ts", pd.Series(pd.date_range("2024-01-01", periods=ROWS, tz="Asia/Tokyo", unit="us"))),
        ("ts", pd.Series(pd.date_range("2024-01-01", periods=ROWS, tz="UTC", unit="ns"))),
        ("open", pd.Series(np.arange(ROWS))),
        ("open", pd.Series(np.arange(ROWS, dtype="float32"))),
        ("source", pd.Series(["a"] * ROWS, dtype=object)),
        ("source_row", pd.Series(np.arange(ROWS, dtype="int32"))),
        ("source_row", pd.Series(np.arange(ROWS, dtype="float64"))),
    ],
)
def test_a_column_of_another_type_becomes_what_pyarrow_makes_of_it(name, values):
    made = frame(RAW_SCHEMA).assign(**{name: values})
    assert table_of(made, RAW_SCHEMA).equals(pa.Table.from_pandas(made, schema=RAW_SCHEMA, preserve_index=False))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda made: made.drop(columns="low"), KeyError),
        (lambda made: made.assign(source_row=made["source_row"] + 0.5), pa.ArrowInvalid),
        (lambda made: made.assign(open="dear"), pa.ArrowInvalid),
        (lambda made: made.assign(ts=made["ts"].dt.as_unit("ns") + pd.Timedelta(1, "ns")), pa.ArrowInvalid),
        (lambda made: pd.concat([made, made[["low"]]], axis=1), ValueError),
    ],
)
def test_what_pyarrow_refuses_is_refused_with_its_error(change, error):
    made = change(frame(RAW_SCHEMA))
    with pytest.raises(error) as own:
        table_of(made, RAW_SCHEMA)
    with pytest.raises(error) as pyarrows:
        pa.Table.from_pandas(made, schema=RAW_SCHEMA, preserve_index=False)
    assert str(own.value) == str(pyarrows.value)


def test_a_decoded_object_is_the_frame_that_was_written():
    made = frame(BARS_SCHEMA, gaps=True)
    pd.testing.assert_frame_equal(frame_of(decoded(file_of(table_of(made, BARS_SCHEMA)))), made)
