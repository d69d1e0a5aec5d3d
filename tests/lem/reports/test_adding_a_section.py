"""A section of the report is a file, its template and its name in the list: the page and what is stored follow."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from dataclasses import fields, replace

import pandas as pd
import pytest

import lem.lineage.contents
import lem.reports.sections
from lem.errors import EvaluationError
from lem.lake import Lake
from lem.lineage.contents import section_names
from lem.lineage.stored_report import report_path
from lem.registry import Registry
from lem.reports import nightly
from lem.reports.groups import add_groups
from lem.reports.prepared import prepare_orders
from lem.reports.report import ENVIRONMENT, block_days, first_screen, render_report, section_html
from lem.reports.section import Material
from lem.reports.sections import sections
from lem.reports.tables import full_table
from lem.reports.worth import add_worth
from tests.conftest import ROOT
from tests.data_dictionary import rendered
from tests.lem.reports.pages import check_page, exclude, make_inputs, make_orders, text_of

pytestmark = pytest.mark.usefixtures("empty_pictures")

TOY = '''"""The assets, each with the number of its rows."""

from __future__ import annotations

from lem.reports.grids import grid_of
from lem.reports.section import Section


def stored(inputs, orders, statistics):
    return {"assets": orders.groupby("asset").size().rename("rows").reset_index()}


def grids(inputs, statistics, own):
    return {"assets": grid_of("Rows of each asset", own["assets"], [("Asset", "asset", str), ("Rows", "rows", str)])}


def words(material):
    return {"universe": material.inputs.universe, "most": material.tables["assets"]["rows"].max()}


SECTION = Section(
    "Assets at a glance",
    reads=("universe",),
    rows={"assets": "an asset and the number of its rows"},
    tables=stored,
    grids=grids,
    words=words,
    warnings=lambda inputs: ["Few assets."],
)
'''
TEMPLATE = "<p>Assets of {{ universe }}, {{ most }} rows at most.</p>\n{{ grid('assets') }}\n"


@pytest.fixture
def with_toy(tmp_path, monkeypatch):
    """The file of a section, its template, and its name in the list, before the last one."""
    (tmp_path / "toy.py").write_text(TOY, encoding="utf-8")
    (tmp_path / "templates" / "sections").mkdir(parents=True)
    (tmp_path / "templates" / "sections" / "toy.jinja").write_text(TEMPLATE, encoding="utf-8")
    monkeypatch.setattr(lem.reports.sections, "__path__", [*lem.reports.sections.__path__, str(tmp_path)])
    monkeypatch.setattr(ENVIRONMENT.loader, "searchpath", [*ENVIRONMENT.loader.searchpath, str(tmp_path / "templates")])
    monkeypatch.setattr(lem.lineage.contents, "SECTIONS", (*section_names()[:-1], "toy", section_names()[-1]))
    yield
    sys.modules.pop("lem.reports.sections.toy", None)
    vars(lem.reports.sections).pop("toy", None)


def test_a_new_section_is_on_the_page_at_its_place_and_in_the_table_of_contents(with_toy):
    orders = make_orders(days=2)
    report, rows = render_report(make_inputs(orders)), str(len(orders) // 2)
    page = check_page(report)
    found = [str(attrs["id"]) for tag, attrs in page.elements if tag == "section"]
    assert found == ["summary", *section_names()]
    assert found[-2:] == ["toy", "glossary"]
    assert '<li><a href="#toy">Assets at a glance</a></li>' in report.html
    words = text_of(report.html)
    assert f"Assets at a glance Assets of crypto, {rows} rows at most." in words
    assert page.table("Rows of each asset")[1:] == [["BTC-USDT", rows], ["ETH-USDT", rows]]
    assert "Few assets." in words[: words.index("Is it more than the other rules keep?")]


def test_a_new_sections_table_is_stored_beside_the_others(with_toy, tmp_path, monkeypatch, make_universe):
    orders = make_orders(days=2)
    monkeypatch.setattr(nightly, "report_inputs", lambda *_: make_inputs(orders))
    lake, universe, date = Lake(str(tmp_path / "lake")), make_universe(), dt.date(2024, 1, 2)
    registry = Registry(f"sqlite:///{tmp_path}/registry.sqlite")
    stored = nightly.make_report(lake, registry, universe, date)
    assert stored.paths["tables/assets.csv"] == report_path(universe.name, date, "tables/assets.csv")
    text = lake.read_bytes(stored.paths["tables/assets.csv"]).decode()
    rows = len(orders) // 2
    assert text == f"asset,rows\nBTC-USDT,{rows}\nETH-USDT,{rows}\n"
    summary = json.loads(lake.read_bytes(stored.paths["report.json"]))
    assert "tables/assets.csv" in summary["tables"]


def test_a_new_sections_table_is_in_the_data_dictionary(with_toy):
    assert "| `assets` | Assets at a glance | an asset and the number of its rows |" in rendered()


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        ({"other": "a row"}, r"section toy of the report makes the table\(s\) assets; allowed: .*\(other\)"),
        ({"assets": "a row", "daily": "a row"}, r"makes the table\(s\) assets; allowed: .*\(assets, daily\)"),
    ],
)
def test_a_section_that_makes_other_tables_than_it_names_is_refused(with_toy, monkeypatch, wrong, found):
    toy = sections()["toy"]
    monkeypatch.setattr(sys.modules["lem.reports.sections.toy"], "SECTION", replace(toy, rows=wrong))
    with pytest.raises(EvaluationError, match=found):
        render_report(make_inputs(make_orders(days=1)))


def test_a_table_belongs_to_one_section(with_toy, monkeypatch):
    twice = replace(sections()["toy"], rows={"daily": "a row"}, tables=lambda *_: {"daily": pd.DataFrame()})
    monkeypatch.setattr(sys.modules["lem.reports.sections.toy"], "SECTION", twice)
    with pytest.raises(EvaluationError, match=r"section toy .* makes the table\(s\) daily; .* none of another section"):
        render_report(make_inputs(make_orders(days=1)))


class Touched(Exception):
    """Somebody looked at what it should not look at."""


class Untouchable:
    """Raises whatever is done with it, but for `is None`."""

    def __getattr__(self, name):
        raise Touched(name)

    def _touched(self, *_):
        raise Touched

    __iter__ = __len__ = __bool__ = __str__ = __getitem__ = __contains__ = __int__ = __mul__ = __rmul__ = _touched
    __eq__ = __hash__ = _touched  # type: ignore[assignment]


@pytest.fixture(scope="module")
def made():
    """Inputs, some of whose orders are excluded, with the material that all sections share."""
    orders = make_orders(days=3)
    early = orders["date"] == orders["date"].min()
    inputs = make_inputs(pd.concat([exclude(orders[early]), orders[~early]]))
    days = block_days(inputs.horizon, inputs.bar)
    prepared = add_worth(add_groups(prepare_orders(inputs.orders, days), inputs.ages), inputs.risk_aversion)
    statistics = full_table(prepared, inputs.costs, resamples=20, seed=inputs.seed)
    return Material(inputs, prepared, statistics, {}, first_screen(inputs, prepared, statistics), days)


def shown(name, material):
    """A section's part of the page, and its sentences on the first screen."""
    section = sections()[name]
    own = section.tables(material.inputs, material.orders, material.statistics)
    html = section_html(name, section, replace(material, tables=own))
    return html, section.problems(material.inputs), section.warnings(material.inputs)


@pytest.mark.parametrize("name", section_names())
def test_a_section_reads_what_it_says_and_nothing_else_of_the_inputs(name, made):
    reads = sections()[name].reads
    names = {field.name for field in fields(made.inputs)}
    assert set(reads) <= names
    hidden = replace(made.inputs, **{field: Untouchable() for field in names - set(reads)})
    assert shown(name, replace(made, inputs=hidden)) == shown(name, made)
    for field in reads:
        with pytest.raises(Touched):
            shown(name, replace(made, inputs=replace(made.inputs, **{field: Untouchable()})))


def test_every_section_has_its_own_file_and_template():
    package, templates = ROOT / "lem/reports/sections", ROOT / "lem/reports/templates/sections"
    assert {path.stem for path in package.glob("*.py")} - {"__init__"} == set(section_names())
    assert {path.stem for path in templates.glob("*.jinja")} == set(section_names())


def test_the_list_of_sections_is_read_without_torch_and_without_what_draws():
    script = "import sys; from lem.lineage.contents import section_names; assert len(section_names()) > 10; "
    script += "assert not {'torch', 'matplotlib'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
