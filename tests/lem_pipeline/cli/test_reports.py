"""`lem report --order` and `--compare`, and the commands that `lem run` ends with."""

from __future__ import annotations

import datetime as dt
import re
import shlex
import shutil

import pytest
from typer.testing import CliRunner

from lem.lake import Lake
from lem.lineage.stored_report import report_path
from lem.registry import Registry
from lem_pipeline.cli import reports
from lem_pipeline.cli.app import app
from lem_pipeline.cli.reports import called_as, next_steps

DAY = dt.date(2024, 1, 18)
EARLIER = DAY - dt.timedelta(days=1)


@pytest.fixture
def home(tiny_home, tmp_path):
    """A home with a night's report, and the same as that of the day before."""
    shutil.copytree(tiny_home.folder, tmp_path, dirs_exist_ok=True)
    lake = Lake(str(tmp_path / "home/lake"))
    for file in ("report.json", "report.html"):
        lake.write_bytes(report_path("tiny", EARLIER, file), lake.read_bytes(report_path("tiny", DAY, file)))
    return tmp_path


def test_one_order_says_what_was_bought_when_and_what_each_paid(home, lem_command):
    done = lem_command(home, "report", "-u", "tiny", "--order")
    assert done.code == 0, done.err
    first, twap, model, last = done.out.strip().splitlines()
    assert re.match(
        r"Buy [\d,.]+ [AB]{3}-USD from 2024-01-1\d \d\d:00 UTC, in at least 3 and at most 3 bars of 4h", first
    )
    for line, name in ((twap, "TWAP"), (model, "LEM model")):
        paid, bars, vwap, gain, _ = re.match(
            rf"{name} paid ([\d.,]+) over (\d+) bars, where VWAP was ([\d.,]+): gain ([−\d.]+) bps, "
            r"kept after costs, under the cap, ([−\d.]+) bps\.$",
            line,
        ).groups()
        assert int(bars) == 3
        expected = 1e4 * (1 - float(paid.replace(",", "")) / float(vwap.replace(",", "")))
        assert float(gain.replace("−", "-")) == pytest.approx(expected, abs=0.2)
    assert "one order shows how an order goes" in last


def test_two_dates_stand_side_by_side_on_a_page_and_in_the_terminal(home, lem_command):
    page = home / "both.html"
    done = lem_command(home, "report", "-u", "tiny", "--compare", str(EARLIER), str(DAY), "--save", str(page))
    assert done.code == 0, done.err
    assert "All orders: LEM model" in done.out
    text = page.read_text(encoding="utf-8")
    assert f"<span>{EARLIER}</span> beside <span>{DAY}</span>" in text
    assert "has no interval" in text
    assert "://" not in text


def test_two_models_stand_side_by_side(home, lem_command):
    registry = Registry(f"sqlite:///{home}/home/registry.sqlite")
    champion = registry.champion_on("tiny", DAY)
    done = lem_command(home, "report", "-u", "tiny", "--compare", champion.id[:8], champion.id)
    assert done.code == 0, done.err
    assert f"Model {champion.id[:8]}" in done.out
    rows = [line.split("│") for line in done.out.splitlines() if "All orders: LEM model" in line]
    assert rows
    assert rows[0][2] == rows[0][3]
    assert rows[0][4].strip() == "0.0"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--compare", "2024-01-16", "2024-01-18"), "no report of 2024-01-16 in the lake; there are: 2024-01-17"),
        (("--compare", "feedfeed", "2024-01-18"), "feedfeed"),
        (("--compare", "2024-01-17", "2024-01-18", "-d", "2024-01-18"), "allowed: --compare A B"),
        (
            ("--compare", "2024-01-17", "2024-01-18", "--save", "no/such/page.html"),
            "no/such/page.html: cannot be written",
        ),
        (("--order", "--save", "page.html"), "allowed: --order"),
        (("--order", "-d", "2024-01-16"), "no report of 2024-01-16"),
    ],
)
def test_what_cannot_be_shown_is_a_message(home, lem_command, arguments, said):
    done = lem_command(home, "report", "-u", "tiny", *arguments)
    assert done.code == 1
    assert said in done.err


def test_a_run_ends_with_commands_that_run(home, lem_command, tiny_home):
    done = lem_command(home, "run", "-u", "tiny", "-d", str(DAY))
    assert done.code == 0, done.err
    _, _, shown = done.out.partition("Next:\n")
    commands = [re.split(r" {3,}", line.strip())[0] for line in shown.strip().splitlines()]
    assert commands == [step for step, _ in next_steps(Lake(str(home / "home/lake")), tiny_home.universe, "lem")]
    assert any("--compare" in command for command in commands)
    for command in commands:
        name, *arguments = shlex.split(command)
        assert name == "lem"
        if arguments[0] in ("ui", "new"):  # one serves until it is stopped, the other asks
            assert CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 0
            continue
        assert lem_command(home, *arguments).code == 0, command


def test_lem_is_named_as_this_shell_finds_it(tmp_path, monkeypatch):
    own = tmp_path / "venv/bin/lem"
    own.parent.mkdir(parents=True)
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reports.sys, "argv", [str(own)])
    monkeypatch.setenv("PATH", "/nowhere")
    assert called_as() == "venv/bin/lem"
    monkeypatch.setenv("PATH", str(own.parent))
    assert called_as() == "lem"
