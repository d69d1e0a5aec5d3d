"""The table of faults in docs/faults.md, made of what the fault tests saw: the docs cannot say anything else.

Each test module that provokes faults has one part of the table, records a line for each fault while it runs, and
checks its part at the end. `LEM_WRITE_FAULTS=1 python -m pytest MODULE` writes the part instead of checking it.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import astuple, dataclass

import pytest

from tests.conftest import ROOT

PATH = ROOT / "docs" / "faults.md"
HEAD = """# Faults

What was done to the sources in the tests, and what became of the bars. Lost: bars of the grid that the day ends without
although nobody is told. Duplicated: bars that are there twice. Invented: bars or numbers that the source never had.
Where it says *blocked*, the day is not stored at all, the command fails, and its error names the cause.

The tests write this file; change it with

    LEM_WRITE_FAULTS=1 python -m pytest -m "slow or not slow" tests/integration -k "faults or backfill"
"""
COLUMNS = ("fault", "what happened", "lost", "duplicated", "invented")


@dataclass(frozen=True)
class Line:
    """One fault, and rows lost, duplicated and invented by it."""

    fault: str
    happened: str
    lost: int
    duplicated: int
    invented: int


_parts: dict[str, dict[str, Line]] = {}


def record(fault: str, happened: str, lost: int, duplicated: int, invented: int, *, part: str = "A venue") -> None:
    """Record what a fault did. `happened` must be the same in every run: no ports, times or paths of the machine."""
    assert "|" not in fault + happened, "a table's cells hold no bars of their own"
    _parts.setdefault(part, {})[fault] = Line(fault, " ".join(happened.split()), lost, duplicated, invented)


def rendered(part: str) -> str:
    """The part's heading and table, as they stand in the file."""
    rows = [COLUMNS, ("---", "---", "--:", "--:", "--:"), *map(astuple, _parts.get(part, {}).values())]
    return "\n".join([f"## {part}", "", *(f"| {' | '.join(map(str, row))} |" for row in rows)])


def _sections() -> dict[str, str]:
    """The parts that the file has, by heading."""
    text = PATH.read_text(encoding="utf-8") if PATH.exists() else ""
    sections = (section.strip() for section in ("\n" + text).split("\n## ")[1:])
    return {section.partition("\n")[0]: f"## {section}" for section in sections}


def check(part: str, faults: Collection[str]) -> None:
    """Assert that the file has this part as it was recorded, or write it where LEM_WRITE_FAULTS is set.

    Args:
        faults: all that the module provokes; of a run of only some of them their lines are looked for, then it skips.
    """
    recorded = _parts.get(part, {})
    assert set(recorded) <= set(faults), f"recorded, but not listed: {sorted(set(recorded) - set(faults))}"
    if missing := set(faults) - set(recorded):
        told = set(_sections().get(part, "").splitlines())
        other = [line for line in rendered(part).splitlines()[4:] if line not in told]
        assert not other, f"docs/faults.md says otherwise of: {other}; {HEAD.splitlines()[-1].strip()}"
        pytest.skip(f"{len(missing)} fault(s) of {part!r} did not run or failed: the table is not whole")
    sections = _sections()
    if os.environ.get("LEM_WRITE_FAULTS"):
        sections[part] = rendered(part)
        body = "\n\n".join(sections[name] for name in sorted(sections, reverse=True))
        PATH.write_text(f"{HEAD}\n{body}\n", encoding="utf-8")
    assert sections.get(part) == rendered(part), f"docs/faults.md: {part!r} is old; {HEAD.splitlines()[-1].strip()}"
