"""The runs of a plan on workers, through Dagster's run launcher. Runs that do not need each other go at the same time.

The grain is a run. Data stages and backtests become one run for each asset, since an asset's partitions read no other
asset's; models of different dates are trained at the same time; decisions follow each other.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import dagster as dg

from assets.run_names import REDECIDE
from lem.lineage.keys import PartitionKey
from lem.lineage.stages import DECISION as DECIDING
from lem.registry import Registry
from lem.universe import Universe
from lem_pipeline.planning.steps import Step, symbols_of
from lem_pipeline.run_queue import QueueLauncher
from lem_pipeline.running.degraded import TRAINING, without_model
from lem_pipeline.running.launch import FailedCheck, RunError, not_passed, reason
from resources.dagster_internals import interrupted, launch_on_workers

DECISION = (DECIDING,)
"""Tables of a step that decides which model trades."""
POLL = 0.5
"""Seconds between two looks at the runs that are under way."""
LOST = 60.0
"""Seconds after which a run is given up that is not in the queue and that no worker executes: its worker died with it
in its hands."""


def stages(universe: Universe, steps: Sequence[Step]) -> list[list[Step]]:
    """The steps in groups. Those of a group can run at the same time; a group needs the groups before it."""
    groups: list[list[Step]] = []
    models = [step for step in steps if step.tables == TRAINING]
    for step in steps:
        if step.tables == TRAINING:
            if step is models[0]:  # none of them needs a decision, which the plan has in between
                groups.append(models)
            continue
        parts = _by_asset(universe, step)
        if groups and groups[-1][0].tables == step.tables and step.tables != DECISION:
            groups[-1] += parts
        else:
            groups.append(parts)
    return groups


def _by_asset(universe: Universe, step: Step) -> list[Step]:
    start, end = step.first.date, step.last.date
    symbols = symbols_of(universe, step)
    return [replace(step, first=PartitionKey(symbol, start), last=PartitionKey(symbol, end)) for symbol in symbols]


@dataclass(frozen=True)
class Failed:
    """A run that did not succeed.

    Args:
        step: of the plan.
        why: it did not succeed.
        lost: no step failed by itself; the run was cancelled, or its worker died or was stopped.
    """

    step: Step
    why: str
    lost: bool


RunGroup = Callable[[Sequence[Step]], tuple[list[FailedCheck], list[Failed]]]
"""Executes steps at the same time: the checks that did not pass, and the runs that did not succeed."""


def run_on_workers(
    instance: dg.DagsterInstance,
    definitions: str,
    universe: Universe,
    steps: Sequence[Step],
    registry: Registry,
    on_end: Callable[[Step, int], None],
) -> list[FailedCheck]:
    """Execute the steps on whatever workers there are; returns the checks that did not pass.

    Args:
        instance: keeps the runs; its launcher puts them into the queue.
        definitions: module of the definitions that the workers load.
        universe: whose steps they are.
        steps: in the order of the plan.
        registry: of the workers; tells whether a night goes on without a model that could not be trained.
        on_end: called with each step that has succeeded and the number of those that have not ended yet.

    Raises:
        RunError: this instance has no workers, or a run failed or lost its worker. The other runs of its group have
            ended then, and no later group was begun.
    """
    launcher = instance.run_launcher
    if not isinstance(launcher, QueueLauncher):
        raise RunError(
            f"this Dagster instance starts runs with {type(launcher).__name__}, on this machine; allowed: "
            "lem_pipeline.run_queue.QueueLauncher in dagster.yaml, as in deploy/many-machines"
        )
    groups = stages(universe, steps)
    queued = _queued(instance, launcher, definitions, universe, sum(map(len, groups)), on_end)
    return run_groups(groups, universe, registry, queued)


def run_groups(
    groups: Sequence[Sequence[Step]], universe: Universe, registry: Registry, run_group: RunGroup
) -> list[FailedCheck]:
    """Execute groups of steps one after the other; returns the checks that did not pass.

    A model that cannot be trained does not end a night on which another one trades (`lem_pipeline.running.degraded`).
    All models are trained before the first decision. So whether another one trades is asked only when the decision
    about the model comes.

    Raises:
        RunError: a run failed, and without it nothing can go on.
    """
    problems, untrained = list[FailedCheck](), dict[dt.date, Failed]()
    for group in groups:
        for date in sorted(untrained if group[0].tables == DECISION else ()):
            if date <= group[0].last.date:
                failure = untrained.pop(date)
                told = without_model(registry, universe, failure.step, failure.why)
                if told is None:
                    raise RunError(_text([failure]))
                problems.append(told)
        found, failed = run_group(group)
        problems += found
        if any(failure.lost or failure.step.tables != TRAINING for failure in failed):
            raise RunError(_text(failed))
        untrained |= {failure.step.first.date: failure for failure in failed}
    if untrained:
        raise RunError(_text(untrained.values()))
    return problems


def _text(failed: Iterable[Failed]) -> str:
    return "; ".join(f"{failure.step.text}: {failure.why}" for failure in failed)


def _queued(
    instance: dg.DagsterInstance,
    launcher: QueueLauncher,
    definitions: str,
    universe: Universe,
    left: int,
    on_end: Callable[[Step, int], None],
) -> RunGroup:
    """What puts the runs of a group into the queue and waits until all of them have ended.

    Args:
        instance: keeps the runs.
        launcher: puts them into the queue.
        definitions: module of the definitions that the workers load.
        universe: whose steps they are.
        left: how many runs all groups have together.
        on_end: called with each step that has succeeded and the number of those that have not ended yet.
    """

    def run_group(group: Sequence[Step]) -> tuple[list[FailedCheck], list[Failed]]:
        nonlocal left
        waiting = {_launch(instance, definitions, universe, step): step for step in group}
        problems, failed, idle_since = list[FailedCheck](), list[Failed](), dict[str, float]()
        while waiting:
            for run_id in _ended(instance, launcher, list(waiting), idle_since):
                step, left = waiting.pop(run_id), left - 1
                run = instance.get_run_by_id(run_id)
                if run is not None and run.is_success:
                    problems += _failed_checks(instance, run_id)
                    on_end(step, left)
                else:
                    failed.append(_failed(instance, run_id, step))
            time.sleep(POLL if waiting else 0)
        return problems, failed

    return run_group


def _launch(instance: dg.DagsterInstance, definitions: str, universe: Universe, step: Step) -> str:
    keys, tags = {dg.AssetKey([universe.name, table]) for table in step.tables}, {"lem/universe": universe.name}
    tags |= {REDECIDE: "true"} if step.again else {}
    run_id = launch_on_workers(instance, definitions, keys, str(step.first), str(step.last), tags)
    if run_id is None:
        raise RunError(
            f"{universe.name}: {', '.join(step.tables)} are not in the definitions, or do not share their partitions"
        )
    return run_id


def _ended(
    instance: dg.DagsterInstance, launcher: QueueLauncher, run_ids: Sequence[str], idle_since: dict[str, float]
) -> list[str]:
    """The runs among these that have ended; those that have lost their workers are ended here.

    All are looked at with one question each to Dagster's storage and to the queue, however many they are. Who executes
    a run is asked for those alone that a worker must have.

    Args:
        instance: keeps the runs.
        launcher: knows which runs are queued or executed.
        run_ids: of the runs.
        idle_since: when a run was first seen that neither the queue nor a worker had; a worker that has just taken it
            needs a moment.
    """
    queued = launcher.queued()  # before the runs are read: what leaves the queue in between is seen as it is then
    runs = {run.run_id: run for run in instance.get_runs(dg.RunsFilter(run_ids=list(run_ids)))}
    return [run_id for run_id in run_ids if _is_over(instance, launcher, runs.get(run_id), queued, idle_since)]


def _is_over(
    instance: dg.DagsterInstance,
    launcher: QueueLauncher,
    run: dg.DagsterRun | None,
    queued: int,
    idle_since: dict[str, float],
) -> bool:
    if run is None or run.is_finished:
        return True
    has_begun = run.status == dg.DagsterRunStatus.STARTED
    if (queued and not has_begun) or launcher.locks.held(run.run_id):
        idle_since.pop(run.run_id, None)
        return False
    grace = 0.0 if has_begun else LOST
    if time.monotonic() - idle_since.setdefault(run.run_id, time.monotonic()) < grace:
        return False
    again = instance.get_run_by_id(run.run_id)  # it may have ended between the two looks
    if again is not None and not again.is_finished:
        instance.report_run_failed(again, launcher.check_run_worker_health(again).msg)
    return True


def _failed_checks(instance: dg.DagsterInstance, run_id: str) -> list[FailedCheck]:
    events = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    return not_passed(e.dagster_event.asset_check_evaluation_data for e in events if e.dagster_event)


def _failed(instance: dg.DagsterInstance, run_id: str, step: Step) -> Failed:
    events = [entry.dagster_event for entry in instance.all_logs(run_id) if entry.dagster_event]
    said = [event.message for event in events if event.is_failure and event.message]
    why = reason(events, run_id, said[-1] if said else "it was deleted or cancelled")
    return Failed(step, why, lost=interrupted(events) or not any(event.is_step_failure for event in events))
