"""The benchmark of live advice: it runs, and times only what was decided then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from benchmarks import advise
from benchmarks.common import BenchmarkError
from tests.conftest import ROOT


@pytest.mark.slow
def test_a_smoke_run_advances_all_orders_three_ways_and_says_that_it_is_one(tmp_path):
    out = tmp_path / "advise.json"
    command = [sys.executable, "-m", "benchmarks.advise", "--quick", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert "SMOKE RUN" in done.stdout
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert [(row["orders"], row["bars"]) for row in rows] == [(20, 3)] * 3 + [(3, 3)] + [(100, 5)] * 2
    assert all(0 < row["p50_ms"] <= row["p99_ms"] for row in rows)


def test_a_bar_whose_slices_were_there_before_is_not_timed():
    slices = [SimpleNamespace(repeated=False), SimpleNamespace(repeated=True)]
    answer = SimpleNamespace(slices=slices, refused={"o2": "no bars"})
    for count in (2, 3):
        with pytest.raises(BenchmarkError, match="advised 2 of"):
            advise.fresh(answer, count)
    slices[1].repeated = False
    advise.fresh(answer, 2)
