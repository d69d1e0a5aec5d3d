from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace

import pandas as pd
import pytest

from lem.registry.decision_figures import DecisionFigures
from lem.reports.headline import Headline, headline
from lem.reports.inputs import ReportInputs
from lem.reports.prepared import prepare_orders
from lem.reports.report import Report, last_trading_day, render_report
from lem.reports.tables import full_table
from lem.reports.wording import label, number
from lem.strategies.rules import RULES_WITH_COSTS
from tests.lem.reports.pages import COSTS, Page, exclude, make_inputs, make_leaks, make_orders, make_promotions, text_of

pytestmark = pytest.mark.usefixtures("empty_pictures")

FEW = ("lem", "optimal_stopping", "twap")


def test_headline_figures_are_those_of_the_summary(report: Report) -> None:
    words = text_of(report.html)
    best, *others = report.summary["comparisons"]

    def told(gap: dict[str, float], what: str = "") -> str:
        inside = f"({what}{number(gap['low'])} to {number(gap['high'])})"
        return f"{number(abs(gap['mean']))} bps {'less' if gap['mean'] < 0 else 'more'} per order {inside}"

    net = f"After costs the model kept {told(best['net_interval'], '95 % interval: ')} than “{label(best['against'])}”"
    assert f"keeps? {best['net_verdict'].capitalize()}. {net} on the same orders." in words
    for found in others:
        blind = ", which does not know costs" if found["against"] == "optimal_stopping" else ""
        net = f"{found['net_verdict']} after costs, {told(found['net_interval'])}."
        assert f"{label(found['against'])}{blind}: {net}" in words
    for found in (best, *others):
        assert f"Before costs: {found['verdict']}, {told(found['interval'])}." in words
    left, before = report.summary["net_gain"], report.summary["gain"]
    assert f"What does the model keep after costs? {number(left['mean'])} bps per order." in words
    assert f"Before costs: {number(before['mean'])} bps ({number(before['low'])} to {number(before['high'])})." in words
    assert "288 orders on 6 independent days." in words
    assert "the intervals are rough" in words
    assert "The candidate is promoted: first model. Watch: Feature" in words


def test_the_best_rule_that_knows_costs_is_the_one_that_keeps_most_and_is_told_with_its_risk(report: Report) -> None:
    orders = make_orders()
    means = orders.groupby("strategy")["net_gain_bps"].mean()
    for lifted in RULES_WITH_COSTS:
        mine = orders["strategy"] == lifted
        better = orders.assign(net_gain_bps=orders["net_gain_bps"].where(~mine, orders["net_gain_bps"] + 20.0))
        found = render_report(make_inputs(better))
        assert found.summary["comparisons"][0]["against"] == lifted
        assert [one["knows_costs"] for one in found.summary["comparisons"]] == [True, True, False, False]
        own = better.loc[mine, "net_gain_bps"]
        tail = own.nsmallest(math.ceil(len(own) / 20)).mean()
        said = f"That rule keeps {number(means[lifted] + 20.0)} bps: standard deviation {number(own.std())} bps"
        assert f"{said}, worst 5 % on average {number(tail)} bps." in text_of(found.html)
        assert "keeps? Worse. After costs the model kept" in text_of(found.html)


def test_costs_are_told_in_words_on_the_first_screen_and_in_full_below(report: Report) -> None:
    words = text_of(report.html)
    first = words.index("a fee of 1 bps and half a spread of 0.5 bps on every fill, and impact for orders of 20 %")
    assert words.index("What does the model keep after costs?") < first < words.index("Gain by scenario and m An order")
    rows = dict(Page(report.html).table("Costs assumed")[1:])
    assert set(rows) == {"Fee", "Half spread", "Impact", "Order size", "Participation cap"}
    assert "needs at least 2 of its 12 bars" in rows["Participation cap"]
    assert report.summary["costs"] == COSTS.model_dump()


def test_a_leak_and_a_drift_are_told_on_the_first_screen(report: Report) -> None:
    words = text_of(report.html)
    first = words[: words.index("Is it more than the other rules keep?")]
    assert "Watch: Feature volatility_ratio is not distributed as in training (index 0.41)." in first
    assert "training ended 17 trading days ago; allowed: 16." in first
    leaks = make_leaks()
    leaks.loc[leaks["min_bars"] == 1, "verdict"] = "above the bound"
    found = render_report(make_inputs(make_orders(), leaks=leaks))
    assert found.summary["status"] == "incomplete"
    assert "On a driftless market the model gained 0.310 sigma with m = 1" in text_of(found.html)
    assert "Nothing found." in words
    assert "Perhaps." in text_of(found.html)


def head_of(inputs: ReportInputs) -> Headline:
    """The first screen's answers, without the page."""
    orders = prepare_orders(inputs.orders)
    table = full_table(orders, COSTS, resamples=20, seed=0)
    return headline(orders, table, inputs.promotions, inputs.date.isoformat(), last_trading_day(inputs, orders))


def test_a_report_none_of_whose_own_orders_was_executed_is_incomplete() -> None:
    orders = make_orders(strategies=FEW)
    own = orders["date"] == orders["date"].max()
    orders = pd.concat([orders[~own], exclude(orders[own])])
    said = "The latest executed orders arrived on 2024-01-05; those up to 2024-01-06 should be there."
    page = render_report(make_inputs(orders)).summary
    assert (page["status"], page["problems"]) == ("incomplete", [said])
    head = head_of(make_inputs(orders, calendar="XNYS"))
    assert (head.status, head.problems) == ("incomplete", (said,))


def test_a_date_without_orders_is_a_problem_only_where_the_market_never_closes() -> None:
    orders, later = make_orders(strategies=FEW), dt.date(2024, 1, 8)
    for calendar, status in (("24/7", "incomplete"), ("XNYS", "complete")):
        inputs = make_inputs(orders, date=later, calendar=calendar, promotions=make_promotions(later))
        assert head_of(inputs).status == status
    none = head_of(replace(make_inputs(orders, calendar="XNYS"), orders=orders.iloc[:0]))
    assert none.problems == ("No order was executed.",)


def test_dates_without_backtests_are_named_with_the_command_that_makes_them() -> None:
    orders = make_orders(strategies=FEW)
    hole = dt.date(2024, 1, 3)
    found = render_report(make_inputs(orders[orders["date"] != hole], left_out=[hole]))
    said = (
        "No backtests of 2024-01-03 are there: the orders of that time are left out; "
        "make them with: lem run --universe crypto --date 2024-01-06."
    )
    assert (found.summary["status"], found.summary["problems"]) == ("incomplete", [said])
    assert said in text_of(found.html)


def test_a_degraded_night_says_what_was_wrong_in_the_words_of_the_registry() -> None:
    inputs = make_inputs(make_orders())
    refused = replace(inputs.promotions[1], date=inputs.date)
    found = render_report(make_inputs(make_orders(), promotions=[refused]))
    words = text_of(found.html)
    assert found.summary["status"] == "degraded"
    why = "andidate model-x was refused: look-ahead: slice 3 changes with bar 2; champion model-1 trades on"
    assert refused.degraded == f"c{why}"
    assert f"Degraded. C{why}. Watch" in words
    figures = DecisionFigures(degraded="no model was trained for this date; no model trades")
    none = replace(refused, decision="none", champion_id=None, candidate_id=None, figures=figures)
    found = render_report(make_inputs(make_orders(), promotions=[none]))
    assert found.summary["status"] == "degraded"
    assert "Degraded. No model was trained for this date; no model trades." in text_of(found.html)


def test_a_night_is_degraded_only_where_its_decision_says_so() -> None:
    inputs = make_inputs(make_orders())
    why = ["the candidate was refused because its tail is worse"]
    refused = replace(inputs.promotions[1], date=inputs.date, reasons=why, figures=DecisionFigures())
    for decision in (refused, replace(refused, candidate_id=None, reasons=["no model is due on this date"])):
        found = render_report(make_inputs(make_orders(), promotions=[decision]))
        assert found.summary["status"] == "complete"
        words = text_of(found.html)
        assert words.count(f"The champion stays: {decision.reasons[0]}.") == 2, "on the first screen and under the gate"
        assert "kept:" not in words.lower()


def test_the_sanity_checks_of_the_latest_candidate_are_told(report: Report) -> None:
    table = Page(report.html).table("Sanity checks of candidate model-1 on 2024-01-06")
    assert table[1:] == [
        ["Finite weights", "passed", "all 5,184 weights are finite"],
        ["Causality", "passed", "no decision changes with bars that come later"],
    ]
    sanity = report.tables["sanity"]
    assert list(zip(sanity["date"], sanity["candidate_id"], sanity["name"], sanity["passed"], strict=True)) == [
        ("2024-01-06", "model-1", "finite_weights", True),
        ("2024-01-06", "model-1", "causality", True),
        ("2024-01-05", "model-x", "finite_weights", True),
        ("2024-01-05", "model-x", "causality", False),
    ]
    assert list(sanity["figures"]) == ['{"weights":5184}', "{}", '{"weights":5184}', '{"leaks":1}']
    bad = make_promotions(make_inputs(make_orders()).date)[1]
    page = Page(render_report(make_inputs(make_orders(), promotions=[bad])).html)
    failed = ["Causality", "failed", "look-ahead: slice 3 changes with bar 2"]
    assert page.table("Sanity checks of candidate model-x on 2024-01-05")[2] == failed
