"""What only fetches and looks at data does not pay for training and drawing: torch and matplotlib take seconds."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lem.lake import Lake
from tests.conftest import ROOT

HEAVY = {"torch", "matplotlib", "scipy", "ccxt", "celery"}
SCRIPT = """
import sys
import {modules}
for command in {commands}:
    sys.argv = ["lem", *command.split()]
    try:
        lem_pipeline.cli.app.main()
    except SystemExit as stop:
        assert not stop.code, command
    print("imported after", command, *sorted({absent} & set(sys.modules)))
"""
BACKFILL, STATUS = "backfill -u tiny --from 2024-01-10 --to 2024-01-11", "status -u tiny"


@pytest.fixture
def imported(tmp_path, tiny_keys, write_universe):
    """What of `absent` a process has imported after each of some commands, as lines of text."""
    write_universe(tmp_path / "universes", tiny_keys())
    place = {"LEM_HOME": f"{tmp_path}/home", "LEM_UNIVERSES": f"{tmp_path}/universes", "PYTHONPATH": str(ROOT)}

    def run(modules, commands, absent):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT.format(modules=modules, commands=commands, absent=absent)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=os.environ | place | {"DAGSTER_HOME": f"{tmp_path}/dagster"},
        )
        assert done.returncode == 0, done.stderr
        return [line for line in done.stdout.splitlines() if line.startswith("imported")]

    return run


def test_the_definitions_and_a_run_on_data_import_neither_torch_nor_what_draws(imported, tmp_path):
    modules = "lem_pipeline.cli.app, lem_pipeline.definitions, lem_pipeline.running.execute, lem_pipeline.planning.plan"
    assert imported(modules, [BACKFILL], HEAVY) == [f"imported after {BACKFILL}"]
    assert len(Lake(f"{tmp_path}/home/lake").names("tiny/panel")) == 2


def test_looking_at_the_data_does_not_import_dagster_either(imported):
    assert imported("lem_pipeline.cli.app", [STATUS], HEAVY | {"dagster"}) == [f"imported after {STATUS}"]
