from __future__ import annotations

from lem.reports.report import Report
from lem.reports.wording import number
from tests.lem.reports.pages import COSTS, Page, text_of


def test_headline_figures_are_those_of_the_summary(report: Report) -> None:
    words = text_of(report.html)
    for found in report.summary["comparisons"]:
        gap = found["interval"]
        assert f"the model gained {number(abs(gap['mean']))} bps {'less' if gap['mean'] < 0 else 'more'}" in words
        assert f"{number(gap['low'])} to {number(gap['high'])} bps" in words
        net = found["net_interval"]
        said = f"{found['net_verdict']}, {number(abs(net['mean']))} bps {'less' if net['mean'] < 0 else 'more'}"
        assert f"After costs: {said} ({number(net['low'])} to {number(net['high'])} bps)." in words
    left = report.summary["net_gain"]
    assert f"{number(left['mean'])} bps per order, of {number(report.summary['gain']['mean'])} before." in words
    assert "288 orders on 6 independent days." in words
    assert "the intervals are rough" in words
    assert "The promotion gate decided: promoted. Reasons: first model; sanity checks passed. Champion" in words


def test_costs_are_told_in_words_on_the_first_screen_and_in_full_below(report: Report) -> None:
    words = text_of(report.html)
    first = words.index("a fee of 1 bps and half a spread of 0.5 bps on every fill, and impact for orders of 20 %")
    assert words.index("What is left after costs?") < first < words.index("Gain by scenario and m An order")
    rows = dict(Page(report.html).table("Costs assumed")[1:])
    assert set(rows) == {"Fee", "Half spread", "Impact", "Order size", "Participation cap"}
    assert "needs at least 2 of its 12 bars" in rows["Participation cap"]
    assert report.summary["costs"] == COSTS.model_dump()
