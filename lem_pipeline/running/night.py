"""The night as one button: a job that makes all that is missing up to today, and the schedule that starts it.

Assets with different partitions cannot share a Dagster job. The job therefore holds one op, which plans the night as
`lem run` does and executes it: one run a stage for the data, one a date for models, each with its history and lineage.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

import dataclasses
import datetime as dt

import dagster as dg

from lem.errors import UniverseError
from lem.lake import Lake
from lem.registry import Registry
from lem.universe import Universe
from lem.universe.calendars import offset_partition, partition_dates
from lem.universe.windows import is_training_date
from lem_pipeline.planning.dates import Dates, data_dates, dates_for, last_data_date, latest_report_date
from lem_pipeline.planning.plan import data_steps, report_steps


def night_dates(universe: Universe, today: dt.date) -> Dates:
    """The dates of the latest possible report, with the models and decisions up to the partition after the last data.

    Raises:
        UniverseError: the universe has no report yet.
    """
    dates = dates_for(universe, latest_report_date(universe, today), today)
    after = offset_partition(universe, last_data_date(universe, today), 1)
    decisions = partition_dates(universe, dates.decisions[0], after)
    training = [date for date in decisions if is_training_date(universe, date)]
    return dataclasses.replace(dates, decisions=decisions, training=training)


def make_night(
    universe: Universe, lake: Lake, registry: Registry, today: dt.date, dagster: dg.DagsterInstance | None = None
) -> int:
    """Make what is missing: data up to yesterday, the model and the decision for today, backtests and the report.

    Where the universe is too young for a report, its data.

    Args:
        dagster: the instance that keeps the runs; that of this machine if it is left out.

    Returns:
        How many runs were made, those not counted that look for revisions.

    Raises:
        RunError: a run failed; those before it stay, and the next night goes on from there.
        UniverseError: the universe has no data yet.
    """
    from lem_pipeline.running.execute import readjust, revisit, run_steps

    readjust(universe, lake, today, dagster)
    try:
        dates: Dates | None = night_dates(universe, today)
    except UniverseError:
        dates = None
    data = dates.data if dates else data_dates(universe, universe.start, last_data_date(universe, today))
    revisit(universe, lake, data["raw_bars"], today, dagster)
    if dates:
        steps = report_steps(lake, registry, universe, dates, force=False)
    else:
        steps = data_steps(lake, universe, data, force=False)
    if steps:
        run_steps(universe, steps, dagster)
    return len(steps)


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def night_of(universe: Universe) -> dg.Definitions:
    """The job and its schedule: off until it is turned on, as one of the two ways to make the night is enough."""
    night = universe.night_begins
    what = (
        f"Everything of {universe.name} that is missing up to today: one run a stage for data, one a date for models. "
        "Skips what is there, so it can be started at any time and again."
    )

    @dg.op(name=f"{universe.name}_make_night", description=what, pool=f"{universe.name}_night", out=dg.Out(int))
    def make(context: dg.OpExecutionContext) -> int:
        from lem_pipeline.cli.options import stores

        made = make_night(universe, *stores(), _today(), context.instance)
        context.log.info(f"{made} runs")
        return made

    @dg.job(name=f"{universe.name}_night", description=what, tags={"lem/universe": universe.name})
    def job() -> None:
        make()

    schedule = dg.ScheduleDefinition(
        name=f"{universe.name}_night_schedule",
        job=job,
        cron_schedule=night.cron,
        execution_timezone=night.time_zone,
        description=(
            "One button instead of the automation: starts the whole night at a fixed hour and stops at the first "
            "failure; the next night goes on from there. Turn on this or the automation, not both."
        ),
    )
    return dg.Definitions(jobs=[job], schedules=[schedule])
