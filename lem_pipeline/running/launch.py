"""Runs through Dagster from the command line: same graph, same instance, same history as the UI.

Runs are executed in this process, one after the other: a run of one partition costs a second instead of six.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

import dagster as dg

from assets.run_names import REDECIDE
from lem.errors import LemError
from lem.universe import Universe
from lem_pipeline.planning.steps import PARTITIONS_TAG, SECONDS_TAG, TABLES_TAG, Step, partitions_of
from resources.dagster_internals import errors_of, interrupted, range_tags
from resources.interrupts import deaf_helpers
from resources.processes import this_process

RUN_PROCESS = ".dagster/lem/run_process"
"""Tag of a run that this process executes from its first moment to its last: who it is, for `lem reap`."""
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class RunError(LemError):
    """A run through Dagster failed; the message is the step's own."""


@dataclass(frozen=True)
class FailedCheck:
    """An asset check that did not pass.

    Args:
        text: which one, and why.
        warning: whether its severity is WARN.
    """

    text: str
    warning: bool


def failed_checks(result: dg.ExecuteInProcessResult) -> list[FailedCheck]:
    """Asset checks of a run that did not pass, with what they say or their details."""
    return not_passed(result.get_asset_check_evaluations())


def not_passed(evaluations: Iterable[dg.AssetCheckEvaluation]) -> list[FailedCheck]:
    """Those of the evaluations that did not pass."""
    return [
        FailedCheck(
            f"{e.asset_key.to_user_string()}:{e.check_name} {e.description or dict(e.metadata).get('details', '')}",
            e.severity == dg.AssetCheckSeverity.WARN,
        )
        for e in evaluations
        if not e.passed
    ]


def run_step(defs: dg.Definitions, instance: dg.DagsterInstance, universe: Universe, step: Step) -> list[FailedCheck]:
    """Execute one run; returns the checks that did not pass.

    Raises:
        RunError: a step failed; the message is the one the step gave.
        KeyboardInterrupt: the process was asked to stop (SIGINT or SIGTERM); the run is over.
    """
    keys = [dg.AssetKey([universe.name, table]) for table in step.tables]
    job = defs.get_repository_def().get_implicit_job_def_for_assets(keys)
    if job is None:
        raise RunError(
            f"{universe.name}: {', '.join(step.tables)} do not share their partitions: one run cannot make them"
        )
    tags = {
        "lem/universe": universe.name,
        RUN_PROCESS: this_process(),
        TABLES_TAG: json.dumps(step.tables),
        PARTITIONS_TAG: str(partitions_of(universe, step)),
    }
    if step.again:
        tags[REDECIDE] = "true"
    if step.first != step.last:
        tags |= range_tags(str(step.first), str(step.last))
    started = time.monotonic()
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    with deaf_helpers(instance):
        result = job.execute_in_process(
            run_config=QUIET,
            instance=instance,
            asset_selection=keys,
            partition_key=str(step.first) if step.first == step.last else None,
            tags=tags,
            raise_on_error=False,
        )
    if not result.success:
        if interrupted(result.all_events):
            raise KeyboardInterrupt
        raise RunError(reason(result.all_events, result.run_id))
    instance.add_run_tags(result.run_id, {SECONDS_TAG: f"{time.monotonic() - started:.2f}"})
    return failed_checks(result)


def reason(events: Iterable[dg.DagsterEvent], run_id: str, otherwise: str = "see its log in the UI (lem ui)") -> str:
    """The message of the error that stopped a run: the library's own where it is one of ours."""
    texts = [error.message.strip() for error in errors_of(events)]
    ours = [text for text in texts if text.startswith("lem.errors.") or text.startswith("lem.")]
    if ours:
        return ours[0].split(": ", 1)[1]
    return f"run {run_id} failed: {texts[-1] if texts else otherwise}"
