"""The first screen compares by the gate's measure too, and says why where it differs from the mean."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from lem.execution.worth import worth
from lem.reports.headline import Headline, headline
from lem.reports.prepared import prepare_orders
from lem.reports.report import render_report
from lem.reports.tables import full_table
from lem.reports.wording import label
from lem.reports.worth import add_worth
from tests.lem.reports.pages import COSTS, make_inputs, make_orders, make_promotions, text_of

pytestmark = pytest.mark.usefixtures("empty_pictures")

FEW = ("optimal_with_costs", "optimal_with_risk", "twap", "lem")


def orders_of(**moments: tuple[float, float]) -> pd.DataFrame:
    """Orders whose net gains have the mean and half the distance of two equal halves, by strategy."""
    orders = make_orders(days=10, strategies=FEW)
    half = orders.groupby("strategy").cumcount() % 2 * 2 - 1
    for strategy, (mean, apart) in moments.items():
        own = orders["strategy"] == strategy
        orders.loc[own, "net_gain_bps"] = mean + apart * half[own]
    return orders


CALM = orders_of(lem=(4.0, 2.0), optimal_with_costs=(6.0, 60.0), optimal_with_risk=(5.0, 30.0))
WILD = orders_of(lem=(7.0, 90.0), optimal_with_costs=(5.5, 30.0), optimal_with_risk=(5.0, 2.0))


def head_of(orders: pd.DataFrame, risk_aversion: float = 4.0) -> Headline:
    prepared = add_worth(prepare_orders(orders), risk_aversion)
    table = full_table(prepared, COSTS, resamples=50, seed=0)
    last = orders["date"].max()
    return headline(prepared, table, make_promotions(last), last.isoformat(), last.isoformat())


def test_worth_is_the_gates_measure_of_each_order() -> None:
    prepared = prepare_orders(CALM)
    found = add_worth(prepared, 2.0)["worth_bps"].to_numpy()
    sigma = prepared["sigma_bps"].to_numpy()
    exact = worth(torch.from_numpy(prepared["net_gain_bps"].to_numpy() / sigma), 2.0).numpy() * sigma
    np.testing.assert_allclose(found, exact, atol=1e-9)


def test_the_rule_that_is_worth_most_need_not_be_the_one_that_keeps_most() -> None:
    head = head_of(CALM)
    assert (head.comparisons[0].against, head.worth_most) == ("optimal_with_costs", "optimal_with_risk")
    assert (head.comparisons[0].net_verdict, head.comparisons[1].worth_verdict) == ("worse", "better")
    assert [one.worth_interval is None for one in head.comparisons] == [False, False, True]
    same = head_of(CALM, 0.0)
    assert same.worth_most == "optimal_with_costs"
    assert same.comparisons[0].worth_interval == same.comparisons[0].net_interval


@pytest.mark.parametrize(
    ("orders", "said"),
    [
        (CALM, "the model keeps less on average, but loses less where it loses."),
        (WILD, "the model keeps more on average, but its losses outweigh that."),
    ],
)
def test_a_difference_between_the_mean_and_its_worth_is_told(orders: pd.DataFrame, said: str) -> None:
    words = text_of(render_report(make_inputs(orders, risk_aversion=4.0)).html)
    first = words[: words.index("Did it work last night?")]
    assert "Is it worth more, if losses count as the gate counts them?" in first
    assert f"That differs from the answer above: {said}" in first
    assert "by the orders’ risk aversion of 4." in first
    assert f"than those of “{label('optimal_with_risk')}”, the rule whose orders are worth most." in first


def test_the_gates_own_days_are_told_and_that_these_orders_say_the_opposite() -> None:
    said = "On the gate’s own days, for 2024-01-10 , the candidate’s orders were worth 1.2 bps more than those of"
    other_way = "On the orders of this report it is the other way round."
    for orders, opposite in ((CALM, False), (WILD, True)):
        head = head_of(orders)
        assert head.gate is not None
        assert (head.gate.rule, head.gate.candidate_id, head.gate.opposite) == (
            "optimal_with_risk",
            "model-1",
            opposite,
        )
        words = text_of(render_report(make_inputs(orders, risk_aversion=4.0)).html)
        assert said in words
        assert (other_way in words) == opposite


def test_before_the_gate_has_compared_anything_its_days_are_not_told() -> None:
    report = render_report(make_inputs(CALM, promotions=[]))
    assert report.summary["gate"] is None
    assert "On the gate’s own days" not in text_of(report.html)
