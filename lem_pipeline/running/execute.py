"""Carrying out a plan: its runs one after the other, or on workers, with what they say on the terminal."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from rich.markup import escape

from lem.lake import Lake
from lem.lineage.stages import data_tables
from lem.progress import showing
from lem.registry import Registry
from lem.universe import Universe
from lem_pipeline.planning.estimate import duration, measured_rates, seconds_of
from lem_pipeline.planning.plan import judged_again_steps
from lem_pipeline.planning.revisits import outdated_steps, readjust_steps, refetch_steps, revisit_steps
from lem_pipeline.planning.steps import Step
from lem_pipeline.running.degraded import without_model
from lem_pipeline.running.home import instance
from lem_pipeline.running.launch import FailedCheck, RunError, run_step
from lem_pipeline.running.turns import Turns
from resources.settings import Settings
from resources.terminal import console


@dataclass(frozen=True)
class Runner:
    """What the runs of a universe's plans are carried out with.

    Args:
        universe: whose plans they are.
        defs: the definitions that runs in this process execute.
        lake: the one that the runs read and write.
        registry: the one that the runs read and write.
        data: what `{data}` in the universe file stands for; that of the settings if it is empty.
        dagster: the instance that keeps the runs; that of this machine if it is left out.
        workers: module of the definitions that workers load, where they execute the runs; empty for this process.
    """

    universe: Universe
    defs: dg.Definitions
    lake: Lake
    registry: Registry
    data: str = ""
    dagster: dg.DagsterInstance | None = None
    workers: str = ""


def run_steps(runner: Runner, steps: Sequence[Step], keep: bool = True) -> None:
    """Execute the steps, one after the other or on workers, and say how far they are.

    Where a model cannot be trained, the night goes on with the champion there is. What a run of somebody else has in
    hand is waited for.

    Args:
        runner: what they are carried out with.
        steps: in the order of the plan.
        keep: whether what others make in the meantime is left alone.

    Raises:
        RunError: a step failed; those before it stay.
    """
    dagster, started = runner.dagster or instance(), time.monotonic()
    if runner.workers:
        _spread(runner, dagster, steps)
    else:
        turns = Turns(dagster, runner.universe, keep)
        rates = measured_rates(dagster, runner.universe)
        left = [seconds_of(runner.universe, step, rates) for step in steps]
        with showing(console):
            for number, step in enumerate(steps, 1):
                remaining = duration(sum(left[number - 1 :]))
                console.print(f"[bold][{number}/{len(steps)}][/bold] {step.text}  (about {remaining} left)")
                for part in turns.wait(step):
                    _show_problems(_attempt(runner, dagster, part))
                    turns.done(part)
    console.print(f"{len(steps)} {'steps' if runner.workers else 'runs'} in {time.monotonic() - started:.0f} s")


def _attempt(runner: Runner, dagster: dg.DagsterInstance, step: Step) -> list[FailedCheck]:
    try:
        return run_step(runner.defs, dagster, runner.universe, step)
    except RunError as error:
        told = without_model(runner.registry, runner.universe, step, str(error))
        if told is None:
            raise
        return [told]


def _spread(runner: Runner, dagster: dg.DagsterInstance, steps: Sequence[Step]) -> None:
    try:
        from lem_pipeline.running.spread import run_on_workers
    except ImportError as error:
        raise RunError(f"{error}; for --on-workers install: pip install 'lem-pipeline[workers]'") from error

    def show(step: Step, left: int) -> None:
        console.print(f"{step.text}  [dim]({left} left)[/dim]")

    _show_problems(run_on_workers(dagster, runner.workers, runner.universe, steps, runner.registry, show))


def _show_problems(problems: Iterable[FailedCheck]) -> None:
    for problem in problems:
        kind = "[yellow]warning:[/yellow]" if problem.warning else "[red]check failed:[/red]"
        console.print(f"  {kind} {escape(problem.text)}")


def readjust(runner: Runner, today: dt.date) -> None:
    """Fetch again the history of assets that the source has adjusted again: no part of it may stay on the old scale."""
    if steps := readjust_steps(runner.lake, runner.universe, runner.data or Settings().data, today):
        console.print("The source has adjusted the history of some assets again: fetching all of it.")
        run_steps(runner, steps)


def refetch(runner: Runner, data: Mapping[str, list[dt.date]]) -> None:
    """Fetch again what is stored from another source than the universe names.

    Args:
        runner: what the runs are carried out with.
        data: dates by table (`lem_pipeline.planning.dates.data_dates`).

    Raises:
        SourceError: new days would stand beside stored ones of another source.
    """
    if steps := refetch_steps(runner.lake, runner.universe, data["raw_bars"]):
        console.print("The source or the names of assets have changed: fetching again what is stored from another one.")
        run_steps(runner, steps)


def revisit(runner: Runner, data: Mapping[str, list[dt.date]], today: dt.date) -> None:
    """Fetch again what the source may have revised, then make again, stage by stage, what is out of date.

    Args:
        runner: what the runs are carried out with.
        data: dates by table (`lem_pipeline.planning.dates.data_dates`).
        today: UTC.
    """
    if steps := revisit_steps(runner.lake, runner.universe, data["raw_bars"], today):
        console.print("Fetching the last days again: the source may have revised them.")
        run_steps(runner, steps)
    for stage in data_tables():
        if steps := outdated_steps(runner.lake, runner.universe, stage, data[stage.name]):
            console.print(f"Making {stage.name} again: what they are made from has changed, or their code.")
            run_steps(runner, steps)


def judge_again(runner: Runner, dates: Sequence[dt.date]) -> None:
    """Make again the backtests that are out of date by what the runs before have made.

    Before these runs nobody knew: with `--force` a source is asked again, and may have revised its bars.

    Args:
        runner: what the runs are carried out with.
        dates: whose backtests are looked at.
    """
    if steps := judged_again_steps(runner.lake, runner.registry, runner.universe, dates):
        console.print("Making backtests again: what they are made from has changed.")
        run_steps(runner, steps)
