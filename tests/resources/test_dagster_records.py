"""What this project takes for granted of where Dagster keeps its records; after an upgrade run this file."""

import os
import sqlite3
import time

import dagster as dg
import pytest
from dagster._core.test_utils import instance_for_test

from resources.dagster_records import (
    databases,
    give_back,
    log_files,
    old_records,
    remove_log,
    remove_run,
    remove_ticks,
    runs_with_logs,
    unused,
)

DAYS = dg.StaticPartitionsDefinition(["a", "b"])
LATER = time.time() + 3600


@dg.asset(partitions_def=DAYS)
def made() -> None:
    print("said")


@pytest.fixture(scope="module")
def history():
    with instance_for_test() as instance:
        runs = [dg.materialize([made], instance=instance, partition_key=key).run_id for key in ("a", "b")]
        yield instance, runs


def again(instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """The same history as another process sees it: one that had the file of a run open wants it back."""
    return dg.DagsterInstance.from_config(instance.root_directory)


def test_a_run_without_its_log_keeps_what_it_recorded_and_is_still_listed(history):
    instance, (run, _) = history
    assert {run} < runs_with_logs(instance)
    assert any(path.name == f"{run}.db" for path in log_files(instance, run))
    assert any(path.suffix == ".out" for path in log_files(instance, run)), "what its step has printed"
    remove_log(instance, run)
    assert log_files(instance, run) == []
    assert instance.get_materialized_partitions(made.key) == {"a", "b"}
    assert instance.get_run_by_id(run).is_success
    with again(instance) as other:
        assert list(other.all_logs(run)) == []


def test_a_run_that_is_removed_leaves_nothing_also_when_it_is_removed_twice(history):
    instance, _ = history
    run = dg.materialize([made], instance=instance, partition_key="b").run_id
    for _ in range(2):
        with again(instance) as other:
            remove_run(other, run)
            assert log_files(other, run) == []
            assert other.get_run_by_id(run) is None
    (last,) = [one for one in instance.fetch_materializations(made.key, limit=9).records if one.partition_key == "b"]
    assert last.run_id == history[1][1], "the run before"


def test_evaluations_and_ticks_are_counted_and_the_old_ones_removed(history):
    instance, _ = history
    path = next(path for path in databases(instance) if path.name == "schedules.db")
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO asset_daemon_asset_evaluations (evaluation_id, asset_key, asset_evaluation_body) "
            "VALUES (1, 'made', '12345')"
        )
        connection.execute(
            "INSERT INTO job_ticks (job_origin_id, selector_id, status, type, timestamp, tick_body) "
            "VALUES ('origin', 'selector', 'SKIPPED', 'SCHEDULE', '2024-01-01 00:00:00.000000', '1234567')"
        )
    assert old_records(instance, time.time() - 3600) == {"evaluations": (1, 5, 0, 0), "ticks": (1, 7, 1, 7)}
    assert old_records(instance, LATER)["evaluations"] == (1, 5, 1, 5)
    remove_ticks(instance, LATER)
    assert old_records(instance, LATER)["ticks"] == (0, 0, 0, 0)


def test_space_that_rows_no_longer_need_is_given_back(history):
    path = next(path for path in databases(history[0]) if path.name == "runs.db")
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE filling (text)")
        connection.execute("INSERT INTO filling VALUES (zeroblob(1000000))")
        connection.execute("DROP TABLE filling")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = os.path.getsize(path)
    assert unused(path) >= 1_000_000
    give_back(path)
    assert unused(path) == 0
    assert os.path.getsize(path) <= before - 900_000
