"""`lem new`, `lem check`, `lem doctor`, and the help that leads to them."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from lem.sources.simulated import Simulated
from lem.universe import load_universe
from lem_pipeline.cli.app import app
from lem_pipeline.cli.panels import DAILY, ORDERS, SETTING_UP, UPKEEP

NEW = ("--symbols", "BTC-USDT, ETH-USDT", "--bar", "1h")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "universes").mkdir()
    return tmp_path


def written(folder, name="desk"):
    return load_universe(folder / "universes" / f"{name}.toml")


@pytest.mark.parametrize("bar", ["1min", "5min", "15min", "30min", "1h", "2h", "4h"])
def test_what_new_writes_passes_check(bar, folder, lem_command):
    made = lem_command(folder, "new", "desk", "--venue", "simulated", "--symbols", "BTC-USDT,ETH-USDT", "--bar", bar)
    assert made.code == 0, made.err
    assert (written(folder).bar, written(folder).symbols) == (bar, ["BTC-USDT", "ETH-USDT"])
    done = lem_command(folder, "check", "-u", "desk")
    assert done.code == 0, done.out
    assert re.search(r"looked at: 0 failed, 0 with a warning", done.out)


def test_files_pass_check_and_an_asset_that_begins_later_is_written_with_its_listing(folder, lem_command):
    (folder / "data").mkdir()
    for symbol, start in {"AAA": "2019-01-01", "BRK.B": "2022-03-01"}.items():
        days = pd.date_range(start, pd.Timestamp.now().normalize() - pd.Timedelta(1, "D"))
        prices = dict.fromkeys(("open", "high", "low", "close"), 10.0)
        table = pd.DataFrame({"ts": days, **prices, "volume": 1.0, "quote_volume": np.full(len(days), 10.0)})
        table.to_csv(folder / "data" / f"{symbol}.csv", index=False)
    flags = ("--venue", "files", "--url", "{data}/{symbol}.csv", "--symbols", "AAA,BRK.B", "--bar", "1d")
    made = lem_command(folder, "new", "desk", *flags)
    assert made.code == 0, made.err
    assert str(written(folder).assets["BRK.B"].listed) == "2022-03-01"
    assert written(folder).assets["AAA"].listed is None
    done = lem_command(folder, "check", "-u", "desk")
    assert done.code == 0, done.out
    assert "ok       BRK.B: first day 2022-03-04: close 10, last day" in done.out


def test_new_asks_for_what_is_not_given(folder):
    done = subprocess.run(
        [sys.executable, "-m", "lem_pipeline.cli", "new", "desk"],
        input="simulated\nBTC-USDT\n1h\n",
        cwd=folder,
        env=os.environ | {"LEM_UNIVERSES": str(folder / "universes")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert written(folder).symbols == ["BTC-USDT"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("desk", "--venue", "nope", *NEW), "has no venue 'nope'"),
        (("desk", "--venue", "simulated", "--symbols", "btc", "--bar", "1h"), "'btc' is not a canonical symbol"),
        (("desk", "--venue", "simulated", "--symbols", "BTC-USDT", "--bar", "3h"), "bar: Input should be '1min'"),
        (("../desk", "--venue", "simulated", *NEW), "name '../desk'; allowed: "),
        (("Desk", "--venue", "simulated", *NEW), "name: "),
    ],
)
def test_what_is_not_allowed_is_named_and_nothing_is_written(flags, message, folder, lem_command):
    done = lem_command(folder, "new", *flags)
    assert done.code == 1
    assert message in done.err
    assert not list(folder.rglob("*esk.toml"))


def test_a_file_that_is_there_is_replaced_only_by_force(folder, lem_command):
    flags = ("desk", "--venue", "simulated", *NEW)
    assert lem_command(folder, "new", *flags).code == 0
    done = lem_command(folder, "new", *flags)
    assert done.code == 1
    assert "is there already; allowed: another name, or --force" in done.err
    assert lem_command(folder, "new", *flags, "--force").code == 0


def test_check_names_what_is_wrong_with_the_file_and_looks_at_the_stores_all_the_same(
    folder, lem_command, tiny_keys, write_universe
):
    write_universe(folder / "universes", tiny_keys(horzon=3))
    done = lem_command(folder, "check", "-u", "tiny")
    assert done.code == 1
    assert "failed   settings: " in done.out
    assert "horzon: unknown key (did you mean 'horizon'?)" in done.out
    assert "ok       lake: " in done.out


def test_check_says_which_asset_the_source_does_not_have(folder, lem_command, tiny_keys, write_universe):
    write_universe(folder / "universes", tiny_keys(source={"kind": "files", "url": "{data}/{symbol}.csv"}))
    done = lem_command(folder, "check", "-u", "tiny")
    assert done.code == 1
    assert re.search(r"failed   AAA-USD: first day 2024-01-01: .*AAA-USD\.csv: no such file", done.out)


def test_check_names_a_day_without_bars_and_what_to_write(folder, lem_command, tiny_keys, write_universe, monkeypatch):
    def nothing(self, symbol, start, end, fetch=Simulated.fetch):
        found = fetch(self, symbol, start, end)
        return type(found)(found.table.iloc[:0], found.source, found.fetched_at)

    monkeypatch.setattr(Simulated, "fetch", nothing)
    write_universe(folder / "universes", tiny_keys())
    done = lem_command(folder, "check", "-u", "tiny")
    assert done.code == 1
    assert "AAA-USD: first day 2024-01-01: no bar at 2024-01-01 20:00 UTC; allowed: a later start" in done.out


def test_check_and_doctor_tell_a_store_that_cannot_be_used(folder, lem_command, tiny_keys, write_universe):
    write_universe(folder / "universes", tiny_keys())
    (folder / "file").write_text("")
    for command in (("check", "-u", "tiny"), ("doctor",)):
        done = lem_command(folder, *command, LEM_LAKE=str(folder / "file" / "lake"))
        assert done.code == 1
        assert "failed   lake: " in done.out


def test_doctor_names_a_variable_that_nothing_reads_and_the_one_that_was_meant(
    folder, lem_command, tiny_keys, write_universe
):
    write_universe(folder / "universes", tiny_keys())
    done = lem_command(folder, "doctor", LEM_UNIVERSE="mine", LEM_OKX_API_KEY="secret")
    assert done.code == 0
    assert "warning  settings: LEM_UNIVERSE is set and nothing reads it: did you mean LEM_UNIVERSES?" in done.out
    assert "OKX" not in done.out
    assert "secret" not in done.out


def test_doctor_names_a_broken_universe_file(folder, lem_command, tiny_keys, write_universe):
    write_universe(folder / "universes", tiny_keys(horizon=1))
    done = lem_command(folder, "doctor")
    assert done.code == 1
    assert "failed   universes: " in done.out


def test_a_package_that_is_missing_or_too_old_is_named_with_the_command_that_installs_it():
    from lem_pipeline.checking.machine import packages

    found = packages(["numpy>=1000", "no-such-package", "typer>=0.1", "other; extra == 'dev'"])
    assert found.state == "failed"
    assert "numpy is " in found.text
    assert found.text.endswith("-m pip install 'numpy>=1000' 'no-such-package'")


def test_the_help_lists_every_command_in_a_group_the_daily_ones_first(lem_command, folder):
    out = lem_command(folder, "--help").out
    places = [out.index(f" {panel} ") for panel in (DAILY, SETTING_UP, ORDERS, UPKEEP)]
    assert places == sorted(places)
    commands = [*app.registered_commands, *app.registered_groups]
    assert {command.rich_help_panel for command in commands} == {DAILY, SETTING_UP, ORDERS, UPKEEP}


def test_the_shell_completes_names_of_universes(folder, tiny_keys, write_universe):
    write_universe(folder / "universes", tiny_keys())
    typed = {"_LEM_COMPLETE": "complete_bash", "COMP_WORDS": "lem status -u ti", "COMP_CWORD": "3"}
    done = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "lem")],
        cwd=folder,
        env=os.environ | typed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["tiny"], done.stderr
