"""A command and the runs of others on one instance: who waits for whom, and what is not made twice."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test, instance_for_test

from assets.run_names import TRAINING_POOL
from assets.stages import lem_model
from lem.lake import Lake
from lem.registry import Registry
from lem.training import nightly
from lem_pipeline.build import build
from lem_pipeline.planning.steps import TABLES_TAG
from lem_pipeline.running import turns
from lem_pipeline.running.launch import RUN_PROCESS
from lem_pipeline.running.turns import Turns
from resources.dagster_internals import range_tags
from resources.locks import TakenError, one_at_a_time, take_for_life
from resources.processes import this_process
from resources.stores import LakeResource, RegistryResource
from tests.lem_pipeline.plans import run_of

MODEL = run_of(("lem_model",), "2024-01-17")
BARS = run_of(("raw_bars", "bars"), "AAA-USD|2024-01-04", "BBB-USD|2024-01-05")
STARTED, QUEUED, SUCCESS = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.SUCCESS


@pytest.fixture
def instance():
    with instance_for_test(overrides={"concurrency": {"pools": {"default_limit": 1, "granularity": "run"}}}) as made:
        yield made


@pytest.fixture
def others(instance, monkeypatch):
    """`others("lem_model", "2024-01-17")`: a run of somebody else that makes this; its id."""

    def run(table, first, last="", status=STARTED, pool="", **tags):
        named = range_tags(first, last) if last else {"dagster/partition": first}
        location = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("lem"), "repository")
        made = create_run_for_test(
            instance,
            "run",
            status=status,
            tags=named | tags,
            asset_selection={dg.AssetKey(["tiny", table])},
            remote_job_origin=RemoteJobOrigin(location, "run"),
        )
        if pool:  # the pools of a real run are those of its steps
            monkeypatch.setattr(turns, "pools_of", lambda one: {pool} if one.run_id == made.run_id else set())
        return made.run_id

    return run


@pytest.fixture
def wait(instance, make_universe, tiny_keys, monkeypatch, capsys):
    """`wait(step, run_id)`: what is left of a step when its turn comes, the run being ended while it waits."""
    monkeypatch.setattr(turns, "POLL_S", 0.05)
    universe = make_universe(**tiny_keys())

    def ask(step, ends="", keep=True):
        turn, ended = Turns(instance, universe, keep), threading.Event()

        def end():
            time.sleep(0.5)
            ended.set()
            run = instance.get_run_by_id(ends)
            instance.run_storage.handle_run_event(
                ends, dg.DagsterEvent("PIPELINE_SUCCESS", job_name=run.job_name, message="")
            )

        if ends:
            threading.Thread(target=end).start()
        left = turn.wait(step)
        return left, ended.is_set(), capsys.readouterr().out

    return ask


def test_nobody_waits_for_runs_of_other_partitions_or_other_tables(wait, others):
    others("lem_model", "2024-01-18")
    others("champion", "2024-01-17")
    others("bars", "AAA-USD|2024-01-06", "BBB-USD|2024-01-09")
    assert wait(MODEL)[0] == [MODEL]
    assert wait(BARS)[0] == [BARS]


@pytest.mark.parametrize(
    ("step", "made"),
    [(MODEL, ("lem_model", "2024-01-17")), (BARS, ("bars", "BBB-USD|2024-01-01", "BBB-USD|2024-01-04"))],
    ids=["one date", "a range"],
)
def test_a_run_that_makes_some_of_it_is_waited_for_and_named(step, made, wait, others):
    run_id = others(*made)
    _, ended, said = wait(step, run_id)
    assert ended
    assert f"waiting: run {run_id} (started) makes some of it" in said


def test_a_run_of_another_command_is_known_by_its_tags(wait, instance):
    tags = {"dagster/partition": "2024-01-17", "lem/universe": "tiny", TABLES_TAG: json.dumps(["lem_model"])}
    run_id = create_run_for_test(instance, "run", status=STARTED, tags=tags).run_id
    assert wait(MODEL, run_id)[1]


def test_a_queued_run_is_waited_for_where_a_daemon_will_start_it(wait, others, monkeypatch):
    run_id = others("lem_model", "2024-01-17", status=QUEUED)
    assert wait(MODEL)[0] == [MODEL]
    monkeypatch.setattr(turns, "queue_is_served", lambda _: True)
    assert wait(MODEL, run_id)[1]


def test_nobody_waits_for_the_run_of_a_process_that_is_gone_or_for_its_own(wait, others):
    gone = " ".join([*this_process().split(" ")[:2], "1", "999999999"])
    others("lem_model", "2024-01-17", **{RUN_PROCESS: gone})
    others("lem_model", "2024-01-17", **{RUN_PROCESS: this_process()})
    assert wait(MODEL)[0] == [MODEL]


def test_a_training_waits_for_any_other_training_that_holds_the_pool(wait, others):
    run_id = others("lem_model", "2024-01-10", pool=TRAINING_POOL)
    _, ended, said = wait(MODEL, run_id)
    assert ended
    assert f"run {run_id} trains, and 1 at a time may (pool lem_training)" in said


def made_by_others(instance, run_id):
    """The run has begun and succeeded just now."""
    for kind in ("PIPELINE_START", "PIPELINE_SUCCESS"):
        instance.report_dagster_event(dg.DagsterEvent(kind, job_name="run", message=""), run_id)


def test_what_others_made_in_the_meantime_is_left_out_and_the_rest_is_made(instance, make_universe, tiny_keys, others):
    turn = Turns(instance, make_universe(**tiny_keys()))
    time.sleep(0.05)
    for table in ("raw_bars", "bars"):
        made_by_others(instance, others(table, "AAA-USD|2024-01-04", "AAA-USD|2024-01-05"))
    assert turn.wait(BARS) == [run_of(("raw_bars", "bars"), "BBB-USD|2024-01-04", "BBB-USD|2024-01-05")]
    made_by_others(instance, others("lem_model", "2024-01-17"))
    assert turn.wait(MODEL) == []
    assert turn.wait(dataclasses.replace(MODEL, again=True)) != []
    assert dataclasses.replace(turn, keep=False).wait(MODEL) == [MODEL]


def test_what_others_made_before_this_command_made_what_it_is_made_from_is_made_again(
    instance, make_universe, tiny_keys, others
):
    turn = Turns(instance, make_universe(**tiny_keys()))
    time.sleep(0.05)
    made_by_others(instance, others("lem_model", "2024-01-17"))
    time.sleep(0.05)
    turn.done(run_of(("panel",), "2024-01-09"))
    assert turn.wait(MODEL) == [MODEL]


HOLDS = """
import sys, time
from pathlib import Path
from resources.locks import one_at_a_time, take_for_life
if sys.argv[1] == "life":
    take_for_life(Path(sys.argv[2]), "it is mine")
    print("in", flush=True); time.sleep(60)
with one_at_a_time(Path(sys.argv[2]), 7):
    print("in", flush=True); time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """`holder("life")`: a process that has the lock `tmp_path / lock`, until it is killed."""
    processes = []

    def start(kind):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDS, kind, str(tmp_path / "lock")],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.getcwd()},
        )
        processes.append(process)
        assert process.stdout.readline() == "in\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_two_processes_are_not_inside_at_once_and_a_killed_one_is_no_longer(tmp_path, holder):
    process, inside = holder("turn"), threading.Event()

    def enter():
        with one_at_a_time(tmp_path / "lock", 7):
            inside.set()

    with one_at_a_time(tmp_path / "lock", 8):  # another number is another lock
        pass
    threading.Thread(target=enter, daemon=True).start()
    assert not inside.wait(0.5)
    process.kill()
    assert inside.wait(10)


def test_what_a_process_has_taken_for_life_says_what_it_wrote_until_it_ends(tmp_path, holder):
    process = holder("life")
    with pytest.raises(TakenError, match="it is mine"):
        take_for_life(tmp_path / "lock", "no, mine")
    process.kill()
    process.wait()
    os.close(take_for_life(tmp_path / "lock", "mine"))


def test_a_model_that_another_run_trains_while_this_one_waits_is_not_trained_again(home, tiny_home, monkeypatch):
    universe = tiny_home.universe
    lake, registry = Lake(str(home / "home" / "lake")), Registry(f"sqlite:///{home}/home/registry.sqlite")
    date, trainings, train = dt.date(2024, 1, 19), [], nightly.train_for

    @contextmanager
    def held_by_another(file, number):
        train(lake, registry, universe, date)
        yield

    monkeypatch.setattr(lem_model, "one_at_a_time", held_by_another)
    monkeypatch.setattr(nightly, "train_for", lambda *_: trainings.append(1))
    key = dg.AssetKey(["tiny", "lem_model"])
    job = build([universe]).get_repository_def().get_implicit_job_def_for_assets([key])
    with dg.DagsterInstance.ephemeral() as instance:
        done = job.get_subset(asset_selection={key}).execute_in_process(
            instance=instance,
            partition_key=str(date),
            resources={"lake": LakeResource(root=lake.root), "registry": RegistryResource(url=registry.url_shown)},
        )
    assert done.success
    assert trainings == []
    (event,) = done.asset_materializations_for_node("tiny__lem_model")
    assert event.metadata["model_id"].value == registry.candidate("tiny", date).id
