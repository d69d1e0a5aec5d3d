"""The summary of the benchmarks: every goal, what was found, and whether it falls short."""

from __future__ import annotations

import json
import re

import pytest

from benchmarks import common, goals, summary
from benchmarks.common import BenchmarkError
from benchmarks.goals import GOALS, Goal
from tests.conftest import ROOT

SPEED = Goal("speed", "times the peer", "ratio", {"job": "train"}, least=100)
SLOW = Goal("speed", "CPU over the loop", "over", most=1.6, inverse=True)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """`written("speed", rows)` publishes rows, with the goals of this file alone."""
    monkeypatch.setattr(goals, "GOALS", (SPEED, SLOW))

    def write(name, rows):
        document = {"rows": rows, "date": "2026-01-01T00:00:00+00:00", "commit": "abc"}
        (tmp_path / f"{name}.json").write_text(json.dumps(document))

    return write


def said(tmp_path, *names):
    return [(row["what"], row.get("figure"), row["said"]) for row in goals.summary(tmp_path, names)]


def test_each_goal_is_met_or_falls_short(tmp_path, written):
    written("speed", [{"job": "train", "ratio": 76.0}, {"job": "predict", "ratio": 300.0}, {"over": 1.0}])
    assert said(tmp_path, "speed") == [("times the peer", 76.0, "SHORT"), ("CPU over the loop", 1.0, "met")]
    written("speed", [{"job": "train", "ratio": 100.0}, {"over": 0.5}])
    assert [row[1:] for row in said(tmp_path, "speed")] == [(100.0, "met"), (2.0, "SHORT")]


def test_what_was_not_run_or_not_measured_is_no_success(tmp_path, written):
    assert {row[2] for row in said(tmp_path, "speed", "gate")} == {"not run"}
    written("speed", [{"job": "train", "ratio": None}, {"over": 1.0}, {"over": 2.0}])
    assert [row[1:] for row in said(tmp_path, "speed")] == [(None, "not measured")] * 2


def test_a_smoke_run_counts_for_nothing_and_not_at_all_beside_a_full_one(tmp_path, written):
    written("speed-quick", [{"job": "train", "ratio": 500.0}])
    assert {row[2] for row in said(tmp_path, "speed")} == {"smoke run"}
    written("speed", [{"job": "train", "ratio": 5.0}])
    assert said(tmp_path, "speed")[0] == ("times the peer", 5.0, "SHORT")


def test_a_file_that_is_damaged_is_named(tmp_path, written):
    (tmp_path / "speed.json").write_text("{")
    with pytest.raises(BenchmarkError, match=r"speed\.json.*run the benchmark again"):
        said(tmp_path, "speed")


def test_the_page_has_every_benchmark_that_make_bench_runs_and_every_goal(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(common, "OUT", tmp_path)
    monkeypatch.setattr("sys.argv", ["summary"])
    summary.main()
    printed = capsys.readouterr().out
    assert f"0 of {len(GOALS)} met" in printed
    assert all(goal.what in printed for goal in GOALS)
    run = re.search(r"^BENCHMARKS \?= (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert run is not None
    assert run[1].split() == summary.BENCHMARKS
    assert {goal.benchmark for goal in GOALS} <= set(summary.BENCHMARKS)
