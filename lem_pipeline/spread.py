"""The runs of a plan on workers: those that do not need each other at the same time, through Dagster's run launcher.

The grain is a run. Data stages and backtests become one run for each asset, since an asset's partitions read no other
asset's; models of different dates are trained at the same time; decisions follow each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from assets.recording import DEFER_EVENTS
from lem.tables import PER_ASSET
from lem.universe import Universe
from lem_pipeline.launch import FailedCheck, RunError, not_passed, reason
from lem_pipeline.run_queue import QueueLauncher
from lem_pipeline.steps import Step

POLL = 0.5
"""Seconds between two looks at the runs that are under way."""
LOST = 60.0
"""Seconds after which a run is given up that is not in the queue and that no worker executes: its worker died with it
in its hands."""


def stages(universe: Universe, steps: Sequence[Step]) -> list[list[Step]]:
    """The steps in groups: those of a group can run at the same time, a group needs the ones before it."""
    groups: list[list[Step]] = []
    models = [step for step in steps if step.tables == ("lem_model",)]
    for step in steps:
        if step.tables == ("lem_model",):
            if step is models[0]:  # none of them needs a decision, which the plan has in between
                groups.append(models)
            continue
        parts = _by_asset(universe, step)
        if groups and groups[-1][0].tables == step.tables and step.tables != ("champion",):
            groups[-1] += parts
        else:
            groups.append(parts)
    return groups


def _by_asset(universe: Universe, step: Step) -> list[Step]:
    if step.tables[0] not in PER_ASSET:
        return [step]
    (first, start), (last, end) = step.first.split("|"), step.last.split("|")
    symbols = universe.symbols[universe.symbols.index(first) : universe.symbols.index(last) + 1]
    return [Step(step.tables, f"{symbol}|{start}", f"{symbol}|{end}") for symbol in symbols]


def run_on_workers(
    instance: dg.DagsterInstance, universe: Universe, steps: Sequence[Step], on_end: Callable[[Step, int], None]
) -> list[FailedCheck]:
    """Execute the steps on whatever workers there are; returns the checks that did not pass.

    Args:
        on_end: called with each step that has succeeded and the number of those that have not ended yet.

    Raises:
        RunError: this instance has no workers; or a run failed or lost its worker: the others of its group have ended
            then, and nothing after it was begun.
    """
    launcher = instance.run_launcher
    if not isinstance(launcher, QueueLauncher):
        raise RunError(
            f"this Dagster instance starts runs with {type(launcher).__name__}, on this machine; allowed: "
            "lem_pipeline.run_queue.QueueLauncher in dagster.yaml, as in deploy/many-machines"
        )
    repository = ReconstructableRepository.for_module("lem_pipeline.definitions", "defs")
    groups, problems = stages(universe, steps), list[FailedCheck]()
    left = sum(map(len, groups))
    for group in groups:
        waiting = {_launch(instance, repository, universe, step): step for step in group}
        failed, idle_since = list[str](), dict[str, float]()
        while waiting:
            for run_id in [run_id for run_id in waiting if _ended(instance, launcher, run_id, idle_since)]:
                step, left = waiting.pop(run_id), left - 1
                run = instance.get_run_by_id(run_id)
                if run is not None and run.is_success:
                    problems += _failed_checks(instance, run_id)
                    on_end(step, left)
                else:
                    failed.append(f"{step.text}: {_why(instance, run_id)}")
            time.sleep(POLL if waiting else 0)
        if failed:
            raise RunError("; ".join(failed))
    return problems


def _launch(instance: dg.DagsterInstance, repository: ReconstructableRepository, universe: Universe, step: Step) -> str:
    keys = {dg.AssetKey([universe.name, table]) for table in step.tables}
    job = repository.get_definition().get_implicit_job_def_for_assets(list(keys))
    if job is None:
        raise RunError(
            f"{universe.name}: {', '.join(step.tables)} are not in the definitions, or do not share their partitions"
        )
    tags = {"lem/universe": universe.name}
    if step.first == step.last:
        tags |= job.get_tags_for_partition_key(step.first, keys)
    else:
        tags |= {
            ASSET_PARTITION_RANGE_START_TAG: step.first,
            ASSET_PARTITION_RANGE_END_TAG: step.last,
            DEFER_EVENTS: "true",
        }
    run = instance.create_run_for_job(
        job.get_subset(asset_selection=keys),
        tags=tags,
        asset_selection=keys,
        job_code_origin=repository.get_reconstructable_job(job.name).get_python_origin(),
    )
    return instance.launch_run(run.run_id, None).run_id  # type: ignore[arg-type]  # the queue needs no workspace


def _ended(instance: dg.DagsterInstance, launcher: QueueLauncher, run_id: str, idle_since: dict[str, float]) -> bool:
    """Whether the run has ended; one that has lost its worker is ended here.

    Args:
        idle_since: when a run was first seen that neither the queue nor a worker had; a worker that has just taken it
            needs a moment.
    """
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return True
    if launcher.locks.held(run_id) or (run.status != dg.DagsterRunStatus.STARTED and launcher.queued()):
        idle_since.pop(run_id, None)
        return False
    grace = 0.0 if run.status == dg.DagsterRunStatus.STARTED else LOST
    if time.monotonic() - idle_since.setdefault(run_id, time.monotonic()) < grace:
        return False
    again = instance.get_run_by_id(run_id)  # it may have ended between the two looks
    if again is not None and not again.is_finished:
        instance.report_run_failed(again, launcher.check_run_worker_health(again).msg)
    return True


def _failed_checks(instance: dg.DagsterInstance, run_id: str) -> list[FailedCheck]:
    events = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    return not_passed(e.dagster_event.asset_check_evaluation_data for e in events if e.dagster_event)


def _why(instance: dg.DagsterInstance, run_id: str) -> str:
    events = [entry.dagster_event for entry in instance.all_logs(run_id) if entry.dagster_event]
    said = [event.message for event in events if event.is_failure and event.message]
    return reason(events, run_id, said[-1] if said else "it was deleted or cancelled")
