"""docs/adding.md: every command of it, in its order, does what the page says."""

from __future__ import annotations

import datetime as dt
import re
import shlex
import shutil
import subprocess

import pytest

from lem.lake import Lake
from lem.registry import Registry
from lem_pipeline.planning.dates import dates_for
from lem_pipeline.planning.plan import report_steps
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (\S.*)$", TEXT, re.MULTILINE)


@pytest.fixture
def run(tmp_path, lem_command):
    """`run(line)`: a line of the page; what it wrote, if it is one of `lem`."""
    (tmp_path / "universes").symlink_to(ROOT / "universes")
    env = {}

    def one(line):
        words = shlex.split(line)
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            env[name] = str(tmp_path / value)
            return ""
        if words[0] == ".venv/bin/lem":
            done = lem_command(tmp_path, *words[1:], **env)
            assert done.code == 0, f"{line}: {done.err}"
            return done.out
        subprocess.run(["sh", "-c", line], check=True, cwd=tmp_path)
        return ""

    return one


@pytest.mark.slow
def test_the_pages_commands_add_an_asset_and_a_venue(run, tmp_path):
    told = [run(command) for command in COMMANDS]
    status = [out for command, out in zip(COMMANDS, told, strict=True) if " status " in command]
    assert len(status) == 3
    assert "XRP-USDT|2024-02-20" in status[0]
    assert "missing" not in status[1]
    assert "Next: lem run --universe kucoin" in status[2]
    lake = Lake(str(tmp_path / "home" / "lake"))
    (panel,) = lake.names("desk/panel")
    table = lake.read_table(f"desk/panel/{panel}")
    assert set(table["asset"]) == {"BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT"}


def test_a_new_assets_panels_leave_what_was_decided_and_its_models_alone(
    tiny_home, tmp_path, lem_command, tiny_keys, write_universe, make_universe
):
    shutil.copytree(tiny_home.folder, tmp_path, dirs_exist_ok=True)
    keys = tiny_keys(assets={"AAA-USD": {}, "BBB-USD": {}, "CCC-USD": {}})
    write_universe(tmp_path / "universes", keys)
    universe, registry = make_universe(**keys), Registry(f"sqlite:///{tmp_path}/home/registry.sqlite")
    before = registry.models("tiny"), registry.decisions("tiny")
    done = lem_command(tmp_path, "backfill", "-u", "tiny", "--from", "2024-01-09", "--to", "2024-01-19")
    assert done.code == 0, done.err
    assert (registry.models("tiny"), registry.decisions("tiny")) == before
    dates = dates_for(universe, dt.date(2024, 1, 18), dt.date(2024, 6, 1))
    steps = report_steps(Lake(str(tmp_path / "home" / "lake")), registry, universe, dates, force=False)
    # What was decided stands, and so do the models; the panels of the new asset count from the next date on.
    assert {table for step in steps for table in step.tables} == {"backtest", "execution_report"}


def test_a_misspelled_key_of_a_venue_is_refused_by_name(run, tmp_path, lem_command):
    for command in COMMANDS[-3:-1]:
        (tmp_path / "mine").mkdir(exist_ok=True)
        run(command)
    path = tmp_path / "mine" / "kucoin.toml"
    path.write_text(path.read_text().replace("venue = ", "venu = "))
    done = lem_command(tmp_path, "status", "-u", "kucoin", LEM_UNIVERSES=str(tmp_path / "mine"))
    assert done.code == 1
    assert "venu" in done.err
