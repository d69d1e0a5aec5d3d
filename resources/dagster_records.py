"""Where Dagster keeps its records, how large they are, and their removal. It has public calls for a part of that only.

Public are `DagsterInstance.delete_run`, `purge_ticks`, and the compute logs. Not public are the files of SQLite, one of
events for each run beside the index of all assets' events: Dagster empties the file of a run that is deleted, and
leaves it there. The contracts are in tests/resources/test_dagster_records.py.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import dagster as dg
from sqlalchemy import text

_INDEX = "index"


def on_sqlite(instance: dg.DagsterInstance) -> bool:
    """Whether the history is in SQLite files of this machine."""
    return hasattr(instance.event_log_storage, "path_for_shard")


def log_files(instance: dg.DagsterInstance, run_id: str) -> list[Path]:
    """Files of this machine that hold the log of one run and nothing else; what its assets recorded is elsewhere.

    Args:
        instance: with the history.
        run_id: of the run.
    """
    found = [path for path in _shard(instance, run_id) if path.exists()] if on_sqlite(instance) else []
    folder = _compute_logs(instance, run_id)
    return found + (sorted(path for path in folder.rglob("*") if path.is_file()) if folder else [])


def size_of_files(files: Iterable[Path]) -> int:
    """Bytes of some files; one that is gone meanwhile counts as nothing."""
    total = 0
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def remove_log(instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove the log of a run that has ended, but for what its assets recorded.

    Args:
        instance: with the history; on PostgreSQL only the compute logs go.
        run_id: of the run.
    """
    for path in _shard(instance, run_id) if on_sqlite(instance) else []:
        path.unlink(missing_ok=True)
    instance.compute_log_manager.delete_logs(prefix=[run_id])


def remove_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove a run with all that it recorded; once more where that was killed.

    Args:
        instance: with the history.
        run_id: of the run.
    """
    instance.delete_run(run_id)
    remove_log(instance, run_id)


def runs_with_logs(instance: dg.DagsterInstance) -> set[str]:
    """Ids of the runs of which SQLite has a file, whether the run is still listed or not; none on PostgreSQL."""
    if not on_sqlite(instance):
        return set()
    return {path.stem for path in _shard(instance, "x")[0].parent.glob("*.db")} - {_INDEX}


def old_records(instance: dg.DagsterInstance, before: float) -> dict[str, tuple[int, int, int, int]]:
    """Evaluations of automation conditions, and ticks of schedules and sensors.

    Args:
        instance: with the history.
        before: those from before this moment (seconds since 1970) are old.

    Returns:
        By kind: number and bytes of all, number and bytes of the old ones.
    """
    storage, found = instance.schedule_storage, dict[str, tuple[int, int, int, int]]()
    if storage is None:
        return found
    moment = dt.datetime.fromtimestamp(before, dt.UTC).replace(tzinfo=None)
    for kind, table, body, when in (
        ("evaluations", "asset_daemon_asset_evaluations", "asset_evaluation_body", "create_timestamp"),
        ("ticks", "job_ticks", "tick_body", "timestamp"),
    ):
        figures = f"SELECT count(*), coalesce(sum(length({body})), 0) FROM {table}"
        with storage.connect() as connection:  # type: ignore[attr-defined]
            everything = connection.execute(text(figures)).one()
            old = connection.execute(text(f"{figures} WHERE {when} < :moment"), {"moment": str(moment)}).one()
        found[kind] = (*map(int, everything), *map(int, old))  # type: ignore[assignment]
    return found


def remove_ticks(instance: dg.DagsterInstance, before: float) -> None:
    """Remove what is remembered of the ticks of all schedules and sensors from before a moment.

    Args:
        instance: with the history.
        before: seconds since 1970.
    """
    storage = instance.schedule_storage
    if storage is None:
        return
    # Those of a schedule that is no longer defined too, which the list of all schedules lacks.
    with storage.connect() as connection:  # type: ignore[attr-defined]
        known = connection.execute(text("SELECT DISTINCT job_origin_id, selector_id FROM job_ticks")).all()
    for origin, selector in known:
        instance.purge_ticks(origin, selector or "", before)


def databases(instance: dg.DagsterInstance) -> list[Path]:
    """The SQLite files of the history that grow with it, without those of single runs; none on PostgreSQL."""
    if not on_sqlite(instance):
        return []
    index = _shard(instance, _INDEX)[0]
    history = index.parents[1]
    found = (index, history / "runs.db", history.parent / "schedules" / "schedules.db")
    return [path for path in found if path.exists()]


def unused(database: Path) -> int:
    """Bytes of a SQLite file that its rows no longer need.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_size"))
    return int(pages) * int(size)


def give_back(database: Path) -> None:
    """Give the space that a SQLite file no longer needs back to the disk (VACUUM); other processes may have it open.

    Raises:
        sqlite3.Error: another process writes to it for too long, or there is no space for a copy of it.
    """
    with contextlib.closing(sqlite3.connect(database, timeout=30, isolation_level=None)) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _shard(instance: dg.DagsterInstance, run_id: str) -> list[Path]:
    path: str = instance.event_log_storage.path_for_shard(run_id)  # type: ignore[attr-defined]
    return [Path(path), Path(f"{path}-wal"), Path(f"{path}-shm")]


def _compute_logs(instance: dg.DagsterInstance, run_id: str) -> Path | None:
    """Folder of what the steps of a run wrote to their standard output; None where it is not on this machine."""
    find = getattr(instance.compute_log_manager, "get_captured_local_path", None)
    return Path(os.path.dirname(os.path.dirname(find([run_id, "compute_logs", "any"], "out")))) if find else None
