"""CONTRIBUTING.md, the hooks and the changelog say what is true: their commands run, their paths exist."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys

import pytest
import yaml

from tests.conftest import ROOT

GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^ {4}(\S.*)$", GUIDE, re.MULTILINE)
TARGETS = sorted(
    {word for text in re.findall(r"`(make [^`]*)`", GUIDE) for word in text.split()[1:2] if "=" not in word}
)


def recipe(target: str) -> list[str]:
    """The commands of a target of the Makefile, without the words that it prints."""
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").split(f"\n{target}:", 1)[1].splitlines()[1:]
    own = [line.strip().removeprefix("@") for line in lines[: lines.index("")]]
    return [command for line in own if not line.startswith("echo") for command in line.split(" && ")]


def test_the_hooks_check_what_make_test_checks_before_its_tests():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert repository["repo"] == "local"  # no network
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in repository["hooks"])
    checks = [command for command in recipe("test") if "pytest" not in command]
    assert [hook["entry"] for hook in repository["hooks"]] == [
        command.replace("$(BIN)/", ".venv/bin/") for command in checks
    ]


def test_the_guide_sets_up_in_two_commands():
    assert BLOCKS[:2] == ["make test", "make hooks"]


@pytest.mark.parametrize("target", [*TARGETS, *(line.split()[1] for line in BLOCKS if line.startswith("make "))])
def test_a_target_that_the_guide_names_is_one(target):
    assert recipe(target)
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in BLOCKS if not line.startswith("make ")])
def test_a_command_of_the_guide_runs_and_finds_tests(line):
    python, *arguments = shlex.split(line)
    assert python == ".venv/bin/python"
    whole = arguments[-1].endswith(".py")  # one file is run; of a room, and of what is slow, the tests are found
    only_look = [] if whole else ["--collect-only"]
    command = [sys.executable, *arguments, *only_look]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([\w./-]+)\)", GUIDE))))
def test_a_page_that_the_guide_points_to_is_there(path):
    assert (ROOT / path).is_file()


ROWS = re.findall(r"^\| (`lem.*) \| (`lem.*) \|$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize(("before", "now"), ROWS)
def test_the_changelog_sends_an_import_of_a_module_that_is_gone_to_one_that_is_there(before, now):
    for name in re.findall(r"`([^`]+)`", now):
        assert importlib.util.find_spec(name) is not None
    for name in re.findall(r"`lem\.([^`]+)`", before):
        assert not (ROOT / "lem" / name.replace(".", "/")).with_suffix(".py").exists()
