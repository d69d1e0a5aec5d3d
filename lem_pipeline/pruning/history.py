"""What of Dagster's history can go: old runs, the logs of old runs, evaluations and ticks, space in databases.

The history says of each partition what it was made from, and the UI, `lem status` and the automation go by it. So a run
that recorded the last state of a partition stays listed, with what it recorded, and only its log goes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

import dagster as dg

from lem.errors import LemError
from lem_pipeline.pruning.kinds import Age, Kind, Removable
from resources.dagster_internals import clear_evaluations
from resources.dagster_records import (
    databases,
    give_back,
    log_files,
    old_records,
    on_sqlite,
    remove_log,
    remove_run,
    remove_ticks,
    runs_with_logs,
    size_of_files,
    unused,
)

_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_PAGE = 1000

Gone = Callable[[dg.AssetKey, str | None], bool]
"""Whether a partition of an asset is removed."""


class HistoryError(LemError):
    """A database of Dagster's history cannot be made smaller."""


def history_kinds(instance: dg.DagsterInstance, age: Age, gone: Gone) -> list[Kind]:
    """Runs, logs, evaluations and ticks of the history.

    Args:
        instance: with the history.
        age: how old a thing must be to go.
        gone: tells which partitions are removed; what was recorded of them is needed by nothing.
    """
    return [*_runs(instance, age, gone), _records(instance, age)]


def space(instance: dg.DagsterInstance) -> Kind:
    """The space in the history's databases that no row needs any more."""
    there = databases(instance)
    kind = Kind("Dagster: databases", len(there), size_of_files(_with_log(there)))
    for database in there:
        if free := unused(database):
            kind.removable.append(Removable(f"unused space in {database}", free, partial(_give_back, database)))
    if not on_sqlite(instance):
        kind.notes.append(
            "Dagster's history is in PostgreSQL, whose autovacuum gives the space of what was deleted to what comes; "
            "the logs of runs that stay listed are kept there"
        )
    return kind


def needed_runs(instance: dg.DagsterInstance, gone: Gone) -> set[str]:
    """Ids of the runs that recorded the last state of a partition.

    Args:
        instance: with the history.
        gone: tells of which partitions nothing is needed.
    """
    needed = set[str]()
    for key in instance.all_asset_keys():
        seen, cursor = set[str | None](), None
        while True:
            page = instance.fetch_materializations(key, limit=_PAGE, cursor=cursor)
            for record in page.records:
                if record.partition_key not in seen and not gone(key, record.partition_key):
                    needed.add(record.run_id)
                seen.add(record.partition_key)
            if not page.has_more:
                break
            cursor = page.cursor
    return needed


def _runs(instance: dg.DagsterInstance, age: Age, gone: Gone) -> list[Kind]:
    runs = {record.dagster_run.run_id: record for record in instance.get_run_records()}
    files = {run_id: log_files(instance, run_id) for run_id in {*runs, *runs_with_logs(instance)}}
    sizes = {run_id: size_of_files(found) for run_id, found in files.items()}
    old = {
        run_id
        for run_id, record in runs.items()
        if record.dagster_run.status in _ENDED and record.update_timestamp < age.before
    }
    # A run that is no longer listed has left its file, as those have that were deleted in the UI.
    unlisted = {run_id for run_id in set(files) - set(runs) if _last_written(files[run_id]) < age.before.timestamp()}
    needed = needed_runs(instance, gone) if old else set()
    superfluous = (old - needed) | unlisted
    ended = Kind("Dagster: old runs of which nothing stands", len(superfluous), sum(sizes[one] for one in superfluous))
    for run_id in sorted(superfluous):
        ended.removable.append(Removable(f"run {run_id}", sizes[run_id], partial(remove_run, instance, run_id)))
    logs = Kind("Dagster: logs of the other runs")
    for run_id in sorted(run_id for run_id in set(files) - superfluous if files[run_id]):
        logs.count, logs.size = logs.count + 1, logs.size + sizes[run_id]
        if run_id in old:
            what = f"log of run {run_id}"
            logs.removable.append(Removable(what, sizes[run_id], partial(remove_log, instance, run_id)))
    return [ended, logs]


def _records(instance: dg.DagsterInstance, age: Age) -> Kind:
    before, kind = age.before.timestamp(), Kind("Dagster: evaluations and ticks")
    removers = {"evaluations": clear_evaluations, "ticks": remove_ticks}
    for name, (count, size, old, old_size) in old_records(instance, before).items():
        kind.count, kind.size = kind.count + count, kind.size + size
        if old:
            remove = partial(removers[name], instance, before)
            kind.removable.append(Removable(f"{old} {name}", old_size, remove, old))
    return kind


def _last_written(files: list[Path]) -> float:
    return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)


def _with_log(files: list[Path]) -> list[Path]:
    return [Path(f"{file}{end}") for file in files for end in ("", "-wal")]


def _give_back(database: Path) -> None:
    try:
        give_back(database)
    except sqlite3.Error as error:
        raise HistoryError(
            f"{database}: cannot give back its unused space: {error}; what was removed stays removed. Close lem ui and "
            "what else has it open, see that the disk has room for a copy of it, then once more: lem prune --yes"
        ) from error
