"""What Dagster leaves behind after everything was killed: runs that are STARTED for ever, pool slots, backfills.

A run is dead for sure when the process that executed it is known and gone: every run is tagged with its process
(`resources.stores`), and with the in-process executor that is the one Dagster's log names. Of any other run (another
machine, another executor, killed before it had begun) nobody here can tell. It counts as dead when nothing was heard of
it for longer than the user says.
"""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import dagster as dg

from lem.errors import LemError
from lem.lake.files import leftovers
from lem_pipeline.running.launch import RUN_PROCESS
from resources.dagster_internals import end_backfill, executors, free_slots, last_heard, open_backfills, runs_with_slots
from resources.processes import is_running, pid_of
from resources.stores import PROCESS_TAG

_IN_PROGRESS = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_UNITS = {"m": 60, "h": 3600, "d": 86400}
LEFTOVER_S = 3600


class ReapError(LemError):
    """The text that was given is no age."""


@dataclass(frozen=True)
class Finding:
    """Something that looks dead.

    Args:
        what: it is.
        why: it looks dead.
        clear: what clears it; None where nobody can tell that it is dead.
        state: its state now, in one word.
        cleared: its state after `clear`, in one word.
    """

    what: str
    why: str
    clear: Callable[[], object] | None
    state: str = "dead"
    cleared: str = "cleared"


def age(text: str) -> float:
    """Seconds of an age such as 90m, 6h or 2d.

    Raises:
        ReapError: the text is no age.
    """
    if not (match := re.fullmatch(r"(\d+)([mhd])", text)) or int(match[1]) == 0:
        raise ReapError(f"age {text!r} is none; allowed: minutes, hours or days as in 90m, 6h or 2d")
    return int(match[1]) * _UNITS[match[2]]


def findings(
    instance: dg.DagsterInstance,
    lake: Path | None,
    older_than_s: float | None,
    unrecorded: Callable[[set[str]], Iterable[Finding]] = lambda dead: (),
) -> Iterator[Finding]:
    """What is dead, in the order in which it has to be cleared.

    Args:
        instance: whose runs, pool slots and backfills are looked at.
        lake: folder of the lake; None where it is not on this machine.
        older_than_s: what nothing was heard of for longer is dead too (seconds); None where silence proves nothing.
        unrecorded: finds what runs wrote and did not live to record, given the ids of the runs that are dead.
    """
    dead = set()
    for record in instance.get_run_records(dg.RunsFilter(statuses=_IN_PROGRESS), ascending=True):
        found = _run(instance, record.dagster_run, record.create_timestamp.timestamp(), older_than_s)
        if found and found.clear:
            dead.add(record.dagster_run.run_id)
        if found:
            yield found
    yield from _slots(instance, dead)
    yield from unrecorded(dead)
    if older_than_s is not None:
        yield from _backfills(instance, dead, older_than_s)
    if lake and lake.is_dir():
        for path in leftovers(lake, max(older_than_s or 0, LEFTOVER_S)):
            yield Finding(f"temporary file {path}", "its writer was killed", partial(path.unlink, missing_ok=True))


def alive(instance: dg.DagsterInstance, dead: Container[str]) -> list[dg.DagsterRun]:
    """The runs in progress that are not known to be dead."""
    runs = instance.get_runs(dg.RunsFilter(statuses=_IN_PROGRESS))
    return [run for run in runs if run.run_id not in dead]


def _run(
    instance: dg.DagsterInstance, run: dg.DagsterRun, created: float, older_than_s: float | None
) -> Finding | None:
    what = f"run {run.run_id} ({run.status.value}, {_named(run)})"
    # A run that was executed again elsewhere has the tags of the first one.
    command = run.tags.get(RUN_PROCESS, "") if run.parent_run_id is None else ""
    process = command or run.tags.get(PROCESS_TAG, "")
    if command or pid_of(process) in executors(instance, run.run_id):
        running = is_running(process)
        if running:
            return None
        if running is False:
            return Finding(what, f"its process is gone ({process})", partial(_end, instance, run.run_id))
    silent = time.time() - (last_heard(instance, run.run_id) or created)
    why = f"nothing was heard of it for {dt.timedelta(seconds=int(silent))}"
    if older_than_s is not None and silent > older_than_s:
        return Finding(what, why, partial(_end, instance, run.run_id))
    return Finding(what, f"{why}, and whether it lives cannot be told from here", None)


def _named(run: dg.DagsterRun) -> str:
    keys = sorted(key.to_user_string() for key in run.asset_selection or ())
    partition = run.tags.get("dagster/partition") or run.tags.get("dagster/asset_partition_range_start", "")
    return " ".join([", ".join(keys) or run.job_name, partition]).strip()


def _end(instance: dg.DagsterInstance, run_id: str) -> None:
    run = instance.get_run_by_id(run_id)
    if run and not run.is_finished:
        instance.report_run_failed(run, "Its process is gone: cleared by lem reap.")
    free_slots(instance, run_id)


def _slots(instance: dg.DagsterInstance, dead: set[str]) -> Iterator[Finding]:
    """Slots held, or waited for, by runs that have ended or are in no list of runs; those of dead runs go with them."""
    for run_id in sorted(runs_with_slots(instance) - dead):
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            why = f"that run has ended ({run.status.value})" if run else "there is no such run"
            yield Finding(f"pool slots of run {run_id}", why, partial(free_slots, instance, run_id))


def _backfills(instance: dg.DagsterInstance, dead: set[str], older_than_s: float) -> Iterator[Finding]:
    """Backfills that are not done, have no run that is alive, and have had none for long enough."""
    before = time.time() - older_than_s
    for backfill in open_backfills(instance):
        records = instance.get_run_records(dg.RunsFilter.for_backfill(backfill.backfill_id))
        alive = [r for r in records if not r.dagster_run.is_finished and r.dagster_run.run_id not in dead]
        heard = max([backfill.backfill_timestamp, *(r.update_timestamp.timestamp() for r in records)])
        if not alive and heard < before:
            silent = dt.timedelta(seconds=int(time.time() - heard))
            yield Finding(
                f"backfill {backfill.backfill_id} ({backfill.status.value})",
                f"it has no run that is alive, and nothing happened for {silent}",
                partial(end_backfill, instance, backfill),
            )
