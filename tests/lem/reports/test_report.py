from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from lem.backtest.bootstrap import EvaluationError
from lem.execution.costs_config import CostsConfig
from lem.lineage.contents import section_names
from lem.registry import PromotionRecord
from lem.registry.decision_figures import DecisionFigures
from lem.reports.report import Report, block_days, render_report
from lem.strategies.rules import rule_names
from tests.lem.reports.pages import check_page, exclude, make_decision, make_inputs, make_leaks, make_orders, text_of


def test_page_is_complete_semantic_and_needs_no_network(report: Report) -> None:
    page = check_page(report)
    assert page.count("svg") == 15
    sections = [str(attrs["id"]) for tag, attrs in page.elements if tag == "section"]
    assert " ".join(sections) == " ".join(["summary", *section_names()])
    words = text_of(report.html)
    assert "the most that any strategy could gain on a driftless random walk" in words
    assert "Positive is good everywhere" in words
    assert "Two &lt;coins&gt; &amp; more" in words
    assert words.index("What does the model keep after costs?") < words.index("Gain by scenario and m An order")
    assert report.html.index("</table>") < report.html.index("<svg")


def test_same_inputs_give_the_same_bytes(report: Report) -> None:
    again = render_report(make_inputs(make_orders().sample(frac=1, random_state=3)))
    assert again.html == report.html
    assert again.thumbnail == report.thumbnail
    assert again.summary == report.summary
    assert again.table.to_csv() == report.table.to_csv()
    assert {name: t.to_csv() for name, t in again.tables.items()} == {n: t.to_csv() for n, t in report.tables.items()}


def test_without_impact_there_is_no_limit_to_the_size_and_nothing_infinite_in_the_json() -> None:
    orders = make_orders()
    free = CostsConfig(fee_bps=0.0, half_spread_bps=0.0, impact=0.0, participation_cap=1.0)
    report = render_report(make_inputs(orders.assign(net_gain_bps=orders["capped_gain_bps"]), costs=free))
    page = check_page(report)
    assert page.table("Order size at which the mean gain is gone")[1][-1] == "no limit"
    assert report.summary["capacity"] is None
    assert "Without impact the gain does not depend on the order size." in text_of(report.html)
    assert dict(page.table("Costs assumed")[1:])["Impact"] == "Not charged."


def test_only_rules_before_the_first_model() -> None:
    orders = make_orders(strategies=rule_names())
    nothing: dict[str, Any] = {"promotions": [], "champion": None, "training_curve": None}
    report = render_report(make_inputs(orders, **nothing))
    check_page(report)
    words = text_of(report.html)
    assert report.summary["status"] == "no model"
    assert "In part: rules only." in words
    assert "There is no model yet." in words
    assert "The promotion gate has not decided anything yet." in words


@pytest.mark.thorough
def test_the_decisions_are_those_about_a_candidate_by_hand_or_of_a_night_without_a_model_that_was_due() -> None:
    def decision(day: int, candidate: str | None, reason: str, **figures: Any) -> PromotionRecord:
        date = dt.date(2024, 1, day)
        return make_decision(date, "kept", "model-1", candidate, [reason], DecisionFigures(**figures))

    decisions = [decision(day, None, "not due") for day in (1, 2, 4)]
    decisions += [decision(3, "model-2", "worse"), decision(5, None, "a hole", degraded="a hole; model-1 trades on")]
    decisions += [decision(6, None, "back", by_hand=True)]
    report = render_report(make_inputs(make_orders(), promotions=decisions))
    rows = check_page(report).table("Decisions of the gate, latest first")[1:]
    assert [row[0] for row in rows] == ["2024-01-06", "2024-01-05", "2024-01-03"]
    assert "On the other 3 of 6 dates no model was due, and nothing changed." in text_of(report.html)
    nothing = check_page(render_report(make_inputs(make_orders(), promotions=decisions[:2])))
    assert [row[0] for row in nothing.table("Decisions of the gate, latest first")[1:]] == ["2024-01-02"]


def test_one_day_of_one_asset_has_means_and_no_intervals() -> None:
    report = render_report(make_inputs(make_orders(days=1, assets=("BTC-USDT",))))
    page = check_page(report)
    assert report.table["low_bps"].isna().all()
    assert all(cell.endswith("|no interval") for row in page.table("Mean gain by m")[1:-2] for cell in row[1:])
    assert "Too few days to say." in text_of(report.html)
    assert {found["verdict"] for found in report.summary["comparisons"]} == {"too few days to say"}


def test_all_orders_excluded() -> None:
    report = render_report(make_inputs(exclude(make_orders())))
    page = check_page(report)
    assert report.table.empty
    assert page.count("svg") == 1
    assert report.summary["status"] == "no orders"
    assert page.table("Orders not executed")[1] == [
        "outage within the horizon",
        "BTC-USDT",
        "144",
        "100.0\xa0%",
    ]
    assert "288 of 288 orders were not executed" in text_of(report.html)


def test_no_rows_at_all() -> None:
    orders = make_orders()
    inputs = make_inputs(orders)
    page = check_page(render_report(replace(inputs, orders=orders.iloc[:0], data_quality=inputs.data_quality.iloc[:0])))
    assert page.count("svg") == 1


@pytest.mark.thorough
def test_orders_longer_than_a_day_make_longer_blocks() -> None:
    assert [block_days(*case) for case in ((12, "1h"), (24, "1h"), (25, "1h"), (12, "4h"), (12, "1d"))] == [
        1,
        1,
        2,
        2,
        12,
    ]
    report = render_report(make_inputs(make_orders(days=8), bar="4h"))
    assert report.summary["blocks"] == 4
    assert "4 independent blocks" in text_of(report.html)


def test_inputs_of_the_wrong_form_are_refused_by_name() -> None:
    inputs = make_inputs(make_orders())
    with pytest.raises(EvaluationError, match=r"data quality table: missing column\(s\) outage"):
        render_report(replace(inputs, data_quality=inputs.data_quality.drop(columns="outage")))
    with pytest.raises(EvaluationError, match=r"leak panel: missing column\(s\) verdict"):
        render_report(replace(inputs, leaks=make_leaks().drop(columns="verdict")))
    with pytest.raises(EvaluationError, match=r"training curve: missing column\(s\) loss"):
        render_report(
            replace(inputs, training_curve=pd.DataFrame({"step": [1], "gain_sigma": [1], "learning_rate": [1]}))
        )
