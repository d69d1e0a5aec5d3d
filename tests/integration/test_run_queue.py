"""The queue of runs on a real PostgreSQL server: who executes what, and what of it outlives a worker."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator

import dagster as dg
import pytest
from sqlalchemy import create_engine, make_url

from tests.conftest import ROOT

pytest.importorskip("dagster_celery")

from dagster._core.launcher import WorkerStatus

from lem_pipeline.run_queue import WORKER_TAG, QueueError, QueueLauncher, RunLocks
from lem_pipeline.running.launch import RunError
from lem_pipeline.running.spread import run_on_workers
from tests.lem_pipeline.plans import run_of

HOLD = """
import sys, time
from lem_pipeline.run_queue import RunLocks
with RunLocks(sys.argv[1]).hold("run"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def url(postgresql) -> Iterator[str]:
    with postgresql.database() as made:
        yield made


@pytest.fixture
def instance(url, tmp_path, monkeypatch) -> Iterator[dg.DagsterInstance]:
    """The instance of deploy/many-machines."""
    monkeypatch.setenv("LEM_DAGSTER_STORAGE", url)
    monkeypatch.setenv("LEM_QUEUE", url)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dg.DagsterInstance.from_config(str(ROOT / "deploy" / "many-machines")) as made:
        yield made


def test_one_worker_at_a_time_executes_a_run(url):
    one, two = RunLocks(url), RunLocks(url)
    assert not two.held("run")
    with one.hold("run"):
        assert two.held("run")
        assert not two.held("another run")
        with pytest.raises(QueueError, match="run run is being executed by another worker"), two.hold("run"):
            pass
    assert not two.held("run")


def test_a_run_that_was_let_go_can_be_taken_at_once(url):
    """Also while the server still ends the session that had it: here it never does."""
    locks = RunLocks(url)
    locks._engine = create_engine(url, isolation_level="AUTOCOMMIT", pool_reset_on_return=None)
    with locks.hold("run"):
        assert RunLocks(url).held("run")
    assert not RunLocks(url).held("run")
    with pytest.raises(KeyError, match="the step's own"), locks.hold("run"):
        raise KeyError("the step's own")
    with RunLocks(url).hold("run"):
        pass
    locks._engine.dispose()


def test_asking_who_has_a_run_turns_no_worker_away(url):
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            RunLocks(url).held("run")

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(60):
            with RunLocks(url).hold("run"):
                assert RunLocks(url).held("run")
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_the_lock_goes_with_a_worker_that_is_killed(url):
    command = [sys.executable, "-c", HOLD, url]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"held\n"
        locks = RunLocks(url)
        assert locks.held("run")
    finally:
        worker.kill()
        worker.wait()
    deadline = time.monotonic() + 30
    while locks.held("run") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not locks.held("run")


def test_a_queue_that_is_no_postgresql_or_cannot_be_reached_is_one_message_without_the_password(url):
    with pytest.raises(QueueError, match=r"not a PostgreSQL URL with its driver; allowed: postgresql\+psycopg2"):
        RunLocks("sqlite:///queue.sqlite")
    away = make_url(url).set(port=1, password="s3cret").render_as_string(hide_password=False)
    with pytest.raises(QueueError, match=r"the queue of runs cannot be reached: .*setting LEM_QUEUE") as caught:
        RunLocks(away).held("run")
    assert "s3cret" not in str(caught.value)


def test_the_launcher_of_the_shipped_settings_queues_a_run_and_knows_who_has_it(instance):
    launcher = instance.run_launcher
    assert isinstance(launcher, QueueLauncher)
    run = instance.create_run_for_job(empty, job_code_origin=dg.reconstructable(empty).get_python_origin())
    instance.launch_run(run.run_id, None)
    assert launcher.queued() == 1
    queued = instance.get_run_by_id(run.run_id)
    assert queued.status == dg.DagsterRunStatus.STARTING
    assert launcher.get_run_worker_debug_info(queued) == "No worker has taken the run yet."
    instance.add_run_tags(run.run_id, {WORKER_TAG: "north@machine"})
    taken = instance.get_run_by_id(run.run_id)
    with launcher.locks.hold(run.run_id):
        assert launcher.check_run_worker_health(taken).status == WorkerStatus.RUNNING
        assert not launcher.terminate(run.run_id), "a run that is being executed is left alone"
    gone = launcher.check_run_worker_health(taken)
    assert gone.status == WorkerStatus.FAILED
    assert gone.msg.startswith("north@machine no longer executes the run")
    assert launcher.terminate(run.run_id)
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.CANCELED


def test_a_run_that_its_worker_took_along_is_given_up(instance, make_universe, monkeypatch):
    """The message has left the queue, and nobody executes the run."""
    monkeypatch.setattr("lem_pipeline.running.spread.LOST", 1.0)
    monkeypatch.setattr("lem_pipeline.running.spread._launch", lambda *_: launch_and_lose(instance))
    with pytest.raises(RunError, match=r"panel  2024-01-10: .* no longer executes the run"):
        run_on_workers(
            instance, "nowhere", make_universe(), [run_of(("panel",), "2024-01-10", "2024-01-10")], None, print
        )


def test_a_hundred_looks_at_the_queue_leave_no_connection_behind(instance):
    gc.disable()
    try:
        assert {instance.run_launcher.queued() for _ in range(100)} == {0}
    finally:
        gc.enable()


@pytest.mark.thorough
def test_runs_that_wait_are_looked_at_with_one_question(instance, make_universe, monkeypatch):
    """Each would ask PostgreSQL for itself, and open a connection for it, twice a second."""
    monkeypatch.setattr("lem_pipeline.running.spread.LOST", 1.0)
    monkeypatch.setattr("lem_pipeline.running.spread._launch", lambda *_: launched(instance))
    launcher, asked = instance.run_launcher, Counter()
    count, held = launcher.queued, launcher.locks.held

    def queued():
        asked["looks"] += 1
        if asked["looks"] == 3:
            empty_the_queue(instance)
        return count()

    def held_by(run_id):
        asked["in the queue" if asked["looks"] < 3 else "gone"] += 1
        return held(run_id)

    monkeypatch.setattr(launcher, "queued", queued)
    monkeypatch.setattr(launcher.locks, "held", held_by)
    universe = make_universe(assets={f"A{number:02}-USD": {} for number in range(12)})
    with pytest.raises(RunError, match=r"no longer executes the run"):
        run_on_workers(
            instance,
            "nowhere",
            universe,
            [run_of(("features",), "A00-USD|2024-01-10", "A11-USD|2024-01-10")],
            None,
            print,
        )
    assert asked["in the queue"] == 0
    assert asked["gone"] >= 12
    assert asked["looks"] <= 3 + 1.0 / 0.5 + 2


def launch_and_lose(instance: dg.DagsterInstance) -> str:
    run_id = launched(instance)
    empty_the_queue(instance)
    return run_id


def launched(instance: dg.DagsterInstance) -> str:
    run = instance.create_run_for_job(empty, job_code_origin=dg.reconstructable(empty).get_python_origin())
    instance.launch_run(run.run_id, None)
    return run.run_id


def empty_the_queue(instance: dg.DagsterInstance) -> None:
    with instance.run_launcher.celery.connection_for_write() as connection:
        connection.default_channel.queue_purge("dagster")


@dg.job
def empty() -> None:
    """A job for a run that is never executed."""
