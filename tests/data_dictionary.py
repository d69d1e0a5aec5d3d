"""docs/data_dictionary.md, made of `lem.dictionary`: a test compares the two, and writes it with LEM_WRITE_DOCS=1."""

from __future__ import annotations

from lem.dictionary.entries import TableEntry, dictionary
from lem.lineage.stages import STAGES
from lem.reports.sections import sections
from tests.conftest import ROOT

PATH = ROOT / "docs" / "data_dictionary.md"
HEAD = """# Data dictionary

Every table, made of the schemas that the data is written with. The UI shows the same columns with each asset. Paths are
below the lake's root. Times are UTC; a price's currency is the asset's quote currency; positive gains are good. "No
value" is null or NaN.

A test keeps this file true; after a change of a schema or of its words (`lem/lineage/meanings.py`,
`lem/dictionary/meanings.py`) write it again with

    LEM_WRITE_DOCS=1 .venv/bin/python -m pytest tests/lem/dictionary/test_entries.py -k docs
"""
COLUMNS = ("column", "type", "unit", "meaning", "allowed", "no value")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _section(entry: TableEntry) -> str:
    stages = [stage.name for stage in STAGES if stage.table == entry.name]
    lines = [f"## `{entry.name}`", "", entry.meaning, "", f"Lies at: `{entry.place}`."]
    lines += [f"One partition: {entry.partition}."] if entry.partition else []
    lines += [f"In the asset graph: `{stage}`." for stage in stages]
    if entry.rules:
        lines += ["", "Rows keep these rules: " + "; ".join(_cell(rule) for rule in entry.rules) + "."]
    lines += ["", f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
    for column in entry.columns:
        allowed = "; ".join((*column.allowed, *(("unique",) if column.unique else ())))
        cells = (f"`{column.name}`", column.type, column.unit, column.meaning, allowed, column.null)
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join(lines)


def _report_tables() -> str:
    """The tables of the report's sections, in the order of the page."""
    lines = ["## Tables of the report's sections", ""]
    lines += ["What `report.html` prints and draws beside `report.csv`, in the order of the page.", ""]
    lines += ["Each lies at: `<universe>/execution_report/date=<date>/tables/<table>.csv`.", ""]
    lines += ["| table | section | one row is |", "| --- | --- | --- |"]
    for section in sections().values():
        lines += [f"| `{name}` | {section.title} | {_cell(row)} |" for name, row in section.rows.items()]
    return "\n".join(lines)


def rendered() -> str:
    """The whole page."""
    return HEAD + "\n" + "\n\n".join([*map(_section, dictionary().values()), _report_tables()]) + "\n"
