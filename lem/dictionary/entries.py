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

from lem.data.bars import BARS_SCHEMA
from lem.data.features import FEATURE_SCHEMA
from lem.dictionary.meanings import COLUMNS, TABLES
from lem.dictionary.words import NEVER, Words
from lem.errors import SchemaError
from lem.execution.orders import Benchmark, Side, Target
from lem.lineage.tables import PER_ASSET, SCHEMAS
from lem.registry import advice_tables  # noqa: F401  (its tables are in the metadata once it is imported)
from lem.registry.tables import Base
from lem.reports.tables import COSTS, GROUPS, LEVELS, MODEL, STATISTICS
from lem.strategies.rules import rule_names
from lem.training.manifest import CURVE_SCHEMA

RULED: dict[str, pa.DataFrameSchema] = {"bars": BARS_SCHEMA, "features": FEATURE_SCHEMA, "panel": FEATURE_SCHEMA}
"""Tables whose rows are validated before they are written. A panel's rows are those of `features`."""
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


@dataclass(frozen=True)
class Column:
    """A column. null: "never", or when it has no value. allowed: rules and values, in words."""

    name: str
    type: str
    meaning: str
    unit: str
    allowed: tuple[str, ...]
    null: str
    unique: bool = False

    @property
    def nullable(self) -> bool:
        """Whether a row may have no value here."""
        return self.null != NEVER


@dataclass(frozen=True)
class TableEntry:
    """A table: what a row is, where it lies, what one object or partition of it holds, and rules on whole rows."""

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


def _worded(table: str, names: Iterable[str]) -> list[tuple[str, Words]]:
    """Each column with its words.

    Raises:
        SchemaError: a column has none, or there are words of a column that the table does not have.
    """
    words, columns = COLUMNS[table], list(names)
    if set(words) != set(columns):
        apart = ", ".join(sorted(set(words) ^ set(columns)))
        raise SchemaError(
            f"table {table}: {apart}: in the schema or in lem/dictionary/meanings.py only; allowed: in both"
        )
    return [(name, words[name]) for name in columns]


def _choices(table: str, column: str) -> tuple[str, ...]:
    values = CHOICES.get((table, column), ())
    return (", ".join(f"`{value}`" for value in values),) if values else ()


def type_name(type_: arrow.DataType) -> str:
    """Arrow's name of a type, without the name that it gives the elements of a list: files and schemas differ in it."""
    return f"list<{type_.value_type}>" if arrow.types.is_list(type_) else str(type_)


def _lake_columns(table: str, schema: arrow.Schema) -> tuple[Column, ...]:
    ruled = RULED[table].columns if table in RULED else {}
    columns = []
    for name, words in _worded(table, schema.names):
        rule = ruled.get(name)
        if rule and rule.nullable != (words.null != NEVER):
            raise SchemaError(f"table {table}: {name}: the schema and lem/dictionary/meanings.py disagree on nulls")
        allowed = tuple(_check(check) for check in rule.checks) if rule else ()
        allowed += _choices(table, name) + ((words.allowed,) if words.allowed else ())
        # A date's panel holds the same moments once for each asset.
        unique = bool(rule and rule.unique and table != "panel")
        columns.append(
            Column(name, type_name(schema.field(name).type), words.meaning, words.unit, allowed, words.null, unique)
        )
    return tuple(columns)


def _lake_entry(table: str) -> TableEntry:
    per_asset = table in PER_ASSET
    folder = f"<universe>/{table}" + ("/asset=<asset>" if per_asset else "")
    partition = "an asset and a date (UTC), as `BTC-USDT|2024-01-10`" if per_asset else "a date (UTC), as `2024-01-10`"
    rules = tuple(str(check.name) for check in RULED[table].checks) if table in RULED else ()
    columns = _lake_columns(table, SCHEMAS[table])
    return TableEntry(table, TABLES[table], f"{folder}/date=<date>.parquet", partition, columns, rules)


def _curve_entry() -> TableEntry:
    place = "<universe>/training_curve/model=<id>.parquet"
    columns = _lake_columns("training_curve", CURVE_SCHEMA)
    return TableEntry("training_curve", TABLES["training_curve"], place, "a model", columns)


def _report_entry() -> TableEntry:
    name, columns = "report.csv", []
    for column, words in _worded(name, (*_REPORT_TEXT, *STATISTICS)):
        type_ = "string" if column in _REPORT_TEXT else "int64" if column in _REPORT_COUNTS else "double"
        allowed = _choices(name, column) + ((words.allowed,) if words.allowed else ())
        columns.append(Column(column, type_, words.meaning, words.unit, allowed, words.null))
    place = "<universe>/execution_report/date=<date>/report.csv"
    return TableEntry(name, TABLES[name], place, "a date (UTC), as `2024-01-10`", tuple(columns))


def _registry_entry(table: Table) -> TableEntry:
    columns = []
    for name, words in _worded(table.name, table.columns.keys()):
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
    partition = "a date (UTC), as `2024-01-10`" if table.name in ("models", "promotions") else ""
    return TableEntry(table.name, TABLES[table.name], f"registry, table {table.name}", partition, tuple(columns), rules)


def dictionary() -> dict[str, TableEntry]:
    """Every table by name: the lake's, the training curve, the report's CSV, the registry's.

    Raises:
        SchemaError: the schemas and `lem.dictionary.meanings` do not agree.
    """
    entries = [*map(_lake_entry, SCHEMAS), _curve_entry(), _report_entry()]
    entries += map(_registry_entry, Base.metadata.sorted_tables)
    return {entry.name: entry for entry in entries}


STAGE_TABLES = {"lem_model": "models", "champion": "promotions", "execution_report": "report.csv"}
"""Stages whose table has another name than the stage."""


@cache
def entry_of(stage: str) -> TableEntry:
    """The table that a stage of the asset graph writes.

    Raises:
        SchemaError: there is none.
    """
    name, entries = STAGE_TABLES.get(stage, stage), dictionary()
    if name not in entries:
        raise SchemaError(f"stage {stage}: no table; allowed: {', '.join(sorted(entries))}")
    return entries[name]
