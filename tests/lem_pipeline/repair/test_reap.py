"""What is dead, what is not, and what nobody can tell; the real kill is in tests/integration/test_reaping.py."""

from __future__ import annotations

import os
import time

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.test_utils import create_run_for_test

from lem_pipeline.repair.reap import ReapError, age, findings
from lem_pipeline.running.launch import RUN_PROCESS
from resources.processes import this_process
from resources.stores import PROCESS_TAG

HERE, BOOT, PID, START = this_process().split(" ")
GONE = f"{HERE} {BOOT} 4194305 1"  # above the highest number that Linux gives


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("history"))
    with dg.DagsterInstance.local_temp(folder, overrides={"telemetry": {"enabled": False}}) as instance:
        yield instance


@pytest.fixture
def instance(history):
    """An instance without runs: making a new one takes a second."""
    yield history
    for run_id in history.event_log_storage.get_concurrency_run_ids():
        history.event_log_storage.free_concurrency_slots_for_run(run_id)
    history.wipe()
    for backfill in history.get_backfills():
        history.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS))


def run(instance, process: str = "", executor: str = "", status=dg.DagsterRunStatus.STARTED, alone: str = "") -> str:
    """A run with this tag, whose log says that a process of this number executes it; `alone`: that one executes all
    of it."""
    tags = {PROCESS_TAG: process, RUN_PROCESS: alone}
    made = create_run_for_test(
        instance, job_name="night", status=status, tags={name: value for name, value in tags.items() if value}
    )
    if executor:
        instance.report_engine_event(f"Executing steps in process (pid: {executor})", made)
    return made.run_id


def found(instance, older_than_s=None, lake=None):
    """Which runs or other things are dead, and which are unknown."""
    every = list(findings(instance, lake, older_than_s))
    return [f.what for f in every if f.clear], [f.what for f in every if not f.clear]


@pytest.mark.parametrize(("text", "seconds"), [("90m", 5400), ("6h", 21600), ("2d", 172800)])
def test_an_age_is_minutes_hours_or_days(text, seconds):
    assert age(text) == seconds


@pytest.mark.parametrize("text", ["", "6", "h", "0h", "-1h", "6 h", "1w"])
def test_any_other_age_is_refused(text):
    with pytest.raises(ReapError, match="allowed: minutes, hours or days as in 90m, 6h or 2d"):
        age(text)


def test_a_run_whose_process_is_gone_is_dead_and_is_ended(instance):
    dead, alive = run(instance, GONE, "4194305"), run(instance, this_process(), PID)
    (one,) = findings(instance, None, None)
    assert dead in one.what
    assert one.why == f"its process is gone ({GONE})"
    one.clear()
    assert instance.get_run_by_id(dead).status == dg.DagsterRunStatus.FAILURE
    assert instance.get_run_by_id(alive).status == dg.DagsterRunStatus.STARTED
    assert found(instance) == ([], [])


def test_a_run_of_one_process_is_dead_with_it_though_nothing_was_logged(instance):
    """`lem` executes its runs itself: no engine event is needed to know who does."""
    dead = run(instance, status=dg.DagsterRunStatus.NOT_STARTED, alone=GONE)
    run(instance, GONE, alone=this_process())
    elsewhere = run(instance, alone="elsewhere boot 4194305 1")
    (first, second) = findings(instance, None, None)
    assert dead in first.what
    assert first.why == f"its process is gone ({GONE})"
    assert elsewhere in second.what
    assert second.clear is None


@pytest.mark.parametrize(
    ("process", "executor"),
    [("", ""), ("", "4194305"), (GONE, ""), (GONE, "17"), ("elsewhere boot 4194305 1", "4194305")],
    ids=["nothing known", "no tag", "no executor", "a step of another executor", "another machine"],
)
def test_what_cannot_be_told_is_left_alone_unless_it_was_silent_for_long_enough(
    instance, process, executor, monkeypatch
):
    made = run(instance, process, executor)
    dead, unknown = found(instance)
    assert dead == []
    assert made in unknown[0]
    assert found(instance, 3600)[0] == []
    later = time.time() + 4000
    monkeypatch.setattr(time, "time", lambda: later)
    assert made in found(instance, 3600)[0][0]
    assert found(instance, 7200)[0] == []


def test_a_run_that_lives_is_not_dead_however_silent_it_is(instance, monkeypatch):
    run(instance, this_process(), PID)
    later = time.time() + 10**6
    monkeypatch.setattr(time, "time", lambda: later)
    assert found(instance, 3600) == ([], [])


def test_runs_that_have_ended_are_not_looked_at(instance):
    for status in (dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE):
        run(instance, GONE, "4194305", status)
    assert found(instance, 1) == ([], [])


def test_slots_of_runs_that_have_ended_or_are_nowhere_are_freed_and_those_of_others_kept(instance):
    storage = instance.event_log_storage
    storage.set_concurrency_slots("training", 3)
    ended, alive = run(instance, status=dg.DagsterRunStatus.FAILURE), run(instance, this_process(), PID)
    for holder in (ended, alive, "no-such-run"):
        assert storage.claim_concurrency_slot("training", holder, "step").is_claimed
    dead = [f for f in findings(instance, None, None) if f.clear]
    assert [f.what for f in dead] == sorted(f"pool slots of run {holder}" for holder in (ended, "no-such-run"))
    for one in dead:
        one.clear()
    assert storage.get_concurrency_run_ids() == {alive}


@pytest.mark.parametrize("status", ["REQUESTED", "CANCELING", "FAILING"])
def test_a_backfill_without_a_living_run_is_closed_after_a_silence(instance, status):
    stuck = PartitionBackfill(
        backfill_id="old",
        status=BulkActionStatus(status),
        from_failure=False,
        tags={},
        backfill_timestamp=time.time() - 7200,
        asset_selection=[dg.AssetKey("bars")],
    )
    instance.add_backfill(stuck)
    instance.add_backfill(stuck._replace(backfill_id="new", backfill_timestamp=time.time()))
    assert found(instance) == ([], [])
    (one,) = findings(instance, None, 3600)
    assert one.what.startswith("backfill old")
    one.clear()
    expected = BulkActionStatus.CANCELED if status == "CANCELING" else BulkActionStatus.FAILED
    assert instance.get_backfill("old").status == expected
    assert instance.get_backfill("new").status == BulkActionStatus(status)


def test_temporary_files_of_killed_writers_are_found_when_they_are_old(instance, tmp_path):
    lake = tmp_path / "lake" / "small"
    lake.mkdir(parents=True)
    for name in (".x.parquet.1.tmp", ".y.parquet.2.tmp", "z.parquet"):
        (lake / name).write_text("half")
    os.utime(lake / ".x.parquet.1.tmp", (time.time() - 7200,) * 2)
    (one,) = findings(instance, tmp_path / "lake", None)
    one.clear()
    assert sorted(path.name for path in lake.iterdir()) == [".y.parquet.2.tmp", "z.parquet"]
