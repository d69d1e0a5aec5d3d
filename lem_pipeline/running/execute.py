"""Carrying out a plan: its runs one after the other, or on workers, with what they say on the terminal."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Sequence

import dagster as dg
from rich.markup import escape

from lem.lake import Lake
from lem.progress import showing
from lem.universe import Universe
from lem_pipeline.cli.options import console, stores
from lem_pipeline.planning.estimate import duration, measured_rates, seconds_of
from lem_pipeline.planning.revisits import readjust_steps, revised_steps, revisit_steps
from lem_pipeline.planning.steps import Step
from lem_pipeline.running.degraded import without_model
from lem_pipeline.running.home import instance
from lem_pipeline.running.launch import FailedCheck, RunError, run_step
from resources.settings import Settings


def run_steps(
    universe: Universe, steps: Sequence[Step], dagster: dg.DagsterInstance | None = None, on_workers: bool = False
) -> None:
    """Execute the steps, one after the other or on workers, and say how far they are.

    Where a model cannot be trained, the night goes on with the champion there is.

    Args:
        dagster: the instance that keeps the runs; that of this machine if it is left out.

    Raises:
        RunError: a step failed; those before it stay.
    """
    from lem_pipeline.build import build

    dagster, started = dagster or instance(), time.monotonic()
    if on_workers:
        _spread(dagster, universe, steps)
    else:
        defs, rates = build([universe]), measured_rates(dagster, universe)
        left = [seconds_of(universe, step, rates) for step in steps]
        with showing(console):
            for number, step in enumerate(steps, 1):
                remaining = duration(sum(left[number - 1 :]))
                console.print(f"[bold][{number}/{len(steps)}][/bold] {step.text}  (about {remaining} left)")
                _show_problems(_attempt(defs, dagster, universe, step))
    console.print(f"{len(steps)} {'steps' if on_workers else 'runs'} in {time.monotonic() - started:.0f} s")


def _attempt(defs: dg.Definitions, dagster: dg.DagsterInstance, universe: Universe, step: Step) -> list[FailedCheck]:
    try:
        return run_step(defs, dagster, universe, step)
    except RunError as error:
        told = without_model(stores()[1], universe, step, str(error))
        if told is None:
            raise
        return [told]


def _spread(dagster: dg.DagsterInstance, universe: Universe, steps: Sequence[Step]) -> None:
    try:
        from lem_pipeline.running.spread import run_on_workers
    except ImportError as error:
        raise RunError(f"{error}; for --on-workers install: pip install 'lem-pipeline[workers]'") from error

    def show(step: Step, left: int) -> None:
        console.print(f"{step.text}  [dim]({left} left)[/dim]")

    _show_problems(run_on_workers(dagster, universe, steps, stores()[1], show))


def _show_problems(problems: Iterable[FailedCheck]) -> None:
    for problem in problems:
        kind = "[yellow]warning:[/yellow]" if problem.warning else "[red]check failed:[/red]"
        console.print(f"  {kind} {escape(problem.text)}")


def readjust(
    universe: Universe,
    lake: Lake,
    today: dt.date,
    dagster: dg.DagsterInstance | None = None,
    on_workers: bool = False,
) -> None:
    """Fetch again the history of assets that the source has adjusted again: no part of it may stay on the old scale."""
    if steps := readjust_steps(lake, universe, Settings().data, today):
        console.print("The source has adjusted the history of some assets again: fetching all of it.")
        run_steps(universe, steps, dagster, on_workers)


def revisit(
    universe: Universe,
    lake: Lake,
    dates: list[dt.date],
    today: dt.date,
    dagster: dg.DagsterInstance | None = None,
    on_workers: bool = False,
) -> None:
    """Fetch again what the source may have revised, and validate again what it has."""
    if steps := revisit_steps(lake, universe, dates, today):
        console.print("Fetching the last days again: the source may have revised them.")
        run_steps(universe, steps, dagster, on_workers)
    if steps := revised_steps(lake, universe, dates):
        console.print("Validating revised bars again.")
        run_steps(universe, steps, dagster, on_workers)
