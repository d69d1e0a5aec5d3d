"""The frontier has each strategy at what it keeps after costs and at what it risks for it."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from lem.reports import frontier as module
from lem.reports.frontier import frontier
from lem.reports.report import Report
from lem.reports.wording import label, number
from tests.lem.reports.pages import STRATEGIES, make_orders


@pytest.mark.parametrize(("name", "risk"), [("std_bps", "deviation"), ("cvar5_bps", "tail")])
def test_each_strategy_is_a_point_of_its_mean_and_risk_after_costs(report: Report, name: str, risk: str) -> None:
    picture, orders = frontier(report.table)[f"frontier_{name}"], make_orders()
    for strategy in STRATEGIES:
        gain = orders.loc[orders["strategy"] == strategy, "net_gain_bps"]
        x = {"deviation": gain.std(), "tail": gain.nsmallest(math.ceil(len(gain) / 20)).mean()}[risk]
        assert f"{label(strategy)}: {number(gain.mean())} at {number(x)}." in picture.alt


def test_the_points_lie_where_the_words_say(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[dict[str, tuple[float, float]]] = []

    def keep(figure, *_):
        lines = figure.axes[0].get_lines()[1:]
        drawn.append(
            {str(line.get_label()): (float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in lines}
        )
        return ""

    monkeypatch.setattr(module, "to_svg", keep)
    frontier(report.table)
    pooled = report.table.query("level == 'all' and costs == 'on' and against == ''").set_index("strategy")
    for points, risk in zip(drawn, ("std_bps", "cvar5_bps"), strict=True):
        assert points == {label(name): (row[risk], row["mean_bps"]) for name, row in pooled.iterrows()}


def test_without_executed_orders_there_is_no_frontier(report: Report) -> None:
    assert frontier(pd.DataFrame(columns=report.table.columns)) == {}
