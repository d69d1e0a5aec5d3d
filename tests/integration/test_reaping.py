"""kill -9 of a run that holds a pool's only slot; `lem reap`; the next run gets the slot."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import dagster as dg
import pytest

from tests.conftest import ROOT

HOLD = """
import sys, time
import dagster as dg
from lem_pipeline.running.home import instance
from resources.stores import LakeResource

@dg.asset(pool="one")
def held(lake: LakeResource) -> None:
    print("held", flush=True)
    if sys.argv[1] == "hold":
        time.sleep(600)

done = dg.materialize([held], resources={"lake": LakeResource()}, instance=instance(), raise_on_error=False)
sys.exit(not done.success)
"""


def test_after_a_kill_the_slot_is_lost_and_reap_gives_it_back(
    tmp_path, tiny_keys, write_universe, lem_command, monkeypatch
):
    write_universe(tmp_path / "universes", tiny_keys())
    for name, value in {
        "DAGSTER_HOME": tmp_path / "history",
        "LEM_HOME": tmp_path / "home",
        "PYTHONPATH": ROOT,
    }.items():
        monkeypatch.setenv(name, str(value))
    settings = {"DAGSTER_HOME": str(tmp_path / "history")}
    (tmp_path / "history").mkdir()
    # A slot of its own for each step: what a user's file may ask for, and what a kill leaves behind.
    (tmp_path / "history" / "dagster.yaml").write_text("concurrency: {pools: {default_limit: 1, granularity: op}}\n")
    holder = subprocess.Popen([sys.executable, "-c", HOLD, "hold"], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert holder.stdout.readline() == "held\n"
    assert "Nothing was left behind." in lem_command(tmp_path, "reap", **settings).out, "it lives"
    holder.kill()
    holder.wait()

    with dg.DagsterInstance.get() as instance:
        (run,) = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.STARTED
        told = lem_command(tmp_path, "reap", **settings)
        assert told.code == 0
        assert f"dead run {run.run_id} (STARTED, " in told.out
        assert "): its process is gone (" in told.out
        assert "Nothing was changed; lem reap --yes clears what is dead and records what is unrecorded." in told.out
        assert instance.event_log_storage.get_concurrency_info("one").active_slot_count == 1

        assert f"cleared run {run.run_id}" in lem_command(tmp_path, "reap", "--yes", **settings).out
        assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE
        assert instance.event_log_storage.get_concurrency_info("one").active_slot_count == 0
        following = subprocess.run([sys.executable, "-c", HOLD, "go"], cwd=tmp_path, timeout=300, check=False)
        assert following.returncode == 0
        assert "Nothing was left behind." in lem_command(tmp_path, "reap", **settings).out


WRITER = """
import os, sys
from lem.lake import Lake
from lem_pipeline.cli.app import app

whole, written = Lake.write_table, []

def write_table(lake, path, *more):
    if len(written) == 7:
        os.kill(os.getpid(), int(sys.argv[1]))
    written.append(path)
    return whole(lake, path, *more)

Lake.write_table = write_table
app(["backfill", "-u", "tiny", "--from", "2024-01-10", "--to", "2024-01-12"])
"""


BACKFILL = ("backfill", "-u", "tiny", "--from", "2024-01-10", "--to", "2024-01-12")
RAW = dg.AssetKey(["tiny", "raw_bars"])


@pytest.fixture
def stopped(tmp_path, write_universe, tiny_keys, monkeypatch):
    """`stopped(signal)`: a backfill over a range that got this signal after seven partitions; settings and lake."""
    settings = {"DAGSTER_HOME": str(tmp_path / "history"), "LEM_HOME": str(tmp_path / "home")}

    def run(number: signal.Signals):
        write_universe(tmp_path / "universes", tiny_keys())
        for name, value in (settings | {"PYTHONPATH": str(ROOT), "LEM_UNIVERSES": str(tmp_path / "universes")}).items():
            monkeypatch.setenv(name, value)
        command = [sys.executable, "-c", WRITER, f"{number:d}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode in (-number, 130), done.stderr
        left = tmp_path / "home" / "lake" / "tiny" / "raw_bars"
        assert len(list(left.glob("*/*.parquet"))) == 7
        return settings, left

    return run


@pytest.mark.thorough
def test_what_a_killed_range_wrote_is_in_the_history_after_reap_and_the_next_try(stopped, tmp_path, lem_command):
    settings, left = stopped(signal.SIGKILL)
    assert "unrecorded 7 partitions of tiny/raw_bars (" in lem_command(tmp_path, "reap", **settings).out
    with dg.DagsterInstance.get() as instance:
        assert instance.get_materialized_partitions(RAW) == set(), "only told"
        assert "recorded 7 partitions of tiny/raw_bars (" in lem_command(tmp_path, "reap", "--yes", **settings).out
        assert len(instance.get_materialized_partitions(RAW)) == 7
        again = lem_command(tmp_path, *BACKFILL, **settings)
        assert again.code == 0, again.out + again.err
        assert len(instance.get_materialized_partitions(RAW)) == len(list(left.glob("*/*.parquet")))
    assert "Nothing was left behind." in lem_command(tmp_path, "reap", **settings).out


@pytest.mark.slow
def test_what_was_written_before_ctrl_c_is_in_the_history(stopped, tmp_path, lem_command):
    settings, _ = stopped(signal.SIGINT)
    with dg.DagsterInstance.get() as instance:
        assert len(instance.get_materialized_partitions(RAW)) == 7
    assert "Nothing was left behind." in lem_command(tmp_path, "reap", **settings).out


@pytest.mark.parametrize("text", ["6", "soon"])
def test_an_age_that_is_none_is_one_message(tmp_path, lem_command, text):
    done = lem_command(tmp_path, "reap", "--older-than", text)
    assert done.code == 1
    assert done.err.startswith(f"error: age '{text}' is none; allowed: ")


LIVING = """
import pathlib, sys, time
from lem.lake import Lake
from lem_pipeline.cli.app import app

whole, written = Lake.write_table, []

def write_table(lake, path, *more):
    if len(written) == 7:
        pathlib.Path("seven").touch()
        while not pathlib.Path("on").exists():
            time.sleep(0.1)
    written.append(path)
    return whole(lake, path, *more)

Lake.write_table = write_table
app(["backfill", "-u", "tiny", "--from", "2024-01-10", "--to", "2024-01-12"])
"""


@pytest.mark.slow
def test_beside_a_living_backfill_nothing_is_found(tmp_path, lem_command, write_universe, tiny_keys, monkeypatch):
    settings = {"DAGSTER_HOME": str(tmp_path / "history"), "LEM_HOME": str(tmp_path / "home")}
    write_universe(tmp_path / "universes", tiny_keys())
    for name, value in (settings | {"PYTHONPATH": str(ROOT), "LEM_UNIVERSES": str(tmp_path / "universes")}).items():
        monkeypatch.setenv(name, value)
    living = subprocess.Popen([sys.executable, "-c", LIVING], cwd=tmp_path)
    try:
        while not (tmp_path / "seven").exists():
            assert living.poll() is None
            time.sleep(0.1)
        told = lem_command(tmp_path, "reap", **settings)
        assert told.out == "Nothing was left behind.\n"
        with dg.DagsterInstance.get() as instance:
            (run,) = instance.get_runs()
            assert run.asset_selection == {RAW, dg.AssetKey(["tiny", "bars"])}
            shown = {name for name in run.tags if not name.startswith((".dagster/", "dagster/"))}
            assert shown == {"lem/universe"}
    finally:
        (tmp_path / "on").touch()
        assert living.wait(300) == 0
    assert lem_command(tmp_path, "reap", **settings).out == "Nothing was left behind.\n"
