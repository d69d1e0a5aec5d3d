"""No message advises a command that is refused: every command in our code is read by the real command line, and those
that an error advises are run in the state in which it does."""

from __future__ import annotations

import ast
import datetime as dt
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from lem.errors import LemError
from lem.gate.walk_forward import how_to_decide_again
from lem.lake import Lake
from lem.lineage.stored_report import report_path
from lem.lineage.tables import read_range
from lem.registry import Registry
from lem.reports.nightly import make_report
from lem.training.nightly import train_for
from lem_pipeline.cli.app import app
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("empty_pictures")

COMMANDS = sorted(command for command in typer.main.get_command(app).commands)
ADVISED = re.compile(rf"(?<!`)\blem (?:{'|'.join(COMMANDS)})\b[^;,()\n`\"]*")
Usage = typer.BadParameter.__base__
"""Typer's own copy of Click's error for an argument or option that is missing or unknown."""
DAY = dt.date(2024, 1, 18)


def texts(file: Path) -> Iterator[str]:
    """The texts of a file but its docstrings, with a value in place of each expression."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else value(part) for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation | inside:
            yield node.value


def value(part: ast.expr) -> str:
    """What stands for an expression inside a command: a port, a date or a name."""
    source = ast.unparse(part)
    if re.search(r"free|port|_days\b", source):
        return "3001"
    return "2024-01-18" if re.search(r"date|day|first|last|wanted|ended|bad\[|missing\[|reports\[", source) else "tiny"


def advised() -> list[tuple[str, str]]:
    """(file, command) of every command that a text of the library or the pipeline mentions."""
    found = set()
    for room in ("lem", "resources", "assets", "lem_pipeline"):
        for file in sorted((ROOT / room).rglob("*.py")):
            for text in texts(file):
                found |= {(str(file.relative_to(ROOT)), one.strip(" .:")) for one in ADVISED.findall(text)}
    return sorted(found)


def read(command: str) -> None:
    """Read a command as the real command line does, up to the point where it would be executed.

    Words of the sentence around it may follow, and are left away; options are not.

    Raises:
        Usage: an argument or an option is missing or unknown.
    """
    words = shlex.split(command)[1:]
    while True:
        try:
            return read_whole(words)
        except Usage:
            if len(words) < 2 or words[-1].startswith("-"):
                raise
            words.pop()


def read_whole(words: list[str]) -> None:
    """Read all the words of a command, without `lem`."""
    command = typer.main.get_command(app)
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    if words == ["--help"]:
        return
    if hasattr(command, "commands"):
        raise Usage(f"no such command: {' '.join(words) or 'nothing after it'}")
    command.make_context("lem", list(words))


@pytest.fixture(scope="module")
def said():
    return advised()


def test_the_commands_of_all_messages_are_found(said):
    commands = [command for _, command in said]
    assert len(commands) > 15
    assert {"lem reap --yes", "lem ui --port 3001"} <= set(commands)


def test_every_command_in_a_message_is_complete(said):
    refused = []
    for file, command in said:
        try:
            read(command)
        except Usage as error:
            refused.append(f"{file} advises {command!r}, which is refused: {error.format_message()}")
    assert not refused


@pytest.mark.parametrize(
    "command",
    ["lem backfill --force", "lem run", "lem ui --door 3", "lem models promote abc", "lem advise", "lem serv"],
)
def test_a_command_that_is_refused_is_noticed(command):
    with pytest.raises(Usage):
        read(command)


@pytest.fixture
def place(home, tiny_home):
    """A copy of the tiny home: its folder, lake, registry and universe."""
    return (
        home,
        Lake(str(home / "home" / "lake")),
        Registry(f"sqlite:///{home}/home/registry.sqlite"),
        tiny_home.universe,
    )


def lose(lake, table, *numbers, asset=None):
    for number in numbers:
        lake.fs.rm(f"{lake.root}/{lake.path('tiny', table, dt.date(2024, 1, number), asset)}")


def panels_of_a_training(folder, lake, registry, universe):
    lose(lake, "panel", 9, 10)
    train_for(lake, registry, universe, dt.date(2024, 1, 17))


def features_of_a_window(folder, lake, registry, universe):
    lose(lake, "features", 10, asset="AAA-USD")
    read_range(lake, universe, "features", [dt.date(2024, 1, 10)], "AAA-USD")


def backtests_of_a_report(folder, lake, registry, universe):
    lose(lake, "backtest", 18, asset="AAA-USD")
    make_report(lake, registry, universe, DAY)


def no_champion(folder, lake, registry, universe):
    from dataclasses import replace

    for decision in registry.promotions("tiny"):
        registry.record_promotion(replace(decision, champion_id=None, decision="none", candidate_id=None))
    raise LemError(how_to_decide_again(universe, dt.date(2024, 1, 17), dt.date(2024, 6, 1)))


STATES = [
    pytest.param(panels_of_a_training, marks=pytest.mark.slow),
    features_of_a_window,
    pytest.param(backtests_of_a_report, marks=pytest.mark.thorough),
    pytest.param(no_champion, marks=pytest.mark.thorough),
]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_what_an_error_advises_works_in_the_state_in_which_it_does(state, place, lem_command):
    with pytest.raises(LemError) as raised:
        state(*place)
    command = ADVISED.search(str(raised.value))
    assert command, str(raised.value)
    done = lem_command(place[0], *shlex.split(command[0])[1:])
    assert done.code == 0, f"{raised.value}\n{done.err}"


@pytest.mark.slow
def test_the_command_of_a_missing_report_makes_one(place, lem_command):
    folder, lake, _, _ = place
    shutil.rmtree(folder / "home" / "lake" / "tiny" / "execution_report")
    refused = lem_command(folder, "report", "-u", "tiny", "-d", "2024-01-18")
    assert refused.code == 1
    command = ADVISED.search(refused.err)
    assert lem_command(folder, *shlex.split(command[0])[1:]).code == 0
    assert lake.exists(report_path("tiny", dt.date(2024, 1, 30), "report.html"))
