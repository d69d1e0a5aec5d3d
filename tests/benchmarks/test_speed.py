"""The benchmark of speed: it runs, counts orders as it says, and compares turn by turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from benchmarks import speed
from benchmarks.common import BenchmarkError
from benchmarks.peer import PEER
from tests.conftest import ROOT


@pytest.mark.thorough
def test_a_smoke_run_without_the_peer_says_both_and_gives_rates_and_the_time_of_a_retrain(tmp_path):
    out = tmp_path / "speed.json"
    command = [sys.executable, "-m", "benchmarks.speed", "--quick", "--no-peer", "--threads", "1", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert "SMOKE RUN" in done.stdout
    assert "no peer" in done.stdout
    document = json.loads(out.read_text(encoding="utf-8"))
    assert document["peer"] is None
    assert document["machine"]["threads"] == 1
    rates = [row for row in document["rows"] if "orders_per_s" in row]
    assert [row["job"] for row in rates] == ["train", "predict"]
    assert all(row["orders_per_s"] > 0 and "ratio" not in row for row in rates)
    assert document["rows"][-1]["job"] == "nightly retrain"
    assert document["rows"][-1]["seconds"] > 0


def test_a_step_trains_every_weight_on_every_end_time_and_prediction_needs_no_gradient():
    model, orders, jobs = speed.our_jobs(speed.SMOKE, 5, batch=3, sequence=20)
    assert orders == 3 * (20 - 5 - speed.SMOKE.warmup + 1)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    for _ in range(2):  # the heads' last layer is zero at first and lets no gradient through
        jobs["train"]()
    assert not [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    assert not jobs["predict"]().requires_grad
    terms = speed.every_end(5)
    assert terms.m_O.flatten().tolist() == [1, 2, 3, 4, 5]
    assert torch.broadcast_shapes(terms.m_O.shape, terms.sign_O.shape) == (1, 1, 5, 8)


class Fixed:
    parameters = 7

    def __init__(self, *rates: float) -> None:
        self.rates, self.asked = list(rates), 0

    def rate(self, job: str) -> float:
        self.asked += 1
        return self.rates[(self.asked - 1) // len(speed.JOBS) % len(self.rates)]


def test_the_ratio_is_to_the_faster_backend_turn_by_turn():
    contenders: dict[str, Any] = {
        "lem": Fixed(100.0, 300.0, 120.0),
        f"{PEER} (torch)": Fixed(1.0, 9.0, 2.0),
        f"{PEER} (jax)": Fixed(4.0, 3.0, 3.0),
    }
    rows = speed.rows_of("small", contenders, speed.take_turns(contenders, 3))
    ours = next(row for row in rows if row["who"] == "lem" and row["job"] == "train")
    assert ours["against"] == f"{PEER} (jax)"
    assert (ours["ratio"], ours["ratio_low"], ours["ratio_high"]) == (40.0, 25.0, 100.0)
    assert (ours["orders_per_s"], ours["low"], ours["high"]) == (120.0, 100.0, 300.0)
    assert not [row for row in rows if row["who"] != "lem" and "ratio" in row]


def test_more_cores_than_there_are_is_an_error():
    with pytest.raises(BenchmarkError, match="allowed: 1 to"):
        speed.use_cores(10_000)
