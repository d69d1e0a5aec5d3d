"""What the UI's catalogue says of an asset: its description and its columns, made of the data dictionary."""

from __future__ import annotations

import dagster as dg

from lem.dictionary.entries import Column, TableEntry


def describe(entry: TableEntry, sentence: str, universe: str) -> str:
    """Markdown: what the asset is, what a row and a partition of it are, and the universe it belongs to."""
    parts = [sentence, entry.meaning, f"**Partition:** {entry.partition}.", f"**Universe:** {universe}."]
    return "\n\n".join(parts if universe else parts[:-1])


def column_schema(entry: TableEntry) -> dg.TableSchema:
    """The table's columns with type, meaning, unit and constraints."""
    return dg.TableSchema([_column(column) for column in entry.columns], dg.TableConstraints(list(entry.rules)))


def _column(column: Column) -> dg.TableColumn:
    unit = f" Unit: {column.unit}." if column.unit else ""
    null = f" No value: {column.null}." if column.nullable else ""
    # Constraints are badges of plain text; only the description is Markdown.
    allowed = [rule.replace("`", "") for rule in column.allowed]
    return dg.TableColumn(
        column.name,
        column.type,
        f"{column.meaning}.{unit}{null}",
        dg.TableColumnConstraints(column.nullable, column.unique, allowed),
    )


def figure(value: float) -> float:
    """A gain or a loss as the UI shows it: to a hundredth of what a report prints, and no minus zero."""
    return round(value, 4) + 0.0
