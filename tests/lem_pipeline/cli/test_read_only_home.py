"""A home that this user may read and not write: what only reads works."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from lem.registry import Registry


@pytest.fixture(scope="module")
def said(tiny_home, lem_command):
    """What each command that only reads says of the home by who may write it."""
    registry = Registry(f"sqlite:///{tiny_home.folder}/home/registry.sqlite", read_only=True)
    one, other = [model.id for model in registry.models("tiny")]
    commands = (
        ("models", "show", one),
        ("models", "diff", one, other),
        ("models", "history", "-u", "tiny"),
        ("models", "list"),
        ("status", "-u", "tiny"),
        ("report", "-u", "tiny"),
    )
    return {command: lem_command(tiny_home.folder, *command).out for command in commands}


@pytest.fixture
def read_only(tiny_home, said):
    """A copy of the tiny home that nobody may write, looked at by somebody who is not root."""
    folder = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
    shutil.copytree(tiny_home.folder, folder, dirs_exist_ok=True)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)
        yield folder
    finally:
        if root:
            os.seteuid(0)
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        shutil.rmtree(folder)


def test_status_report_and_models_work_and_say_what_they_say_elsewhere(read_only, tiny_home, said, lem_command):
    for command, elsewhere in said.items():
        here = lem_command(read_only, *command)
        assert here.code == 0, (command, here.err)
        assert here.out.replace(str(read_only), "") == elsewhere.replace(str(tiny_home.folder), "")


def test_what_writes_is_refused_by_a_message(read_only, said, lem_command):
    model = next(iter(said))[-1]
    for command in (["run", "-u", "tiny", "-d", "2024-01-18"], ["models", "promote", model, "--reason", "x"]):
        done = lem_command(read_only, *command)
        assert done.code == 1
        assert "this user may not write" in done.err
