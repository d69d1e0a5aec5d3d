"""A rule is a file and a line in the list: everything else finds it there."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import lem.strategies
from lem.backtest.orders_table import execute
from lem.backtest.schema import expected_rows
from lem.errors import OrderError
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import SCENARIOS
from lem.gate.gains import gate_orders
from lem.model.contender import Contender
from lem.reports.figures import STYLES, style_of
from lem.reports.report import render_report
from lem.reports.tables import known_strategies
from lem.reports.wording import label
from lem.strategies import rules
from lem.strategies.base import Setting
from lem.strategies.rules import Rule, make_rules, rule_names
from tests.conftest import ROOT
from tests.lem.builders import START, TINY, brownian_panel, lively_model
from tests.lem.reports.pages import Page, make_inputs, make_orders, text_of

TOY = '''"""Halves: trades half of what remains in every bar."""

from __future__ import annotations

import torch

from lem.strategies.base import Decision, Setting, View

MEANING = "Trades half of what remains in every bar of at most {}."


class Halves:
    name = "halves"

    def __init__(self, horizon: int) -> None:
        self.horizon = horizon

    def decide(self, view: View) -> Decision:
        slice_O = view.ledger.remaining_O / 2
        return Decision(slice_O, torch.zeros_like(slice_O, dtype=torch.bool))


def make(setting: Setting) -> Halves:
    return Halves(setting.horizon)
'''
HORIZON, COSTS = 6, CostsConfig()
PANEL = brownian_panel(6, assets=1, seed=8)


@pytest.fixture
def universe(make_universe):
    return make_universe(horizon=HORIZON, backtest={"min_bars": [1, 3, 6]}, model=TINY.model_dump())


@pytest.fixture
def with_halves(tmp_path, monkeypatch):
    """The file of a rule, and its line in the list."""
    (tmp_path / "halves.py").write_text(TOY, encoding="utf-8")
    monkeypatch.setattr(lem.strategies, "__path__", [*lem.strategies.__path__, str(tmp_path)])
    monkeypatch.setattr(rules, "RULES", (*rules.RULES, Rule("halves", "Half by half")))
    yield
    sys.modules.pop("lem.strategies.halves", None)
    vars(lem.strategies).pop("halves", None)


def test_a_new_rule_executes_every_order_of_a_backtest(with_halves, universe):
    day = np.arange(96, 120)
    models = {"lem": ("one", lively_model())}
    orders = execute(PANEL, np.zeros_like(day), day, HORIZON, universe.backtest, COSTS, models)
    assert tuple(orders["strategy"].drop_duplicates()) == (*rule_names(), "lem")
    assert rule_names()[-1] == "halves"
    own = orders[orders["strategy"] == "halves"]
    assert len(own) == len(day) * 3 * len(SCENARIOS)
    assert own["gain_bps"].notna().all()
    assert len(orders) == expected_rows(len(day), universe, with_model=True)


def test_a_new_rule_stands_beside_the_candidate_in_the_orders_of_the_gate(with_halves, universe):
    orders = gate_orders(PANEL, universe, START, {"candidate": Contender("one", lively_model(), START)})
    for gains in (orders.gross, orders.net, orders.worth):
        assert {*rule_names(), "candidate"} <= set(gains.columns)
        assert gains["halves"].notna().all()


@pytest.mark.thorough
def test_a_new_rule_is_in_the_tables_the_figures_and_the_words_of_the_report(with_halves):
    report = render_report(make_inputs(make_orders(days=2, strategies=(*rule_names(), "lem"))))
    assert "halves" in set(report.table["strategy"])
    assert {"halves"} <= set(report.tables["daily"]["strategy"]) & set(report.tables["ends"]["strategy"])
    page = Page(report.html)
    first = [row[0] for row in page.table("Mean gain by m before costs")]
    assert first[first.index("Half by half") - 1] == label(known_strategies()[-2])
    words = text_of(report.html)
    assert "Half by half Trades half of what remains in every bar of at most" in words
    assert "m = 12, Half by half: after" in report.html, "the picture of when orders end tells of it"


def test_a_new_rule_gets_a_colour_and_a_marker_of_its_own_and_the_others_keep_theirs(with_halves):
    before = {name: style_of(name) for name in known_strategies() if name != "halves"}
    assert style_of("halves") not in before.values()
    assert set(before.values()) == set(STYLES[: len(before)])
    assert style_of("my_own", ["my_own", "lem"]) not in [*before.values(), style_of("halves")]
    assert label("halves") == "Half by half"


def test_todays_strategies_have_the_styles_that_readers_know():
    known = {
        "lem": ("#0072B2", "o", "-"),
        "optimal_stopping": ("#D55E00", "s", "--"),
        "twap": ("#4D4D4D", "^", ":"),
        "twap_to_m": ("#009E73", "D", "-."),
        "volume_curve": ("#CC79A7", "v", "--"),
        "bang_bang": ("#E69F00", "P", ":"),
        "optimal_with_costs": ("#56B4E9", "X", "-."),
        "optimal_with_risk": ("#8B6914", "p", "--"),
    }
    assert {name: style_of(name) for name in known} == known


def test_strategies_beyond_the_last_style_have_one_too_and_never_the_models():
    many = [f"own_{i:02}" for i in range(30)]
    styles = [style_of(name, many) for name in many]
    assert len(set(styles[:4])) == 4
    assert style_of("lem") not in styles


def test_a_rule_with_another_name_than_its_line_is_refused(with_halves, tmp_path, monkeypatch):
    (tmp_path / "thirds.py").write_text(TOY, encoding="utf-8")
    monkeypatch.setattr(rules, "RULES", (Rule("thirds", "Third by third"),))
    with pytest.raises(OrderError, match=r"rule thirds: .*makes a strategy named halves; allowed: the name of"):
        make_rules(Setting(HORIZON, COSTS))


def test_every_rule_says_what_it_does_in_sentences():
    for rule in rules.RULES:
        assert rule.meaning.endswith("."), rule.name


def test_the_list_of_rules_is_read_without_torch():
    script = "import sys; from lem.strategies.rules import rule_names; assert len(rule_names()) > 4; "
    script += "import lem.reports.wording; assert 'torch' not in sys.modules, 'torch'"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
