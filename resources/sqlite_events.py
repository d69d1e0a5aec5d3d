"""Dagster's history in SQLite files, quicker: many events of a run in two transactions, and files of runs from a copy.

Dagster's own storage in SQLite writes a batch event by event: for each it opens both of its files, its run's and the
index of all assets, anew, and syncs both. A batch that is killed leaves no event in the index, as on PostgreSQL, and
`lem reap` records its partitions.

Each run has a file of its own, and for each Dagster reads its migrations anew to stamp it: 30 ms of processor time. The
file of a process's first run is made that way, and those of later runs begin as copies of what it was when empty.

And for each transaction Dagster makes an engine anew, which then compiles anew what it says: a quarter of the processor
time of a short run. An engine without a pool holds nothing open, so that of a file is kept.

All of it is private to Dagster but the call that is replaced, `store_event_batch`. The contracts are in
tests/resources/test_sqlite_events.py. A batch of its own in Dagster, a stamp without reading, and engines that it keeps
would replace this file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from sqlalchemy import Engine, NullPool, create_engine

STORAGES = (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage)
"""Modules of Dagster whose storages make engines of SQLite files."""
KEPT_ENGINES = 32
"""Runs, schedules and the index have a file each, and so has every run, of which few are written at once."""


def write_in_batches(instance: dg.DagsterInstance) -> None:
    """Have the instance write batches of materialisations at once, if its history is in SQLite files of this machine.

    Args:
        instance: of the run; its other events, and all of other storages, are written as before.
    """
    storage = instance.event_log_storage
    if type(storage) is SqliteEventLogStorage and "store_event_batch" not in vars(storage):
        vars(storage)["store_event_batch"] = partial(_store, storage)


def _store(storage: SqliteEventLogStorage, events: Sequence[dg.EventLogEntry]) -> None:
    runs = {event.run_id for event in events}
    kinds = {event.dagster_event_type for event in events}
    if len(runs) != 1 or kinds != {dg.DagsterEventType.ASSET_MATERIALIZATION}:
        SqliteEventLogStorage.store_event_batch(storage, events)
        return
    insert, rows = SqlEventLogStorageTable.insert(), [storage._event_to_row(event) for event in events]
    with storage.run_connection(runs.pop()) as connection:
        connection.execute(insert, rows)
    with storage.index_transaction() as connection:
        keys = [connection.execute(insert, row).inserted_primary_key for row in rows]
        ids = [int(key[0]) for key in keys if key]
        storage._store_asset_event_tags(connection, events, ids)
        # Of each asset its last event is kept: that is all that Dagster keeps of them there, too.
        last = {event.get_dagster_event().asset_key: (event, at) for event, at in zip(events, ids, strict=True)}
        for event, at in last.values():
            storage._store_asset_event(connection, event, at)


def keep_engines() -> None:
    """Have all of Dagster's storages in SQLite files, in this process, keep the engines of the files they last used."""
    for module in STORAGES:
        vars(module)["create_engine"] = _engine_of


def _engine_of(url: str, **options: Any) -> Engine:
    if options.get("poolclass") is not NullPool:
        return create_engine(url, **options)
    return _kept_engine(url, *sorted(options.pop("connect_args", {}).items()), **options)


@lru_cache(maxsize=KEPT_ENGINES)
def _kept_engine(url: str, *connect_args: tuple[str, object], **options: Any) -> Engine:
    return create_engine(url, connect_args=dict(connect_args), **options)


def copy_files_of_runs(instance: dg.DagsterInstance) -> None:
    """Have the instance begin the files of runs as copies of an empty one, if its history is in SQLite files.

    Args:
        instance: whose other files, and all of other storages, are made as before.
    """
    storage = instance.event_log_storage
    if type(storage) is SqliteEventLogStorage:
        vars(storage)["_initdb"] = partial(_begin, storage)


def _begin(storage: SqliteEventLogStorage, engine: Engine, for_index_shard: bool = False) -> None:
    path = Path(engine.url.database or "")
    if for_index_shard or path == Path(storage.path_for_shard("index")) or path.exists():
        SqliteEventLogStorage._initdb(storage, engine, for_index_shard)
        return
    # Whole, or not at all: another process may open the file of the same run.
    whole = path.with_name(f"{path.name}.{uuid4().hex}")
    try:
        with whole.open("xb") as file:
            file.write(_empty())
            file.flush()
            os.fsync(file.fileno())
        os.link(whole, path)
    except OSError:  # another process was first, or the file system has no links: Dagster's own way says what is wrong
        SqliteEventLogStorage._initdb(storage, engine)
    finally:
        whole.unlink(missing_ok=True)


@cache
def _empty() -> bytes:
    """The file of a run without events, as this version of Dagster makes it."""
    with tempfile.TemporaryDirectory() as folder:
        storage = SqliteEventLogStorage(folder)
        with storage.run_connection("empty"):
            pass
        return Path(storage.path_for_shard("empty")).read_bytes()
