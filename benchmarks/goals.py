"""What the figures of the benchmarks are to be, and which fall short: rows of the summary.

A goal names a figure of a benchmark's published rows, and the least or the most that it may be.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.common import BenchmarkError, Row


@dataclass(frozen=True)
class Goal:
    """One goal.

    Args:
        benchmark: whose file has the figure.
        what: it is, in words, with its unit.
        figure: key of the figure in a row.
        where: what the row has; of all its rows, one.
        most: the figure may be.
        least: the figure may be, in place of `most`.
        inverse: whether the row has the inverse of the figure.
    """

    benchmark: str
    what: str
    figure: str
    where: Row = field(default_factory=dict)
    most: float | None = None
    least: float | None = None
    inverse: bool = False

    def of(self, rows: Sequence[Row]) -> float | None:
        """The figure; None where no row has it, as of a benchmark that measured a part."""
        found = [row[self.figure] for row in rows if self.where.items() <= row.items() and self.figure in row]
        if len(found) != 1 or found[0] is None:
            return None
        return 1 / found[0] if self.inverse else float(found[0])

    def met(self, figure: float) -> bool:
        """Whether a figure is good enough."""
        return figure <= self.most if self.most is not None else figure >= (self.least or 0.0)

    @property
    def text(self) -> str:
        """The bound in words."""
        return f"at most {self.most:g}" if self.most is not None else f"at least {self.least:g}"


_SERVICE = {"what": "service (HTTP), decided, stored and answered"}
_TRAIN = {"size": "published", "job": "train", "who": "lem"}
GOALS = (
    Goal("speed", "training at the published size, times the peer's faster backend", "ratio", _TRAIN, least=100),
    Goal(
        "speed", "nightly retrain, ten assets, two years of hours, s", "seconds", {"job": "nightly retrain"}, most=150
    ),
    Goal(
        "backfill", "PostgreSQL, wall time over the bare loop", "times_bare", {"who": "pipeline, PostgreSQL"}, most=1.3
    ),
    Goal("backfill", "SQLite, wall time over the bare loop", "times_bare", {"who": "pipeline, SQLite"}, most=1.6),
    Goal(
        "ingest",
        "CPU a row over the ccxt page loop",
        "times_loop_cpu",
        {"who": "lem, exchange"},
        most=1.6,
        inverse=True,
    ),
    Goal(
        "night",
        "a night of ten assets, closed bars to report, s",
        "seconds",
        {"what": "the night", "assets": 10, "steps": 800},
        most=240,
    ),
    Goal(
        "night",
        "peak memory of a night of 200 assets, MB",
        "peak_mb",
        {"what": "the night", "assets": 200},
        most=16_000,
    ),
    Goal("waiting", "lem status, CPU s", "cpu_seconds", {"what": "lem status -u sample"}, most=0.7),
    Goal("waiting", "lem models list, CPU s", "cpu_seconds", {"what": "lem models list"}, most=0.7),
    Goal("waiting", "lem advise list, CPU s", "cpu_seconds", {"what": "lem advise list -u sample"}, most=0.7),
    Goal("advise", "1,000 orders over HTTP, p50 over the model call", "ratio", _SERVICE | {"orders": 1_000}, most=3),
    Goal("advise", "the same, p99 over the model call", "p99_ratio", _SERVICE | {"orders": 1_000}, most=6),
    Goal("advise", "10,000 orders over 1,000, p50", "over_fewest", _SERVICE | {"orders": 10_000}, most=10),
    Goal("advise", "50 assets brought up to a bar, ms", "p50_ms", {"what": "50 assets brought up"}, most=150),
    Goal("advise", "read while a source hangs, p99, ms", "p99_ms", {"what": "read while a source hangs"}, most=50),
    Goal("advise", "cancel while a source hangs, p99, ms", "p99_ms", {"what": "cancel while a source hangs"}, most=50),
    Goal("waiting", "lem ui until the page answers, s", "seconds", {"what": "lem ui, until the page answers"}, most=10),
)


def summary(folder: Path, benchmarks: Sequence[str]) -> list[Row]:
    """A row for each goal, and one for each benchmark without any.

    Args:
        folder: with the JSON files of the benchmarks.
        benchmarks: by name, in the order of the rows.

    Raises:
        BenchmarkError: a file cannot be read.
    """
    rows: list[Row] = []
    for name in benchmarks:
        document, smoke = _document(folder, name)
        goals = [goal for goal in GOALS if goal.benchmark == name]
        run: Row = {"benchmark": name, "smoke": smoke, **{key: (document or {}).get(key) for key in ("date", "commit")}}
        for goal in goals:
            figure = goal.of(document["rows"]) if document else None
            rows.append(
                run | {"what": goal.what, "figure": figure, "goal": goal.text, "said": _said(goal, figure, run)}
            )
        if not goals:
            rows.append(run | {"what": "(no goal)", "said": _said(None, None, run)})
    return rows


def _said(goal: Goal | None, figure: float | None, run: Row) -> str:
    if run["date"] is None:
        return "not run"
    if run["smoke"]:
        return "smoke run"
    if goal is None:
        return "run"
    if figure is None:
        return "not measured"
    return "met" if goal.met(figure) else "SHORT"


def _document(folder: Path, name: str) -> tuple[dict[str, Any] | None, bool]:
    """What a benchmark has published last, the smoke run where there is no other, and whether it is one."""
    for path, smoke in ((folder / f"{name}.json", False), (folder / f"{name}-quick.json", True)):
        if path.is_file():
            try:
                document = json.loads(path.read_text(encoding="utf-8"))
                if isinstance(document["rows"], list):
                    return document, smoke
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise BenchmarkError(f"{path}: cannot be read: {error!r}; run the benchmark again") from error
            raise BenchmarkError(f"{path}: it has no rows; run the benchmark again")
    return None, False
