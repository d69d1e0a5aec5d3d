"""A rule or a section more: what is stored without it is out of date, is made again, and every check passes."""

from __future__ import annotations

import re
import sys
from types import ModuleType

import pytest

from lem.lake import Lake
from lem.lineage import contents
from lem.reports import sections
from lem.reports.report import ENVIRONMENT
from lem.strategies import rules
from lem.strategies.rules import Rule, rule_names
from lem.strategies.twap import Twap

RUN = ("run", "-u", "tiny", "-d", "2024-01-18")


@pytest.fixture
def toy_rule(monkeypatch):
    """`toy`: TWAP by another name, at the end of the list."""

    class Toy(Twap):
        name = "toy"

    module = ModuleType("lem.strategies.toy")
    module.MEANING, module.make = "Trades evenly.", lambda setting: Toy()
    monkeypatch.setitem(sys.modules, "lem.strategies.toy", module)
    monkeypatch.setattr(rules, "RULES", (*rules.RULES, Rule("toy", "Toy")))


def stale(out):
    return re.findall(r"^stale (\w+)", out, re.MULTILINE)


@pytest.mark.thorough
def test_a_rule_more_leaves_backtests_out_of_date_until_they_are_made_again_and_then_the_page(
    home, toy_rule, lem_command
):
    assert stale(lem_command(home, "status", "-u", "tiny").out) == ["backtest"]
    done = lem_command(home, *RUN)
    assert done.code == 0, done.err
    made = [line.split("] ")[1].split("  ")[0] for line in done.out.splitlines() if line.startswith("[")]
    assert made == ["backtest", "execution_report"]
    assert "check failed" not in done.out
    table = Lake(str(home / "home/lake")).read_table("tiny/backtest/asset=AAA-USD/date=2024-01-18.parquet")
    assert set(table["strategy"]) == {*rule_names(), "lem"}
    assert "toy" in rule_names()
    assert stale(lem_command(home, "status", "-u", "tiny").out) == []
    assert "Everything is there already." in lem_command(home, *RUN).out


@pytest.fixture
def toy_section(tmp_path_factory, monkeypatch):
    """`trinket`: the file of a section, its template, and its name in the list."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "trinket.py").write_text(
        "from lem.reports.section import Section\n\nSECTION = Section('A toy of a section', reads=())\n"
    )
    (folder / "templates" / "sections").mkdir(parents=True)
    (folder / "templates" / "sections" / "trinket.jinja").write_text("<p>Nothing to see.</p>\n")
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(folder)])
    monkeypatch.setattr(ENVIRONMENT.loader, "searchpath", [*ENVIRONMENT.loader.searchpath, str(folder / "templates")])
    monkeypatch.setattr(contents, "SECTIONS", (*contents.SECTIONS, "trinket"))
    yield
    sys.modules.pop("lem.reports.sections.trinket", None)
    vars(sections).pop("trinket", None)


@pytest.mark.thorough
@pytest.mark.slow
def test_a_section_more_leaves_the_report_out_of_date_until_it_is_made_again(home, toy_section, lem_command):
    assert stale(lem_command(home, "status", "-u", "tiny").out) == ["report"]
    done = lem_command(home, *RUN)
    assert done.code == 0, done.err
    assert "check failed" not in done.out
    page = (home / "home/lake/tiny/execution_report/date=2024-01-18/report.html").read_text(encoding="utf-8")
    assert "A toy of a section" in page
    assert stale(lem_command(home, "status", "-u", "tiny").out) == []
