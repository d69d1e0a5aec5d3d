"""Who only looks does not wait for what trains, draws and works on tables: the imports of these take seconds."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lem.lake import Lake
from lem.registry import Registry
from tests.conftest import ROOT

HEAVY = {"torch", "matplotlib", "scipy", "ccxt", "celery"}
TABLES = {"dagster", "pandas", "pandera", "exchange_calendars", "alembic", "pyarrow.compute"}
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
BACKFILL = "backfill -u tiny --from 2024-01-10 --to 2024-01-11"


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


@pytest.mark.parametrize(
    ("commands", "absent"),
    [
        (["--help", "advise --help"], TABLES | {"sqlalchemy", "pydantic_settings", "pyarrow", "fsspec"}),
        (["models list -u tiny", "models history -u tiny"], TABLES | {"pyarrow", "fsspec", "numpy"}),
        (["advise list -u tiny", "status -u tiny", "report --help"], TABLES),
    ],
)
def test_a_command_that_only_looks_imports_nothing_that_makes_or_reads_tables(imported, tmp_path, commands, absent):
    (tmp_path / "home").mkdir()
    Registry(f"sqlite:///{tmp_path}/home/registry.sqlite")  # which Alembic makes
    assert imported("lem_pipeline.cli.app", commands, HEAVY | absent) == [f"imported after {one}" for one in commands]


def test_showing_a_report_imports_nothing_that_makes_one(imported):
    assert imported("lem_pipeline.cli.app, lem_pipeline.cli.show", ["--version"], HEAVY | TABLES) == [
        "imported after --version"
    ]


@pytest.mark.thorough
def test_looking_at_one_order_at_alerts_and_at_what_is_left_behind_imports_neither_the_graph_nor_what_draws(imported):
    modules = "lem_pipeline.cli.reports, lem_pipeline.cli.show_reap, lem_pipeline.repair.unrecorded"
    modules += ", lem_pipeline.running.telling, lem_pipeline.cli.app"
    assert imported(modules, ["--version"], HEAVY | {"assets.graph", "pandera"}) == ["imported after --version"]


def test_a_command_does_not_look_through_all_that_it_imported_before_it_ends():
    told = "import atexit, gc, sys; atexit.register(lambda: print(gc.get_freeze_count()))"
    command = "sys.argv = ['lem', '--version']; from lem_pipeline.cli.__main__ import start; start()"
    done = subprocess.run([sys.executable, "-c", f"{told}; {command}"], capture_output=True, text=True, check=True)
    version, frozen = done.stdout.splitlines()
    assert version.startswith("lem ")
    assert int(frozen) > 10_000


def test_what_is_imported_late_is_the_library_itself():
    import pandas

    from lem.late import pd

    assert pd.DataFrame is pandas.DataFrame
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        _ = pd.nothing_of_that_name
