"""All goals of the benchmarks on one page: what was found, what it should be, and what falls short.

It measures nothing and reads what was published last (`benchmarks/out`).
"""

from __future__ import annotations

import argparse

from benchmarks import common
from benchmarks.common import Column, command_line, show
from benchmarks.goals import GOALS, summary

BENCHMARKS = [
    "bound",
    "real",
    "speed",
    "ingest",
    "backfill",
    "definitions",
    "night",
    "window",
    "waiting",
    "advise",
    "peek",
    "ablation",
    "sizes",
    "gate",
]
"""As `make bench` runs them."""
COLUMNS = (
    Column("benchmark", "benchmark"),
    Column("what", "what"),
    Column("figure", "found", ".2f"),
    Column("goal", "goal"),
    Column("said", ""),
    Column("date", "measured (UTC)"),
    Column("commit", "commit"),
)


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(prog="python -m benchmarks.summary", description=__doc__).parse_args()
    rows = summary(common.OUT, BENCHMARKS)
    for row in rows:
        row["commit"] = row["commit"] and row["commit"][:10] + "-dirty" * row["commit"].endswith("-dirty")
    said = [row["said"] for row in rows if row["said"] in ("met", "SHORT")]
    title = f"Goals: {said.count('met')} of {len(GOALS)} met, {said.count('SHORT')} fall short"
    show(title, COLUMNS, rows)


if __name__ == "__main__":
    command_line(main)
