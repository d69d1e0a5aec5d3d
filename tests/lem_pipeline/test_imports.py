"""What only fetches and looks at data does not pay for training and drawing: torch and matplotlib take seconds."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lem.lake import Lake
from tests.conftest import ROOT

HEAVY = {"torch", "matplotlib", "scipy", "ccxt", "celery"}
SCRIPT = f"""
import sys
import lem_pipeline.cli, lem_pipeline.definitions, lem_pipeline.execute, lem_pipeline.plan
for command in ("status -u tiny", "backfill -u tiny --from 2024-01-10 --to 2024-01-11", "status -u tiny"):
    print("imported:", *sorted({HEAVY} & set(sys.modules)))
    sys.argv = ["lem", *command.split()]
    try:
        lem_pipeline.cli.main()
    except SystemExit as stop:
        assert not stop.code, command
print("imported:", *sorted({HEAVY} & set(sys.modules)))
"""


@pytest.fixture
def folder(tmp_path, tiny_keys, write_universe):
    write_universe(tmp_path / "universes", tiny_keys())
    return tmp_path


def test_definitions_and_commands_on_data_import_neither_torch_nor_what_draws(folder):
    place = {"LEM_HOME": f"{folder}/home", "LEM_UNIVERSES": f"{folder}/universes", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=os.environ | place | {"DAGSTER_HOME": f"{folder}/dagster"},
    )
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("imported:")] == ["imported:"] * 4
    assert len(Lake(f"{folder}/home/lake").names("tiny/panel")) == 2
