"""A new home is its owner's alone; one that the owner opened stays as it is, and `lem doctor` says so."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


def lem(folder: Path, *arguments: str, umask: int = 0o022, **env: str) -> str:
    """What `lem` prints, in a process of its own with a user's umask."""
    homes = {"LEM_HOME": str(folder / "parent" / "home"), "LEM_UNIVERSES": str(folder / "universes")}
    kept = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME" and not name.startswith("LEM_")}
    done = subprocess.run(
        [sys.executable, "-m", "lem_pipeline.cli", *arguments],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(ROOT), "COLUMNS": "250"} | homes | env,
        umask=umask,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.stdout + done.stderr


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder(tmp_path, tiny_keys, write_universe):
    write_universe(tmp_path / "universes", tiny_keys())
    (tmp_path / "parent").mkdir(mode=0o755)
    return tmp_path


def test_all_of_a_new_home_is_for_its_owner_alone(folder):
    said = lem(folder, "doctor")
    home = folder / "parent" / "home"
    assert {mode(path) for path in [home, *home.rglob("*")] if path.is_dir()} == {0o700}
    files = [path for path in home.rglob("*") if path.is_file()]
    assert {"registry.sqlite", "dagster.yaml"} <= {path.name for path in files}
    assert not {str(path): oct(mode(path)) for path in files if mode(path) & 0o077}
    assert "no other user of this machine can read what is kept" in said


@pytest.mark.slow
def test_places_outside_of_the_home_are_closed_too(folder):
    elsewhere = {"LEM_LAKE": str(folder / "lake"), "LEM_REGISTRY": f"sqlite:///{folder / 'registry.sqlite'}"}
    said = lem(folder, "doctor", **elsewhere)
    assert (mode(folder / "lake"), mode(folder / "registry.sqlite")) == (0o700, 0o600)
    (folder / "lake").chmod(0o755)
    assert re.search(rf"every user of this machine can read {folder}/lake:", lem(folder, "doctor", **elsewhere))
    assert "no other user" in said


@pytest.mark.thorough
def test_a_home_that_others_may_read_is_told_with_the_command_that_closes_it(folder):
    home = folder / "parent" / "home"
    home.mkdir()
    home.chmod(0o755)  # whatever the umask of the tests is
    said = lem(folder, "doctor")
    assert f"every user of this machine can read {home}: orders, models and runs" in said
    assert mode(home / "registry.sqlite") == 0o644, "the owner opened it"
    command = re.search(r"close it with: (chmod .*)", said)[1]
    subprocess.run(shlex.split(command), check=True)
    assert not [path for path in [home, *home.rglob("*")] if mode(path) & 0o077]
    assert "no other user of this machine can read what is kept" in lem(folder, "doctor")


@pytest.mark.slow
def test_a_home_that_is_shared_with_a_group_stays_so(folder):
    home = folder / "parent" / "home"
    home.mkdir()
    home.chmod(0o770)
    said = lem(folder, "doctor", umask=0o002)
    assert (mode(home / "lake"), mode(home / "registry.sqlite")) == (0o770, 0o640), "SQLite: 0644 at most"
    assert "no other user" in said


@pytest.mark.slow
def test_what_a_user_asks_for_elsewhere_has_the_users_own_mode(folder):
    wanted = ("--venue", "simulated", "--symbols", "AAA-USD", "--bar", "1h")
    said = lem(folder, "new", "mine", *wanted)
    assert mode(folder / "universes" / "mine.toml") == 0o644, said
