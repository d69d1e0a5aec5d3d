"""Carrying out a plan: its runs one after the other, with what they say on the terminal."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence

import dagster as dg
from rich.markup import escape

from lem.lake import Lake
from lem.progress import showing
from lem.universe import Universe
from lem_pipeline.estimate import duration, measured_rates, seconds_of
from lem_pipeline.home import instance
from lem_pipeline.launch import Step, run_step
from lem_pipeline.options import console
from lem_pipeline.plan import readjust_steps, revised_steps, revisit_steps
from resources.settings import Settings


def run_steps(universe: Universe, steps: Sequence[Step], dagster: dg.DagsterInstance | None = None) -> None:
    """Execute the steps one after the other and say how far they are.

    Args:
        dagster: the instance that keeps the runs; that of this machine if it is left out.

    Raises:
        RunError: a step failed; those before it stay.
    """
    from lem_pipeline.build import build

    defs, dagster, started = build([universe]), dagster or instance(), time.monotonic()
    rates = measured_rates(dagster, universe)
    left = [seconds_of(universe, step, rates) for step in steps]
    with showing(console):
        for number, step in enumerate(steps, 1):
            remaining = duration(sum(left[number - 1 :]))
            console.print(f"[bold][{number}/{len(steps)}][/bold] {step.text}  (about {remaining} left)")
            for problem in run_step(defs, dagster, universe, step):
                kind = "[yellow]warning:[/yellow]" if problem.warning else "[red]check failed:[/red]"
                console.print(f"  {kind} {escape(problem.text)}")
    console.print(f"{len(steps)} runs in {time.monotonic() - started:.0f} s")


def readjust(universe: Universe, lake: Lake, today: dt.date, dagster: dg.DagsterInstance | None = None) -> None:
    """Fetch again the history of assets that the source has adjusted again: no part of it may stay on the old scale."""
    if steps := readjust_steps(lake, universe, Settings().data, today):
        console.print("The source has adjusted the history of some assets again: fetching all of it.")
        run_steps(universe, steps, dagster)


def revisit(
    universe: Universe, lake: Lake, dates: list[dt.date], today: dt.date, dagster: dg.DagsterInstance | None = None
) -> None:
    """Fetch again what the source may have revised, and validate again what it has."""
    if steps := revisit_steps(lake, universe, dates, today):
        console.print("Fetching the last days again: the source may have revised them.")
        run_steps(universe, steps, dagster)
    if steps := revised_steps(lake, universe, dates):
        console.print("Validating revised bars again.")
        run_steps(universe, steps, dagster)
