"""Many events of a run in two transactions: what dagster-postgres does, for Dagster's history in SQLite files.

Dagster's own storage in SQLite writes a batch event by event: for each it opens both of its files, its run's and the
index of all assets, anew, and syncs both. A batch that is killed leaves no event in the index, as on PostgreSQL, and
`lem reap` records its partitions.

All of it is private to Dagster but the call that it replaces, `store_event_batch`. The contracts are in
tests/resources/test_sqlite_events.py. A batch of its own in Dagster would replace this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import dagster as dg
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable


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
