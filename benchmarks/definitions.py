"""How long the definitions load and how long an automation tick takes: 50 assets, three years, all eight stages.

    python -m benchmarks.definitions [--quick]

Each turn is a process of its own. The ticks are the first two after the automation was turned on (the second once reads
a memory of all partitions), one at rest, and the one in which the night begins. The imports of Dagster, pandas and
other libraries are measured apart from the project's own work.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.common import ROOT, BenchmarkError, Column, Row, command_line, console, parser, publish, spread

NAME = "definitions"
COLUMNS = [
    Column("what", "what"),
    Column("seconds", "seconds", ".2f"),
    Column("low", "least", ".2f"),
    Column("high", "most", ".2f"),
    Column("cpu", "CPU seconds", ".2f"),
]


def turn(assets: int, days: int) -> dict[str, list[float]]:
    """One turn: [wall seconds, CPU seconds] by what was measured.

    Raises:
        BenchmarkError: the process failed.
    """
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.definitions_work", str(assets), str(days)],
            cwd=ROOT,
            env=os.environ | {"DAGSTER_HOME": home, "LEM_HOME": str(Path(home) / "lem")},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise BenchmarkError(f"definitions: the measured process failed: {done.stderr[-2000:]}")
    found: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Run the benchmark from the command line."""
    cli = parser(NAME, "Load time of the definitions and time of an automation tick.", seeds=None)
    cli.add_argument("--repeats", type=int, default=5, help="processes (default 5)")
    options = cli.parse_args()
    if options.repeats < 1:
        raise BenchmarkError(f"--repeats {options.repeats}; allowed: 1 or more")
    assets, days, repeats = (3, 60, 1) if options.quick else (50, 3 * 365 + 1, options.repeats)
    turns = []
    for number in range(repeats):
        turns.append(turn(assets, days))
        console.print(f"  turn {number + 1} of {repeats} done")
    rows: list[Row] = []
    for what in turns[0]:
        wall, cpu = ([each[what][column] for each in turns] for column in (0, 1))
        mean = spread(wall).mean
        rows.append({"what": what, "seconds": mean, "low": min(wall), "high": max(wall), "cpu": spread(cpu).mean})
    publish(NAME, f"{assets} assets, {days} days, eight stages", COLUMNS, rows, options, seeds=[])


if __name__ == "__main__":
    command_line(main)
