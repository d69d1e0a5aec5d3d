"""The data dictionary: every table of the lake, the report and the registry with its columns.

Names, types, keys, nulls and rules come from the schemas that the data is written with (Arrow, pandera, SQLAlchemy),
the meanings from `lem.dictionary.meanings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandera.pandas as pa
import pyarrow as arrow
from sqlalchemy import CheckConstraint, Table

from lem.dictionary.meanings import COLUMNS, TABLES
from lem.errors import SchemaError
from lem.execution.orders import Benchmark, Side, Target
from lem.lineage import stages
from lem.lineage.stages import Stage, stage_named, tables
from lem.lineage.words import NEVER, Words
from lem.registry import advice_tables, alert_tables, audit_tables  # noqa: F401  (in the metadata once imported)
from lem.registry.tables import Base
from lem.reports.tables import COSTS, GROUPS, LEVELS, MODEL, STATISTICS
from lem.strategies.rules import rule_names
from lem.training.manifest import CURVE_SCHEMA

CHOICES: dict[tuple[str, str], tuple[str, ...]] = {
    ("backtest", "side"): tuple(Side),
    ("backtest", "benchmark"): tuple(Benchmark),
    ("backtest", "target"): tuple(Target),
    ("backtest", "strategy"): (*rule_names(), MODEL),
    ("backtest", "status"): ("done", "excluded"),
    ("report.csv", "level"): (*LEVELS, *GROUPS),
    ("report.csv", "costs"): tuple(COSTS),
    ("report.csv", "strategy"): (*rule_names(), MODEL),
}
_REPORT_TEXT = ("level", "costs", "strategy", "against", *LEVELS["scenario and m"], "group")
_REPORT_COUNTS = ("orders", "blocks")
_A_DATE = "a date (UTC), as `2024-01-10`"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        name: of the column.
        type: of its values.
        meaning: in words.
        unit: empty for text and pure numbers.
        allowed: rules and values, in words.
        null: when it has no value; `never` if it always has one.
        unique: whether each value occurs only once.
    """

    name: str
    type: str
    meaning: str
    unit: str
    allowed: tuple[str, ...]
    null: str
    unique: bool = False

    @property
    def nullable(self) -> bool:
        """Whether a row may lack a value here."""
        return self.null != NEVER


@dataclass(frozen=True)
class TableEntry:
    """A table.

    Args:
        name: of the table.
        meaning: what a row is.
        place: where the table lies.
        partition: what one object or partition of it holds.
        columns: in the table's order.
        rules: on whole rows, in words.
    """

    name: str
    meaning: str
    place: str
    partition: str
    columns: tuple[Column, ...]
    rules: tuple[str, ...] = ()


def _check(check: pa.Check) -> str:
    """A pandera check in words."""
    given: Mapping[str, Any] = check.statistics or {}
    words = {"greater_than": "> {min_value:g}", "greater_than_or_equal_to": ">= {min_value:g}"}
    if check.name in words:
        return words[check.name].format(**given)
    if check.name == "isin":
        return ", ".join(f"`{value}`" for value in given["allowed_values"])
    return str(check.name)


def _worded(table: str, names: Iterable[str], words: Mapping[str, Words]) -> list[tuple[str, Words]]:
    """Each column with its words.

    Raises:
        SchemaError: a column has no words, or words are for a column that the table does not have.
    """
    columns = list(names)
    if set(words) != set(columns):
        apart = ", ".join(sorted(set(words) ^ set(columns)))
        raise SchemaError(
            f"table {table}: {apart}: in the schema or in its words only (lem/lineage/meanings.py, "
            "lem/dictionary/meanings.py); allowed: in both"
        )
    return [(name, words[name]) for name in columns]


def _choices(table: str, column: str) -> tuple[str, ...]:
    values = CHOICES.get((table, column), ())
    return (", ".join(f"`{value}`" for value in values),) if values else ()


def type_name(type_: arrow.DataType) -> str:
    """Arrow's name of a type, without the name of a list's elements: files and schemas name them differently."""
    return f"list<{type_.value_type}>" if arrow.types.is_list(type_) else str(type_)


def _lake_columns(
    table: str, schema: arrow.Schema, words: Mapping[str, Words], rules: pa.DataFrameSchema | None, alone: bool
) -> tuple[Column, ...]:
    columns = []
    for name, said in _worded(table, schema.names, words):
        rule = rules.columns.get(name) if rules else None
        if rule and rule.nullable != (said.null != NEVER):
            raise SchemaError(f"table {table}: {name}: the schema and lem/lineage/meanings.py disagree on nulls")
        allowed = tuple(_check(check) for check in rule.checks) if rule else ()
        allowed += _choices(table, name) + ((said.allowed,) if said.allowed else ())
        unique = bool(rule and rule.unique and alone)
        columns.append(
            Column(name, type_name(schema.field(name).type), said.meaning, said.unit, allowed, said.null, unique)
        )
    return tuple(columns)


def _lake_entry(stage: Stage) -> TableEntry:
    assert stage.schema is not None
    folder = f"<universe>/{stage.name}" + ("/asset=<asset>" if stage.per_asset else "")
    partition = "an asset and a date (UTC), as `BTC-USDT|2024-01-10`" if stage.per_asset else _A_DATE
    of_rows = stage.rules() if stage.rules else None
    rules = tuple(str(check.name) for check in of_rows.checks) if of_rows else ()
    # A date of all assets holds the same moments once for each of them.
    columns = _lake_columns(stage.name, stage.schema, stage.words, of_rows, alone=stage.per_asset)
    return TableEntry(stage.name, stage.meaning, f"{folder}/date=<date>.parquet", partition, columns, rules)


def _curve_entry() -> TableEntry:
    place = "<universe>/training_curve/model=<id>.parquet"
    columns = _lake_columns("training_curve", CURVE_SCHEMA, COLUMNS["training_curve"], None, alone=True)
    return TableEntry("training_curve", TABLES["training_curve"], place, "a model", columns)


def _report_entry() -> TableEntry:
    name, columns = "report.csv", []
    for column, words in _worded(name, (*_REPORT_TEXT, *STATISTICS), COLUMNS[name]):
        type_ = "string" if column in _REPORT_TEXT else "int64" if column in _REPORT_COUNTS else "double"
        allowed = _choices(name, column) + ((words.allowed,) if words.allowed else ())
        columns.append(Column(column, type_, words.meaning, words.unit, allowed, words.null))
    place = "<universe>/execution_report/date=<date>/report.csv"
    return TableEntry(name, TABLES[name], place, _A_DATE, tuple(columns))


def _registry_entry(table: Table) -> TableEntry:
    columns = []
    for name, words in _worded(table.name, table.columns.keys(), COLUMNS[table.name]):
        column = table.columns[name]
        keys: tuple[str, ...] = ("primary key",) if column.primary_key else ()
        keys += tuple(f"one of `{key.target_fullname}`" for key in column.foreign_keys)
        if column.nullable != (words.null != NEVER):
            raise SchemaError(
                f"table {table.name}: {name}: the schema and lem/dictionary/meanings.py disagree on nulls"
            )
        allowed = keys + ((words.allowed,) if words.allowed else ())
        columns.append(Column(name, str(column.type), words.meaning, words.unit, allowed, words.null))
    rules = tuple(sorted(str(rule.sqltext) for rule in table.constraints if isinstance(rule, CheckConstraint)))
    partition = _A_DATE if table.name in ("models", "promotions") else ""
    return TableEntry(table.name, TABLES[table.name], f"registry, table {table.name}", partition, tuple(columns), rules)


def dictionary() -> dict[str, TableEntry]:
    """Every table by name: the lake's, the training curve, the report's CSV, the registry's.

    Raises:
        SchemaError: the schemas and `lem.dictionary.meanings` do not agree.
    """
    entries = [*map(_lake_entry, tables()), _curve_entry(), _report_entry()]
    entries += map(_registry_entry, Base.metadata.sorted_tables)
    return {entry.name: entry for entry in entries}


def entry_of(stage: str) -> TableEntry:
    """The table that a stage of the asset graph writes.

    Raises:
        LineageError: there is no such stage.
        SchemaError: it writes no table.
    """
    name, entries = stage_named(stage).table or stage, _entries(tuple(one.name for one in stages.STAGES))
    if name not in entries:
        raise SchemaError(f"stage {stage}: no table; allowed: {', '.join(sorted(entries))}")
    return entries[name]


@cache
def _entries(names: tuple[str, ...]) -> dict[str, TableEntry]:
    return dictionary()
