"""The dictionary says of the stored tables what is true of them, and docs/data_dictionary.md says what it does."""

from __future__ import annotations

import os
import re
import sqlite3
from dataclasses import replace

import pandas as pd
import pyarrow.parquet as pq
import pytest

from lem.dictionary import entries as module
from lem.dictionary.entries import dictionary, entry_of, type_name
from lem.errors import LineageError, SchemaError
from lem.lineage import stages
from lem.lineage.stages import stage_named, tables
from lem.lineage.words import Words
from lem.registry.tables import Base
from tests.conftest import ROOT
from tests.data_dictionary import PATH, rendered

LAKE = (*(stage.name for stage in tables()), "training_curve")
REGISTRY = sorted(Base.metadata.tables)
LIVE = (
    *("advised_fills", "advised_orders", "advised_slices", "alerts"),
    *("audit_acts", "audit_entries", "audit_readers", "nights"),
)
"""Tables that only live orders fill."""


def stored(home, name):
    """All rows of a table that the tiny home holds, and the types it is stored with."""
    if name in REGISTRY:
        with sqlite3.connect(home.folder / "home" / "registry.sqlite") as connection:
            return pd.read_sql_query(f"SELECT * FROM {name}", connection), None
    lake = home.folder / "home" / "lake" / "tiny"
    if name == "report.csv":
        return pd.read_csv(lake / "execution_report" / "date=2024-01-18" / name, dtype={"min_bars": str}), None
    # A file at a time: beside each other they would get their folder's keys as columns.
    tables = [pq.ParquetFile(path).read() for path in sorted((lake / name).rglob("*.parquet"))]
    return pd.concat([table.to_pandas() for table in tables], ignore_index=True), tables[0].schema


def test_every_table_and_every_column_is_described():
    entries = dictionary()
    assert set(entries) == {*LAKE, *REGISTRY, "report.csv"}
    for entry in entries.values():
        assert entry.meaning.endswith(".")
        assert entry.place
        assert all(column.meaning and column.type and column.null for column in entry.columns)
        assert len({column.name for column in entry.columns}) == len(entry.columns)


@pytest.mark.parametrize("name", [*LAKE, *REGISTRY, "report.csv"])
def test_what_is_stored_has_the_columns_types_nulls_and_values_that_the_dictionary_names(name, tiny_home):
    entry, (table, schema) = dictionary()[name], stored(tiny_home, name)
    described = [column.name for column in entry.columns]
    if name in REGISTRY:  # a migration adds its columns behind the others, wherever the class has them
        assert sorted(table.columns) == sorted(described)
    else:
        assert list(table.columns) == described
    assert (len(table) == 0) == (name in LIVE)
    if schema is not None:
        assert [type_name(schema.field(column.name).type) for column in entry.columns] == [
            c.type for c in entry.columns
        ]
    for column in entry.columns:
        values = table[column.name]
        assert column.nullable or values.notna().all(), f"{column.name}: {column.null}"
        for rule in column.allowed:
            if choices := re.fullmatch(r"(`[^`.]+`, )*`[^`.]+`", rule):
                assert set(values.dropna()) <= set(choices.group().strip("`").split("`, `")), column.name
            elif bound := re.fullmatch(r"(>=?) (\d+)", rule):
                low = float(bound.group(2))
                assert (values.dropna() > low).all() if bound.group(1) == ">" else (values.dropna() >= low).all()
            elif digits := re.fullmatch(r"(\d+) hex digits(, or empty)?", rule):
                allowed = f"[0-9a-f]{{{digits.group(1)}}}" + ("|" if digits.group(2) else "")
                assert values.dropna().map(lambda v, p=allowed: re.fullmatch(p, v) is not None).all(), column.name


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda words: words.pop("vwap"), "vwap"),
        (lambda words: words.update(colour=Words("of the bar")), "colour"),
        (lambda words: words.update(open=Words("first price")), "open"),
    ],
    ids=["a column without words", "words without a column", "nulls that the schema allows"],
)
def test_words_that_do_not_fit_the_schema_are_refused(change, named, monkeypatch):
    words = dict(stage_named("bars").words)
    change(words)
    changed = (replace(stage, words=words) if stage.name == "bars" else stage for stage in stages.STAGES)
    monkeypatch.setattr(stages, "STAGES", tuple(changed))
    with pytest.raises(SchemaError, match=f"table bars: {named}: "):
        dictionary()


def test_a_registry_column_that_may_be_null_says_when(monkeypatch):
    words = module.COLUMNS["promotions"] | {"champion_id": Words("the model")}
    monkeypatch.setitem(module.COLUMNS, "promotions", words)
    with pytest.raises(SchemaError, match=r"table promotions: champion_id: .* disagree on nulls"):
        dictionary()


def test_what_is_no_stage_is_refused_and_so_is_one_whose_table_nobody_describes(monkeypatch):
    with pytest.raises(LineageError, match=r"no stage 'trades'; allowed: raw_bars, bars, "):
        entry_of("trades")
    changed = (replace(stage, table="deals") if stage.name == "champion" else stage for stage in stages.STAGES)
    monkeypatch.setattr(stages, "STAGES", tuple(changed))
    with pytest.raises(SchemaError, match=r"stage champion: no table; allowed: .*backtest, bars, "):
        entry_of("champion")


def test_the_data_dictionary_in_the_docs_is_up_to_date():
    text = rendered()
    if os.environ.get("LEM_WRITE_DOCS") == "1":
        PATH.write_text(text, encoding="utf-8")
    assert PATH.read_text(encoding="utf-8") == text, f"make {PATH.relative_to(ROOT)} again with LEM_WRITE_DOCS=1"
