from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from lem.reports.compact import compact, encoded, numbered, stacked


@given(st.lists(st.sampled_from(["b", "a", "", "ab", "9", "10"])))
def test_a_compact_column_has_the_same_texts_and_sorts_as_they_do(texts):
    column = compact(pd.Series(texts, dtype=object))
    assert column.tolist() == texts
    assert list(column.cat.categories) == sorted(set(texts))
    assert column.sort_values(kind="stable").tolist() == sorted(texts)


def test_values_of_the_same_text_become_one_and_what_is_missing_stays_missing():
    column = compact(pd.Series([dt.date(2024, 1, 2), None, "2024-01-01", "2024-01-02"], dtype=object), str)
    assert list(column.cat.categories) == ["2024-01-01", "2024-01-02"]
    assert column.isna().tolist() == [False, True, False, False]
    assert column.max() == "2024-01-02"


def test_numbers_become_their_texts_and_texts_without_rows_are_left_out():
    column = numbered(np.array([2, -1, 0, 2]), ["c", "b", "a"], pd.RangeIndex(4))
    assert column.tolist() == ["a", np.nan, "c", "a"]
    assert list(column.cat.categories) == ["a", "c"]


def test_a_column_without_rows_keeps_its_kind():
    assert isinstance(numbered(np.empty(0, dtype=int), ["a"], pd.RangeIndex(0)).dtype, pd.CategoricalDtype)


def test_tables_of_other_texts_are_stacked_in_their_order_with_one_sorted_list():
    days = [dt.date(2024, 1, 2), dt.date(2024, 1, 1)]
    tables = [
        pa.table(
            {"asset": names, "day": pa.array([day] * len(names), pa.date32()), "x": [float(len(names))] * len(names)}
        )
        for names, day in ((["B", "A"], days[0]), (["C"], days[1]))
    ]
    frame = stacked(encoded(table, ["asset", "day"]) for table in tables)
    assert frame["asset"].tolist() == ["B", "A", "C"]
    assert frame["x"].tolist() == [2.0, 2.0, 1.0]
    assert frame["day"].tolist() == [days[0], days[0], days[1]]
    assert list(frame["asset"].cat.categories) == ["A", "B", "C"]
    assert list(frame["day"].cat.categories) == sorted(days)
