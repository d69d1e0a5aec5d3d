"""Every `lem` command that a page shows in a block of its own runs, in the order of the page."""

from __future__ import annotations

import re
import shlex
import shutil

import pytest
from typer.testing import CliRunner

from lem_pipeline.cli.app import app
from tests.conftest import ROOT

PAGES = (pytest.param("operating.md", marks=pytest.mark.thorough), "backfilling.md")
SERVERS = ("ui",)
"""Commands that only end when somebody ends them: their help is asked for instead."""


def commands(page: str) -> list[list[str]]:
    """The arguments of each indented line of a page that begins with `lem`."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [shlex.split(line) for line in re.findall(r"^ {4,}lem (.+)$", text, flags=re.MULTILINE)]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_runs(page, tiny_home, tiny_keys, write_universe, tmp_path, lem_command):
    shutil.copytree(tiny_home.folder, tmp_path, dirs_exist_ok=True)
    write_universe(tmp_path / "universes", tiny_keys(end="2024-01-19"))
    found = commands(page)
    assert found
    for arguments in found:
        if arguments[0] in SERVERS:
            assert CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 0
            continue
        done = lem_command(tmp_path, *["tiny" if word == "sample" else word for word in arguments])
        assert done.code == 0, f"lem {' '.join(arguments)}\n{done.out}{done.err}"
