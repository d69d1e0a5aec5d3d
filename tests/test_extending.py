"""docs/extending: each page, followed from top to bottom on a copy of the checkout, does what it promises.

A block below a line `path`: is a new file, a diff is applied, an indented line is a command. The copy has a home with a
finished report of the universe `tiny`, which stands in for `sample`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import ROOT, Home

PAGES = ROOT / "docs" / "extending"
ALL = ("strategy", "feature", "source", "section", "stage")
TOOLS = {".venv/bin/python": [], ".venv/bin/lem": ["-m", "lem_pipeline.cli"]}
NAMED, FENCE = re.compile(r"`([\w./-]+)`:"), "```"


@dataclass(frozen=True)
class Step:
    """What a page asks for: `path` is written with `text`, or without a path `text` is applied (a diff) or run."""

    path: str
    text: str


def steps(page: str) -> list[Step]:
    """The steps of a page in their order.

    Raises:
        ValueError: a block of code is neither a new file nor a diff, or it does not end.
    """
    found, named = list[Step](), ""
    lines = iter((PAGES / f"{page}.md").read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line.startswith(FENCE):
            text, diff = _block(lines), line == f"{FENCE}diff"
            if diff == bool(named):
                raise ValueError(f"{page}.md: {line} below {named!r}; allowed: a diff, or a file below its path")
            found.append(Step(named, text))
        elif line.startswith("    "):
            found.append(Step("", line.strip()))
        if line:
            match = NAMED.fullmatch(line)
            named = match[1] if match else ""
    return found


def _block(lines: Iterator[str]) -> str:
    text = list[str]()
    for line in lines:
        if line == FENCE:
            return "\n".join([*text, ""])
        text.append(line)
    raise ValueError("a block of code does not end")


@dataclass
class Checkout:
    """A copy of the checkout, with what its commands have told.

    Args:
        folder: where it is.
        env: of its commands.
        told: by command as it stands in the page, what it printed.
    """

    folder: Path
    env: dict[str, str]
    told: dict[str, str]

    def follow(self, page: str, commands: bool = True) -> Checkout:
        """Do what a page says; what it has written is in the project's style."""
        for step in steps(page):
            if step.path:
                path = self.folder / step.path
                assert not path.exists(), f"{page}.md: {step.path} is there already"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(step.text, encoding="utf-8")
            elif step.text.startswith("--- "):
                self._done(["git", "apply", "-"], f"{page}.md: {step.text.splitlines()[1]}", self.env, step.text)
            elif commands:
                self.run(step.text)
        self.check("ruff", "check", ".")
        self.check("ruff", "format", "--check", ".")
        return self

    def check(self, tool: str, *arguments: str) -> None:
        """Hold the copy against a tool of the hooks."""
        self._done([sys.executable, "-m", tool, *arguments], " ".join((tool, *arguments)), self.env)

    def run(self, command: str) -> None:
        """Run a line of a page."""
        words, env = command.split(), dict[str, str]()
        exported = words[0] == "export"
        words = words[1:] if exported else words
        while words and "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            env[name] = value
        if exported:
            assert not words, command
            self.env |= env
            return
        arguments = ["tiny" if word == "sample" else word for word in words[1:]]
        self.told[command] = self._done([sys.executable, *TOOLS[words[0]], *arguments], command, self.env | env)

    def _done(self, command: list[str], what: str, env: dict[str, str], given: str = "") -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=env, input=given, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, f"{what}\n{done.stdout}{done.stderr}"
        return done.stdout

    def table(self, name: str, home: str = "home") -> pd.DataFrame:
        """All stored rows of a table of the lake."""
        paths = sorted((self.folder / home / "lake").glob(f"*/{name}/**/*.parquet"))
        return pd.concat([pd.read_parquet(path, partitioning=None) for path in paths], ignore_index=True)

    def state(self, command: str, stage: str) -> list[str]:
        """The cells of a stage in what `lem status` printed: partitions, first, last, holes, stale, quarantined."""
        rows = [line for line in self.told[command].splitlines() if line.startswith("│")]
        return next(cells[2:-1] for row in rows if (cells := re.split(r"[│\s]+", row.strip("│")))[1] == stage)


@pytest.fixture
def checkout(
    tiny_home: Home,
    tiny_keys: Callable[..., dict[str, Any]],
    write_universe: Callable[..., Path],
    tmp_path: Path,
) -> Callable[[], Checkout]:
    """`checkout()` copies what git knows of this checkout, and the tiny home."""

    def make() -> Checkout:
        names = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        told = subprocess.run(names, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        folder = tmp_path / "copy"
        for name in filter(None, told.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / name)
        shutil.copytree(tiny_home.folder / "home", folder / "home")
        # So that the latest report is the one that is there.
        write_universe(folder / "universes", tiny_keys(end="2024-01-19"))
        env = {name: value for name, value in os.environ.items() if not name.startswith(("LEM_", "DAGSTER_"))}
        env |= {"PYTHONPATH": str(folder), "COLUMNS": "200"}
        env |= {"LEM_HOME": "home", "DAGSTER_DISABLE_TELEMETRY": "yes", "GIT_CEILING_DIRECTORIES": str(tmp_path)}
        return Checkout(folder, env, {})

    return make


STATUS, RUN = ".venv/bin/lem status -u sample", ".venv/bin/lem run -u sample"


def in_the_dictionary(copy: Checkout, text: str) -> bool:
    """Whether the copy's data dictionary has a text that this checkout's has not."""
    path = Path("docs") / "data_dictionary.md"
    before, after = ((root / path).read_text(encoding="utf-8") for root in (ROOT, copy.folder))
    return text in after and text not in before


def test_there_is_a_page_for_each_and_no_other():
    assert {path.stem for path in PAGES.glob("*.md")} == set(ALL)


@pytest.mark.slow
def test_a_new_strategy_makes_backtests_stale_and_trades_beside_the_others(checkout):
    copy = checkout().follow("strategy")
    assert copy.state(STATUS, "backtest") == ["4", "2024-01-17", "2024-01-18", "0", "4", "0"]
    assert all(copy.state(STATUS, stage)[4] == "0" for stage in ("features", "panel"))
    made = re.findall(r"^\[\d/\d\] (\w+)", copy.told[RUN], re.MULTILINE)
    assert made == ["backtest", "execution_report"]
    rows = copy.table("backtest").groupby("strategy").size()
    assert rows["early_finish"] == rows["twap"] > 0
    assert in_the_dictionary(copy, "`early_finish`")


@pytest.mark.slow
def test_a_new_feature_is_a_column_of_the_table_and_old_features_are_stale(checkout):
    copy = checkout().follow("feature")
    location = copy.table("features", ".lem/close_location")["close_location"]
    assert location.between(-1, 1).all()
    assert location.nunique() > 2
    copy.run("export LEM_HOME=home")
    copy.run(STATUS)
    assert [copy.state(STATUS, stage)[4] for stage in ("bars", "features", "panel")] == ["0", "22", "11"]
    assert in_the_dictionary(copy, "`close_location`")


@pytest.mark.slow
def test_the_bars_of_a_new_kind_of_source_go_through_the_pipeline(checkout):
    copy = checkout().follow("source")
    raw = copy.table("raw_bars").query("source == 'mine/AAA-USD.jsonl'")
    assert raw["close"].tolist() == [101.2, 100.7, 102.0, 101.5, 101.9, 103.1]
    assert copy.state(".venv/bin/lem status -u lines", "panel")[0] == "1"


@pytest.mark.slow
def test_a_new_section_makes_the_report_stale_and_stands_on_the_page(checkout):
    copy = checkout().follow("section")
    assert "stale report of 2024-01-18" in copy.told[STATUS]
    assert re.findall(r"^\[\d/\d\] (\w+)", copy.told[RUN], re.MULTILINE) == ["execution_report"]
    report = copy.folder / "home/lake/tiny/execution_report/date=2024-01-18"
    assert ">How much of the freedom is used</" in (report / "report.html").read_text(encoding="utf-8")
    assert set(pd.read_csv(report / "tables/freedom.csv")["min_bars"]) == {1}
    assert in_the_dictionary(copy, "`freedom`")


@pytest.mark.slow
def test_a_new_stage_is_made_and_shown_and_drawn(checkout):
    copy = checkout().follow("stage")
    assert copy.state(STATUS, "liquidity") == ["2", "2024-01-18", "2024-01-18", "0", "0", "0"]
    assert all(copy.state(STATUS, stage)[4] == "0" for stage in ("bars", "features", "panel", "backtest"))
    assert (copy.table("liquidity")["illiquidity"] >= 0).all()
    assert "bars --> liquidity" in (copy.folder / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert in_the_dictionary(copy, "## `liquidity`")


@pytest.mark.slow
def test_all_pages_fit_together_and_their_code_is_typed(checkout):
    copy = checkout()
    for page in ALL:
        copy.follow(page, commands=False)
    copy.check("mypy")
