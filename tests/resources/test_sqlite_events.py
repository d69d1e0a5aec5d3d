"""What this project takes for granted of Dagster's storage of events in SQLite files. A failure says what breaks here:
after an upgrade, mend `resources/sqlite_events.py` until this file passes."""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.test_utils import instance_for_test
from sqlalchemy import create_engine, make_url

from resources import sqlite_events
from resources.dagster_internals import event_log_of, range_tags, tags_of_event
from resources.sqlite_events import STORAGES, _empty, copy_files_of_runs, keep_engines
from tests.resources.test_dagster_internals import KEYS, RAW, daily, execute

BARS = dg.AssetKey("bars")
QUERIES = {
    "event_logs": "SELECT dagster_event_type, asset_key, partition, step_key FROM event_logs "
    "WHERE asset_key IS NOT NULL ORDER BY id",
    "asset_event_tags": "SELECT asset_key, key, value FROM asset_event_tags ORDER BY event_id, key",
    "asset_keys": "SELECT asset_key, length(last_materialization) > 0, last_run_id IS NULL FROM asset_keys",
}


def body(context):
    """Log an event for each partition."""
    log = event_log_of(context)
    for number, key in enumerate(context.partition_keys, 1):
        tags = tags_of_event(f"of {key}", "7")
        log(dg.AssetMaterialization(context.asset_key, partition=key, tags=tags), number == len(context.partition_keys))
    return dg.MaterializeResult(data_version=dg.DataVersion("of them all"))


@pytest.fixture
def history(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "4")
    with instance_for_test(temp_dir=str(tmp_path)) as made:
        yield made


def run(instance):
    result = execute(instance, [daily("raw", body)], RAW, tags=range_tags(KEYS[0], KEYS[5]))
    assert result.success
    return result.run_id


def rows(instance, shard, table):
    path = instance.event_log_storage.path_for_shard(shard)
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(QUERIES[table]).fetchall()


def everything(instance, run_id):
    """All that both files say of assets, but for what differs between two runs."""
    return {"run": rows(instance, run_id, "event_logs")} | {name: rows(instance, "index", name) for name in QUERIES}


def test_a_batch_leaves_what_single_events_leave(tmp_path, monkeypatch):
    found = {}
    for size in ("0", "4"):
        monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", size)
        (tmp_path / size).mkdir()
        with instance_for_test(temp_dir=str(tmp_path / size)) as instance:
            found[size] = everything(instance, run(instance))
            last = instance.get_latest_data_version_record(RAW)
            found[size]["last"] = (last.partition_key, last.event_log_entry.message)
            found[size]["partitions"] = instance.get_materialized_partitions(RAW)
    assert found["4"]["partitions"] == set(KEYS[:6])
    assert found["4"] == found["0"]


def test_a_batch_is_one_transaction_of_each_file(history, monkeypatch):
    opened, connect = [], SqliteEventLogStorage._connect
    monkeypatch.setattr(
        SqliteEventLogStorage, "_connect", lambda self, shard: opened.append(shard) or connect(self, shard)
    )
    batches = []

    def counted(context):
        before = len(opened)
        result = body(context)
        batches.append(opened[before:])
        return result

    done = execute(history, [daily("raw", counted)], RAW, tags=range_tags(KEYS[0], KEYS[3]))
    assert done.success
    assert batches == [[done.run_id, "index"]], (
        "a batch of four events takes more than one transaction of each file: a backfill is slow"
    )


def test_a_batch_that_fails_in_the_index_is_written_one_by_one_and_once(history, monkeypatch, capsys):
    def fails(self, connection, events, ids):
        if len(events) > 1:
            raise sqlite3.OperationalError("database is locked")
        return tags(self, connection, events, ids)

    tags = SqliteEventLogStorage._store_asset_event_tags
    monkeypatch.setattr(SqliteEventLogStorage, "_store_asset_event_tags", fails)
    run(history)
    found = [
        partition for kind, _, partition, _ in rows(history, "index", "event_logs") if kind == "ASSET_MATERIALIZATION"
    ]
    assert found == KEYS[:6]
    assert "database is locked" in capsys.readouterr().err


def test_the_last_event_of_each_asset_is_its_own(history):
    assert execute(
        history, [daily("raw", body), daily("bars", body)], RAW, BARS, tags=range_tags(KEYS[0], KEYS[2])
    ).success
    latest = {key: history.get_latest_data_version_record(key).partition_key for key in (RAW, BARS)}
    assert latest == {RAW: KEYS[2], BARS: KEYS[2]}


def shape(path):
    """All that a file of events says without its events."""
    with closing(sqlite3.connect(path)) as connection:
        made = sorted(connection.execute("SELECT type, name, sql FROM sqlite_master"), key=str)
        stamp = connection.execute("SELECT * FROM alembic_version").fetchall()
        return made, stamp, connection.execute("PRAGMA journal_mode").fetchone(), path.stat().st_mode


def test_the_file_of_a_run_that_begins_as_a_copy_is_what_dagster_makes(tmp_path, monkeypatch):
    found = {}
    for copied in (False, True):
        (tmp_path / str(copied)).mkdir()
        with instance_for_test(temp_dir=str(tmp_path / str(copied))) as instance:
            if copied:
                copy_files_of_runs(instance)
            made = list[str]()
            initdb = SqliteEventLogStorage._initdb

            def counted(storage, engine, *index, initdb=initdb, made=made):
                made.append(Path(engine.url.database).stem)
                initdb(storage, engine, *index)

            _empty()
            monkeypatch.setattr(SqliteEventLogStorage, "_initdb", counted)
            run_id = run(instance)
            monkeypatch.setattr(SqliteEventLogStorage, "_initdb", initdb)
            assert (run_id in made) is not copied
            path = Path(instance.event_log_storage.path_for_shard(run_id))
            found[copied] = shape(path), everything(instance, run_id)
            assert {name.name for name in path.parent.glob("*.db*")} == {"index.db", f"{run_id}.db"}
    assert found[True] == found[False]


def test_the_engine_of_each_file_is_made_once_and_holds_nothing_open(tmp_path, monkeypatch):
    made = []

    def counted(url, **options):
        made.append(Path(make_url(url).database).stem)
        return create_engine(url, **options)

    monkeypatch.setattr(sqlite_events, "create_engine", counted)
    for module in STORAGES:
        monkeypatch.setattr(module, "create_engine", create_engine)
    keep_engines()
    with instance_for_test(temp_dir=str(tmp_path)) as instance:
        runs = [run(instance), run(instance)]
        assert [len(instance.all_logs(run_id)) > 10 for run_id in runs] == [True, True]
        assert sorted(made) == sorted(["index", "runs", "schedules", *runs])
        assert list(tmp_path.rglob("*.db-wal")) == []


def test_a_file_that_another_process_has_begun_meanwhile_is_used(tmp_path, monkeypatch):
    with instance_for_test(temp_dir=str(tmp_path)) as instance:
        copy_files_of_runs(instance)
        storage = instance.event_log_storage
        path, other = Path(storage.path_for_shard("one")), SqliteEventLogStorage(str(tmp_path / "other"))
        with other.run_connection("one") as connection:
            connection.exec_driver_sql("PRAGMA user_version = 7")
        link = os.link

        def late(whole, place):
            shutil.copy(other.path_for_shard("one"), path)
            link(whole, place)

        monkeypatch.setattr(os, "link", late)
        with storage.run_connection("one") as connection:
            assert connection.exec_driver_sql("PRAGMA user_version").scalar() == 7
        assert not list(path.parent.glob("one.db.*"))


def test_where_files_cannot_be_linked_they_are_made_as_dagster_makes_them(tmp_path, monkeypatch):
    def refused(whole, place):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refused)
    with instance_for_test(temp_dir=str(tmp_path)) as instance:
        copy_files_of_runs(instance)
        run_id = run(instance)
        path = Path(instance.event_log_storage.path_for_shard(run_id))
        assert shape(path)[1], "it is stamped"
        assert not list(path.parent.glob("*.db.*"))
