"""Training on several processes of this machine: the same curve, the same weights for all, and no hanging."""

from __future__ import annotations

import datetime as dt
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from lem.errors import TrainingError
from lem.execution.costs_config import CostsConfig
from lem.model.lem import weights_hash
from lem.training import ranks
from lem.training.distributed import RankError
from lem.training.nightly import train_for
from lem.training.ranks import train_on_ranks
from lem.universe.training_config import TrainingConfig
from tests.lem.builders import TINY, TINY_TRAINING, brownian_panel
from tests.lem.training.conftest import DATE

HORIZON, COSTS = 4, CostsConfig()
PANEL = brownian_panel(6, assets=2).cut(48, 144)
MODEL = TINY.model_copy(update={"dropout": 0.3})


def config(**changes) -> TrainingConfig:
    return TINY_TRAINING.model_copy(update={"batch": 5, "steps": 12} | changes)


def curve(trained, name: str = "loss") -> np.ndarray:
    return np.array([getattr(point, name) for point in trained.curve])


@pytest.fixture
def started(monkeypatch) -> list[subprocess.Popen]:
    """The ranks that were started."""
    found: list[subprocess.Popen] = []

    class Noted(subprocess.Popen):
        def __init__(self, *args, **kwargs) -> None:
            super().__init__(*args, **kwargs)
            found.append(self)

    monkeypatch.setattr(ranks.subprocess, "Popen", Noted)
    return found


def test_two_processes_give_the_loss_curve_of_one(started):
    one = train_on_ranks(PANEL, HORIZON, MODEL, config(), COSTS)
    assert started == []
    two = train_on_ranks(PANEL, HORIZON, MODEL, config(workers=2), COSTS)
    assert len(curve(two)) == 12
    np.testing.assert_allclose(curve(two), curve(one), rtol=0, atol=1e-5)
    np.testing.assert_allclose(curve(two, "gain_sigma"), curve(one, "gain_sigma"), rtol=0, atol=1e-5)
    assert [rank.poll() is not None for rank in started] == [True]
    assert two.arrivals == one.arrivals


@pytest.mark.slow
def test_three_uneven_shares_differ_from_one_process_by_rounding_alone(started):
    """In double precision nothing is left of the difference, whatever the optimiser makes of small gradients."""
    torch.set_default_dtype(torch.float64)
    try:
        one = train_on_ranks(PANEL, HORIZON, MODEL, config(steps=60), COSTS)
        three = train_on_ranks(PANEL, HORIZON, MODEL, config(steps=60, workers=3), COSTS)
    finally:
        torch.set_default_dtype(torch.float32)
    assert len(started) == 2
    np.testing.assert_allclose(curve(three), curve(one), rtol=0, atol=1e-9)
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(three.model.state_dict()[name], value, rtol=0, atol=1e-6, msg=name)


@pytest.mark.thorough
def test_a_rank_that_is_killed_ends_the_training_with_its_name(started):
    def kill(step: int, loss: float) -> None:
        if step == 2:
            started[0].kill()

    with pytest.raises(RankError, match=r"rank 1 \(process \d+\) ended with signal SIGKILL") as caught:
        train_on_ranks(PANEL, HORIZON, MODEL, config(workers=3, steps=100_000), COSTS, kill)
    assert "waited for the gradients of the others" in str(caught.value)
    assert all(rank.poll() is not None for rank in started), "the other one is gone too"


@pytest.mark.slow
def test_a_rank_that_is_silent_ends_the_training(started):
    def stop(step: int, loss: float) -> None:
        if step == 2:
            started[0].send_signal(signal.SIGSTOP)

    with pytest.raises(RankError, match="all processes live, one was silent for 20 s"):
        train_on_ranks(PANEL, HORIZON, MODEL, config(workers=2, steps=100_000), COSTS, stop, dt.timedelta(seconds=20))
    assert started[0].poll() == -signal.SIGKILL


def test_a_rank_that_cannot_start_is_noticed_at_once(monkeypatch, tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such interpreter >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(ranks.sys, "executable", str(broken))
    with pytest.raises(RankError, match=r"not all of 2 ranks started; rank 1 .* exit code 3: no such interpreter"):
        train_on_ranks(PANEL, HORIZON, MODEL, config(workers=2), COSTS)


ORPHAN = """
import os, sys, pickle
from lem.training import ranks
panel, model, training, costs = pickle.load(open(sys.argv[1], "rb"))
Popen = ranks.subprocess.Popen
def noted(*args, **kwargs):
    process = Popen(*args, **kwargs)
    print(process.pid, flush=True)
    return process
ranks.subprocess.Popen = noted
ranks.train_on_ranks(panel, 4, model, training, costs, lambda step, loss: os.kill(os.getpid(), 9))
"""


@pytest.mark.thorough
def test_no_rank_outlives_the_process_that_started_it(tmp_path):
    (tmp_path / "task").write_bytes(pickle.dumps((PANEL, MODEL, config(workers=2, steps=100_000), COSTS)))
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN, str(tmp_path / "task")],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ranks.LIBRARY)},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    orphan = Path(f"/proc/{int(done.stdout)}/cmdline")
    deadline = time.monotonic() + 60
    while orphan.exists() and orphan.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not orphan.exists() or not orphan.read_bytes()


@pytest.mark.slow
def test_the_manifest_says_how_many_ranks_trained_the_model(lake, registry, universe):
    shared = universe.model_copy(update={"training": universe.training.model_copy(update={"workers": 2})})
    one, two = (train_for(lake, registry, each, DATE) for each in (universe, shared))
    assert (one.record.training_settings["workers"], two.record.training_settings["workers"]) == (1, 2)
    assert two.record.weights_sha256 == weights_hash(two.trained.model.weights())
    again = train_for(lake, registry, shared, DATE)
    assert again.record.id == two.record.id, "the same ranks give the same bits"


def test_more_ranks_than_sequences_are_refused():
    with pytest.raises(ValidationError, match="workers: 3 cannot share a batch of 2; allowed: batch or fewer"):
        TrainingConfig(batch=2, workers=3)


def test_torchrun_must_have_started_as_many_ranks_as_the_universe_says(monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "3", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match=r"torchrun has started 3 ranks, training\.workers is 2"):
        train_on_ranks(PANEL, HORIZON, MODEL, config(workers=2), COSTS)
