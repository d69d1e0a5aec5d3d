"""The benchmarks of backfills and of definitions: they run, and everyone has done the same work."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from benchmarks import backfill
from benchmarks.common import BenchmarkError
from lem.lake import Lake
from lem.universe.calendars import partition_dates
from tests.conftest import ROOT


def run(name, out):
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text(encoding="utf-8"))["rows"]


@pytest.mark.slow
def test_a_smoke_run_of_the_backfill_compares_the_pipeline_with_the_bare_loop(tmp_path):
    rows = {row["who"]: row for row in run("backfill", tmp_path / "out.json")}
    assert {"bare loop", "pipeline, SQLite"} <= set(rows)
    assert {row["partitions"] for row in rows.values()} == {3 * 2 * 5}
    assert rows["bare loop"]["runs"] == 0
    assert rows["pipeline, SQLite"]["runs"] == 2
    assert rows["pipeline, SQLite"]["times_bare_cpu"] > 1


@pytest.mark.slow
def test_a_smoke_run_of_the_definitions_measures_loading_and_ticks(tmp_path):
    rows = {row["what"]: row for row in run("definitions", tmp_path / "out.json")}
    assert {"import of dagster", "automation tick, at rest", "automation tick, the night begins"} <= set(rows)
    assert all(row["seconds"] > 0 for row in rows.values())


def test_the_bare_loop_writes_the_bytes_of_the_pipeline(tmp_path, monkeypatch):
    from benchmarks import backfill_work

    monkeypatch.setenv("LEM_LAKE", str(tmp_path / "pipeline" / "lake"))
    universe = backfill_work.universe_of(1, 3)
    dates = partition_dates(universe, universe.start, universe.end)
    for who in ("bare", "pipeline"):
        getattr(backfill_work, who)(universe, str(tmp_path / who), dates)
    one, other = (
        {
            path: lake.versions(path)
            for path in (lake.path("bench", table, date, "A00-USD") for table in backfill_work.TABLES for date in dates)
        }
        for lake in (Lake(str(tmp_path / who / "lake")) for who in ("bare", "pipeline"))
    )
    assert one == other
    assert all(one.values())


def test_a_server_that_does_not_answer_is_an_error_that_says_so():
    with pytest.raises(BenchmarkError, match="allowed: a server where databases may be created"):
        backfill.fresh_database("postgresql://nobody@127.0.0.1:1/none")
