"""The quick look at a table gives pandera's verdict, whatever is wrong with the table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lem.data.bar_rules import row_rules
from lem.data.bars import bars_rules
from lem.data.features import feature_rules
from lem.data.quick_rules import keeps
from lem.sources.base import RAW_DTYPES
from tests.lem.builders import brownian_bars, features_of

BARS = brownian_bars(4)
RAW = (
    BARS.drop(columns=["close_ts", "vwap", "flag", "vwap_kind"])
    .assign(adjustment=1.0, source="a file", source_row=np.arange(len(BARS)))[list(RAW_DTYPES)]
    .astype(RAW_DTYPES)
)
TABLES = {
    "raw bars": (row_rules(0.0), RAW),
    "bars": (bars_rules(), BARS),
    "features": (feature_rules(), features_of(BARS)),
}
VALUES = {
    "f": [np.nan, np.inf, -np.inf, -1.0, 0.0, 1e300, 9.0, -0.0],
    "i": [-1, 0, 2**40],
    "b": [True, False],
    "M": [pd.NaT, pd.Timestamp("1990-01-01", tz="UTC"), pd.Timestamp("2024-01-02", tz="UTC")],
}


def pandera_passes(schema, table):
    try:
        schema.validate(table, lazy=True)
    except (pa.errors.SchemaErrors, TypeError):
        return False
    return True


@pytest.mark.parametrize("name", TABLES)
def test_a_sound_table_needs_no_pandera(name):
    schema, table = TABLES[name]
    assert keeps(schema, table)
    assert keeps(schema, table.iloc[:0])
    assert pandera_passes(schema, table)


@settings(max_examples=60)
@given(st.sampled_from(sorted(TABLES)), st.data())
def test_values_of_any_kind_get_panderas_verdict(name, data):
    schema, table = TABLES[name]
    table = table.iloc[:30].copy()
    for _ in range(data.draw(st.integers(1, 3), label="changes")):
        column = data.draw(st.sampled_from(list(table.columns)), label="column")
        row = data.draw(st.integers(0, len(table) - 1), label="row")
        choices = VALUES.get(table[column].dtype.kind, [None, "ok", "outage", "no_trades", "exact", "worse"])
        table.loc[row, column] = data.draw(st.sampled_from(choices), label="value")
    assert keeps(schema, table) == pandera_passes(schema, table)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.iloc[:, 1:],
        lambda t: t.assign(more=1.0),
        lambda t: t.astype({"close": "float32"}),
        lambda t: t.astype({"volume": object}),
        lambda t: t.assign(ts=t["ts"].dt.tz_localize(None)),
        lambda t: t.assign(ts=t["ts"].dt.tz_convert("America/New_York")),
        lambda t: pd.concat([t, t.iloc[-1:]], ignore_index=True),
        lambda t: t.iloc[::-1].reset_index(drop=True),
    ],
    ids=["a column less", "one more", "single", "objects", "naive", "another zone", "a row twice", "backwards"],
)
def test_tables_of_another_form_get_panderas_verdict(name, change):
    schema, table = TABLES[name]
    table = change(table)
    assert keeps(schema, table) == pandera_passes(schema, table)


def test_a_check_that_is_not_known_is_left_to_pandera():
    table = pd.DataFrame({"x": [1.0, 2.0]})
    schema = pa.DataFrameSchema({"x": pa.Column(float, pa.Check.in_range(0, 3))}, strict=True)
    assert pandera_passes(schema, table)
    assert not keeps(schema, table)
