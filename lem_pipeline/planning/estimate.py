"""How long a plan takes: partitions of each run, times the seconds that earlier runs took for one."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence

import dagster as dg

from lem.lineage.stages import stage_named
from lem.universe import Universe
from lem_pipeline.planning.steps import PARTITIONS_TAG, TABLES_TAG, Step, partitions_of

RUN_SECONDS = 1.5
"""What a run costs before its first partition, where nothing has been measured."""
_RUNS = 100

Rates = dict[tuple[str, ...], float]


def measured_rates(dagster: dg.DagsterInstance, universe: Universe) -> Rates:
    """Seconds a partition in the universe's last successful runs, by the tables that they made."""
    wanted = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS], tags={"lem/universe": universe.name})
    seconds, partitions = defaultdict[tuple[str, ...], float](float), defaultdict[tuple[str, ...], int](int)
    for record in dagster.get_run_records(wanted, limit=_RUNS):
        tags = record.dagster_run.tags
        if record.start_time and record.end_time and PARTITIONS_TAG in tags:
            tables = tuple(json.loads(tags[TABLES_TAG]))
            seconds[tables] += record.end_time - record.start_time
            partitions[tables] += int(tags[PARTITIONS_TAG])
    return {tables: seconds[tables] / count for tables, count in partitions.items()}


def seconds_of(universe: Universe, step: Step, rates: Rates) -> float:
    """Seconds that a run will take: at the measured rate, or at the assumed one."""
    count = partitions_of(universe, step)
    if step.tables in rates:
        return rates[step.tables] * count
    return RUN_SECONDS + sum(stage_named(table).seconds for table in step.tables) * count / len(step.tables)


def duration(seconds: float) -> str:
    """`45 s`, `3 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def foretold(universe: Universe, steps: Sequence[Step], rates: Rates) -> str:
    """`4 runs to do, 730 partitions, about 3 min (at the rates of earlier runs)`."""
    count = sum(partitions_of(universe, step) for step in steps)
    seconds = sum(seconds_of(universe, step, rates) for step in steps)
    known = sum(step.tables in rates for step in steps)
    basis = {0: "at assumed rates: nothing has been measured yet", len(steps): "at the rates of earlier runs"}
    return (
        f"{len(steps)} runs to do, {count} partitions, about {duration(seconds)} "
        f"({basis.get(known, 'at the rates of earlier runs where there are some')})"
    )
