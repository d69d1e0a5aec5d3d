"""The night: all that is missing up to today, planned as `lem run` does and carried out run by run."""

from __future__ import annotations

import dataclasses
import datetime as dt

from rich.markup import escape

from lem.errors import UniverseError
from lem.universe import Universe
from lem.universe.calendars import offset_partition, partition_dates
from lem.universe.windows import is_training_date
from lem_pipeline.planning.dates import Dates, data_dates, dates_for, last_data_date, latest_report_date
from lem_pipeline.planning.plan import data_steps, report_steps
from lem_pipeline.planning.redecide import redecided, told
from lem_pipeline.running.execute import Runner, readjust, refetch, revisit, run_steps
from resources.terminal import console


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


def make_night(runner: Runner, today: dt.date, redecide: bool = False) -> int:
    """Make what is missing: data up to yesterday, the model and the decision for today, backtests and the report.

    Where the universe is too young for a report, only its data is made.

    Args:
        runner: what the runs are carried out with.
        today: UTC.
        redecide: whether what was decided is decided again.

    Returns:
        How many runs were made, without those that look for revisions.

    Raises:
        RunError: a run failed; those before it stay, and the next night goes on from there.
        UniverseError: the universe has no data yet.
    """
    universe = runner.universe
    try:
        dates: Dates | None = night_dates(universe, today)
    except UniverseError:
        dates = None
    if dates and redecide:
        dates = redecided(runner.lake, runner.registry, universe, dates)
        for line in told(runner.registry, universe, dates):
            console.print(escape(line))
    data = dates.data if dates else data_dates(universe, universe.start, last_data_date(universe, today))
    refetch(runner, data)
    readjust(runner, today)
    revisit(runner, data, today)
    if dates:
        steps = report_steps(runner.lake, runner.registry, universe, dates, force=False)
    else:
        steps = data_steps(runner.lake, universe, data, force=False)
    if steps:
        run_steps(runner, steps)
    return len(steps)
