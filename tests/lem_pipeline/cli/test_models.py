"""`lem models`: what it prints, and what it changes."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil

import pytest
from typer.testing import CliRunner

from lem.registry import Registry
from lem_pipeline.cli.app import app

COMMANDS = ("list", "show", "diff", "promote", "rollback", "rebuild", "history", "export")
LAST = dt.date(2024, 1, 18)


@pytest.fixture
def home(tiny_home, tmp_path):
    """A copy of the materialised tiny home, to be changed."""
    shutil.copytree(tiny_home.folder, tmp_path, dirs_exist_ok=True)
    return tmp_path


def registry_of(folder):
    return Registry(f"sqlite:///{folder}/home/registry.sqlite", read_only=True)


@pytest.fixture(scope="module")
def models(tiny_home):
    """Ids of the two registered models, the newest last."""
    return [record.id for record in registry_of(tiny_home.folder).models("tiny")]


@pytest.fixture(scope="module")
def other(tiny_home, models):
    """The id of the model that is not the champion."""
    champion = registry_of(tiny_home.folder).champion_on("tiny", LAST)
    return next(model for model in models if model != champion.id)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_named_and_explains_its_options(command):
    assert re.search(rf"\b{command}\b +\S+", CliRunner().invoke(app, ["models"], terminal_width=200).output)
    done = CliRunner().invoke(app, ["models", command, "--help"], terminal_width=200)
    assert done.exit_code == 0
    for option in re.findall(r"(--[a-z]+)", done.output):
        line = next(line for line in done.output.splitlines() if option in line)
        assert len(re.sub(r"[^a-zA-Z ]", "", line).split()) > 3, f"{option} has no help: {line}"


def test_list_names_every_model_with_the_gates_decision_and_the_champion(tiny_home, lem_command, models):
    done = lem_command(tiny_home.folder, "models", "list", "-u", "tiny")
    assert done.code == 0
    assert len(models) == 2
    for model in models:
        line = next(line for line in done.out.splitlines() if model in line)
        assert re.search(r"promoted|champion stays|no model trades", line)
    champion = registry_of(tiny_home.folder).champion_on("tiny", LAST)
    assert f"Champion of tiny: {champion.id} (decided for 2024-01-18)\n" in done.out
    assert lem_command(tiny_home.folder, "models", "list").out == done.out


def test_an_unknown_universe_names_those_that_there_are(tiny_home, lem_command):
    for command in (["list"], ["history"], ["rollback", "--reason", "x"]):
        done = lem_command(tiny_home.folder, "models", *command, "-u", "nope")
        assert done.code == 1
        assert "has tiny" in done.err


def test_a_model_is_shown_with_its_manifest_by_the_start_of_its_id(tiny_home, lem_command, models):
    done = lem_command(tiny_home.folder, "models", "show", models[-1][:8])
    assert done.code == 0
    shown = json.loads(done.out)
    assert (shown["id"], shown["usable_on"], shown["partitions_read"]) == (models[-1], "2024-01-18", 5)
    assert {"seed", "code_version", "libraries", "weights_sha256", "training", "metrics"} <= set(shown)
    assert [decision["date"] for decision in shown["decisions"]] == ["2024-01-18"]
    assert "inputs" not in shown


def test_an_unknown_model_is_a_message(tiny_home, lem_command, models):
    unknown = "ffffffffffff"
    for command in (["show", unknown], ["diff", models[0], unknown], ["promote", unknown, "--reason", "x"]):
        done = lem_command(tiny_home.folder, "models", *command)
        assert done.code == 1
        assert f"no model '{unknown}'" in done.err


def test_diff_names_keys_partitions_and_metrics_that_differ(tiny_home, lem_command, models):
    done = lem_command(tiny_home.folder, "models", "diff", *models)
    assert done.code == 0
    rows = {line.split("│")[1].strip(): line.split("│")[2:-1] for line in done.out.splitlines() if "│" in line}
    assert [cell.strip() for cell in rows["usable_on"]] == ['"2024-01-17"', '"2024-01-18"']
    assert "seed" not in rows
    assert [float(cell) > 0 for cell in rows["train.arrivals"]] == [True, True]
    assert f"1 partitions only {models[0]} read: panel 2024-01-09\n" in done.out
    assert f"1 partitions only {models[1]} read: panel 2024-01-14\n" in done.out
    assert "in another version" not in done.out


def test_a_model_does_not_differ_from_itself(tiny_home, lem_command, models):
    done = lem_command(tiny_home.folder, "models", "diff", models[0], models[0])
    assert (done.code, done.out.splitlines()[0]) == (0, "The manifests are the same.")


def test_a_model_is_promoted_and_rolled_back_and_the_history_says_why(home, lem_command, other):
    before = registry_of(home).champion_on("tiny", LAST).id
    done = lem_command(home, "models", "promote", other, "--reason", "the [fills] looked wrong")
    assert done.code == 0
    assert f"Champion of tiny from 2024-01-18 on: {other} (before: {before})\nNext: lem run --universe tiny" in done.out
    assert registry_of(home).champion_on("tiny", LAST).id == other
    listed = lem_command(home, "models", "list").out
    assert "promoted by hand" in next(line for line in listed.splitlines() if other in line)
    done = lem_command(home, "models", "rollback", "-u", "tiny", "--reason", "no better", "--date", "2024-01-19")
    assert done.code == 0
    assert f"Champion of tiny from 2024-01-19 on: {before} (before: {other})" in done.out
    history = lem_command(home, "models", "history", "-u", "tiny")
    assert history.code == 0
    found = re.findall(r"for (\S+): (.*), champion (\S+)\n((?:    .*\n)*)", history.out)
    assert [date for date, *_ in found] == ["2024-01-17", "2024-01-18", "2024-01-18", "2024-01-19"]
    assert found[1][1].endswith(", replaced")
    assert found[2][1:] == ("promoted by hand", other, "    by hand: the [fills] looked wrong\n")
    assert found[3][1:] == ("promoted by hand", before, f"    rolled back from {other}: no better\n")


def test_a_decision_without_a_reason_or_with_a_wrong_date_changes_nothing(tiny_home, lem_command, other):
    for arguments, code, message in (
        ([], 2, "--reason"),
        (["--reason", " "], 1, "without a reason"),
        (["--reason", "x", "--date", "soon"], 1, "date 'soon' is not a date"),
        (["--reason", "x", "--date", "2024-01-17"], 1, "from the last decision (2024-01-18) to 2024-01-31"),
    ):
        for command in (["promote", other], ["rollback", "-u", "tiny"]):
            done = lem_command(tiny_home.folder, "models", *command, *arguments)
            if command[0] == "rollback" and "no earlier champion" in done.err:
                continue
            assert done.code == code
            assert message in done.err
    assert not any(decision.by_hand for decision in registry_of(tiny_home.folder).decisions("tiny"))


def test_a_rebuilt_model_has_its_weights_and_another_input_is_named(home, lem_command, models):
    done = lem_command(home, "models", "rebuild", models[0])
    assert done.code == 0, done.out + done.err
    assert f"Model {models[0]}: the same weights" in done.out
    (read, *_) = registry_of(home).model(models[0]).inputs
    path = home / "home" / "lake" / "tiny" / "panel" / f"date={read.partition_key}.parquet"
    path.unlink()
    refused = lem_command(home, "models", "rebuild", models[0])
    assert refused.code == 1
    assert f"1 of {len(registry_of(home).model(models[0]).inputs)} partitions of tiny/panel" in refused.err
    assert read.partition_key in refused.err
