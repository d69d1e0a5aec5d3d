"""Every benchmark of models runs to its end: a fault behind an hour's training would be found too late."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from benchmarks.common import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bound", "peek", "ablation", "sizes"])
def test_a_quick_run_ends_with_its_table(tmp_path, name, shared_data):
    bars = {} if name == "bound" else {"LEM_DATA": str(shared_data("crypto_1h").parent)}
    out = tmp_path / f"{name}.json"
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--jobs", "1", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | bars, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(out.read_text())["rows"]


@pytest.mark.slow
def test_a_quick_night_is_told_by_stage(tmp_path):
    out = tmp_path / "night.json"
    command = [sys.executable, "-m", "benchmarks.night", "--quick", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    whole, *stages = json.loads(out.read_text())["rows"]
    assert min(row["seconds"] for row in stages) > 0, "every stage was made in that night"
    assert sum(row["seconds"] for row in stages) == pytest.approx(whole["seconds"])
    assert whole["peak_mb"] > 100


@pytest.mark.slow
def test_a_quick_window_is_stored_read_and_trained_on(tmp_path):
    out = tmp_path / "window.json"
    command = [sys.executable, "-m", "benchmarks.window", "--quick", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (row,) = json.loads(out.read_text())["rows"]
    assert row["bars"] == 2 * 30 * 24
    assert 100 < row["read_mb"] <= row["panel_mb"] <= row["peak_mb"]
