"""How long a plan takes, by what earlier runs took: so much a run, and so much a partition."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, linear_regression

import dagster as dg

from lem.lineage.stages import stage_named
from lem.universe import Universe
from lem_pipeline.planning.steps import PARTITIONS_TAG, SECONDS_TAG, TABLES_TAG, Step, partitions_of

RUN_SECONDS = 1.5
"""What a run costs before its first partition, where nothing has been measured."""
_RUNS = 100


@dataclass(frozen=True)
class Rate:
    """What runs of some tables take.

    Args:
        run: seconds of each run, whatever it makes.
        partition: seconds of each partition.
    """

    run: float
    partition: float


Rates = Mapping[tuple[str, ...], Rate]
"""By the tables that a run makes."""


def measured_rates(dagster: dg.DagsterInstance, universe: Universe) -> Rates:
    """What the universe's last successful runs took, by the tables that they made."""
    wanted = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS], tags={"lem/universe": universe.name})
    measured = defaultdict[tuple[str, ...], list[tuple[int, float]]](list)
    for run in dagster.get_runs(wanted, limit=_RUNS):
        if SECONDS_TAG in run.tags:
            tables = tuple(json.loads(run.tags[TABLES_TAG]))
            measured[tables].append((int(run.tags[PARTITIONS_TAG]), float(run.tags[SECONDS_TAG])))
    least = min((seconds for runs in measured.values() for _, seconds in runs), default=RUN_SECONDS)
    return {tables: fitted(runs, least) for tables, runs in measured.items()}


def fitted(runs: Sequence[tuple[int, float]], least: float) -> Rate:
    """The line through what runs took (least squares), without a negative part.

    Args:
        runs: partitions and seconds of each.
        least: seconds that a run takes at least; they tell what is fixed where all runs have made equally much.
    """
    counts, seconds = [count for count, _ in runs], [took for _, took in runs]
    count, took = fmean(counts), fmean(seconds)
    if len(set(counts)) > 1:
        slope, fixed = linear_regression(counts, seconds)
        if slope >= 0 and fixed >= 0:
            return Rate(fixed, slope)
        return Rate(took, 0.0) if slope < 0 else Rate(0.0, took / count)
    fixed = min(least, took)
    return Rate(fixed, (took - fixed) / count)


def seconds_of(universe: Universe, step: Step, rates: Rates) -> float:
    """Seconds that a run will take: as measured, or at the assumed rate."""
    count = partitions_of(universe, step)
    if step.tables in rates:
        return rates[step.tables].run + rates[step.tables].partition * count
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
