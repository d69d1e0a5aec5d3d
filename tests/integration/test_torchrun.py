"""A model trained by processes that `torchrun` has started: as docs/scaling.md says, both on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lem.registry import Registry
from tests.conftest import ROOT
from tests.servers import free_port

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
DATE = "2024-01-17"


def start(folder: Path, rank: int, port: int) -> subprocess.Popen[str]:
    (line,) = [line.strip() for line in PAGE.splitlines() if line.strip().startswith("torchrun")]
    here = {"HOST": "127.0.0.1", "29500": str(port), "sample": "tiny", "2024-03-29": DATE}
    words = [here.get(word, word) for word in line.split()]
    words[words.index("--node-rank") + 1] = str(rank)
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "LEM_HOME": str(folder / "home"),
        "LEM_UNIVERSES": str(folder / "universes"),
        "DAGSTER_HOME": str(folder / "home" / "dagster"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "torch.distributed.run", *words[1:]]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, **output)


@pytest.fixture
def folder(tiny_home, tmp_path, tiny_keys, write_universe) -> Path:
    """A copy of the tiny home, whose universe is trained by two ranks."""
    shutil.copytree(tiny_home.folder, tmp_path, dirs_exist_ok=True)
    training = tiny_keys()["training"] | {"workers": 2}
    write_universe(tmp_path / "universes", tiny_keys(training=training))
    return tmp_path


def test_two_machines_train_one_model_and_the_first_alone_writes_it(folder):
    port = free_port()
    ranks = [start(folder, rank, port) for rank in (0, 1)]
    said = [rank.communicate(timeout=540)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], said
    registry = Registry(f"sqlite:///{folder}/home/registry.sqlite", read_only=True)
    by_workers = {m.training_settings["workers"]: m for m in registry.models("tiny") if str(m.usable_on) == DATE}
    assert set(by_workers) == {1, 2}
    assert by_workers[1].inputs == by_workers[2].inputs
    assert registry.candidate("tiny", by_workers[2].usable_on) == by_workers[2]


def test_ranks_with_different_settings_end_with_an_error(folder, tmp_path_factory, tiny_keys, write_universe):
    other, port = tmp_path_factory.mktemp("other"), free_port()
    shutil.copytree(folder, other, dirs_exist_ok=True)
    write_universe(other / "universes", tiny_keys(training=tiny_keys()["training"] | {"workers": 2, "steps": 4}))
    ranks = [start(folder, 0, port), start(other, 1, port)]
    said = "".join(rank.communicate(timeout=540)[0] for rank in ranks)
    assert all(rank.returncode for rank in ranks)
    assert "code, settings or panel of rank 1 of 2 differ from those of rank 0" in said
