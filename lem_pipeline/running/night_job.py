"""The night as one button: a job that makes all that is missing up to today, and the schedule that starts it.

Assets with different partitions cannot share a Dagster job. The job therefore holds one op, which makes the night: one
run a stage for the data, one a date for models, each with its history and lineage.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

import datetime as dt
from collections.abc import Callable, Mapping
from functools import partial

import dagster as dg

from assets.failing import told
from assets.resource_names import prefixed
from lem.alerts.store import AlertStore
from lem.universe import Universe
from lem_pipeline.running.execute import Runner
from lem_pipeline.running.told_night import told_night
from resources.stores import LakeResource, RegistryResource, SourceResource

Resources = Mapping[str, dg.ConfigurableResource]
"""By the name under which assets and ops ask for them."""


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def night_job_of(
    universe: Universe, runnable: Callable[[Resources], dg.Definitions], prefix: str = ""
) -> dg.Definitions:
    """The job and its schedule: off until it is turned on, as one of the two ways to make the night is enough.

    Args:
        universe: whose night it is.
        runnable: the definitions with the universe's graph, for runs with the resources that the night was given.
        prefix: of the names of its resources.
    """
    night = universe.night_begins
    what = (
        f"Everything of {universe.name} that is missing up to today: one run a stage for data, one a date for models. "
        "Skips what is there, so it can be started at any time and again."
    )

    @dg.op(name=f"{universe.name}_make_night", description=what, pool=f"{universe.name}_night", out=dg.Out(int))
    @partial(prefixed, prefix=prefix)
    @told
    def make(
        context: dg.OpExecutionContext, lake: LakeResource, registry: RegistryResource, source: SourceResource
    ) -> int:
        defs = runnable({"lake": lake, "registry": registry, "source": source})
        runner = Runner(universe, defs, lake.open(), registry.open(), source.data, context.instance)
        ended = told_night(runner, AlertStore(registry.location()), _today())
        for text in ended.unsent:
            context.log.error(text)
        context.log.info(f"{ended.made} runs")
        return ended.made

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
