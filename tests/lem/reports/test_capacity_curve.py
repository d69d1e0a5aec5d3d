"""What is kept at other sizes and costs is computed from the stored gains, and the page says what it assumes."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from lem.execution.costs_config import CostsConfig
from lem.reports import capacity_curve as module
from lem.reports.capacity_curve import FEES_BPS, IMPACTS, SIZES, curve, sensitivity_table, sizes_table
from lem.reports.prepared import prepare_orders
from lem.reports.report import Report, render_report
from lem.reports.tables import MODEL, RIVALS
from lem.reports.wording import label, number, size
from tests.lem.reports.pages import COSTS, Page, make_inputs, make_orders, text_of

ORDERS = make_orders(days=2)
FIXED = COSTS.fee_bps + COSTS.half_spread_bps


def by_hand(strategy: str, volumes: float, impact: float = 1.0, fee: float = 0.0) -> np.ndarray:
    own = ORDERS[ORDERS["strategy"] == strategy]
    paid = own["capped_gain_bps"] - own["net_gain_bps"] - FIXED
    root = math.sqrt(volumes / COSTS.order_size)
    return (own["capped_gain_bps"] - FIXED - fee - impact * root * paid).to_numpy()


def test_the_curve_has_mean_deviation_and_tail_of_the_model_and_the_rules_from_a_twentieth_to_a_whole_bar() -> None:
    table = sizes_table(prepare_orders(ORDERS), COSTS)
    assert list(table["strategy"].unique()) == [MODEL, *RIVALS]
    assert list(table["size"].unique()) == list(SIZES)
    assert (SIZES[0], SIZES[-1]) == (0.05, 1.0)
    assert set(table.loc[table["traded"], "size"]) == {COSTS.order_size}
    for row in table.to_dict("records"):
        kept = by_hand(row["strategy"], row["size"])
        assert row["mean_bps"] == pytest.approx(kept.mean())
        assert row["std_bps"] == pytest.approx(kept.std(ddof=1))
        assert row["cvar5_bps"] == pytest.approx(np.sort(kept)[: math.ceil(len(kept) / 20)].mean())


def test_a_traded_size_that_is_not_on_the_curve_is_added_to_it() -> None:
    costs = CostsConfig(order_size=0.3)
    table = sizes_table(prepare_orders(ORDERS), costs)
    at = table[table["traded"]].set_index("strategy")
    assert set(at["size"]) == {0.3}
    assert at.loc[MODEL, "mean_bps"] == pytest.approx(ORDERS.query("strategy == 'lem'")["net_gain_bps"].mean())


def test_the_sensitivity_has_every_impact_with_every_fee_and_the_break_even_of_both() -> None:
    table = sensitivity_table(prepare_orders(ORDERS), COSTS)
    assert len(table) == (1 + len(RIVALS)) * len(IMPACTS) * len(FEES_BPS)
    for row in table.to_dict("records"):
        kept = by_hand(row["strategy"], COSTS.order_size, row["impact"], row["fee_bps"])
        assert row["mean_bps"] == pytest.approx(kept.mean())
        at = by_hand(row["strategy"], COSTS.order_size, row["impact"], row["break_even_fee_bps"])
        assert at.mean() == pytest.approx(0.0, abs=1e-9)
        at = by_hand(row["strategy"], COSTS.order_size, row["break_even_impact"], row["fee_bps"])
        if row["break_even_impact"] > 0:
            assert at.mean() == pytest.approx(0.0, abs=1e-9)
        else:
            assert at.mean() < 0


def test_the_page_prints_both_and_says_whose_slices_they_are(report: Report) -> None:
    page, words = Page(report.html), text_of(report.html)
    head, *body = page.table("Kept after costs by order size")
    assert head == ["Size", *map(size, SIZES)]
    assert [row[0] for row in body if len(row) == 1] == [label(name) for name in (MODEL, *RIVALS)]
    own = report.tables["sizes"].query("strategy == 'lem'")
    assert body[1] == ["Mean", *(number(value) for value in own["mean_bps"])]
    head, *body = page.table("Mean kept after costs at other impacts and fees")
    assert head == ["Impact", "Fee +0 bps", "Fee +1 bps", "Fee +2 bps", "Break-even: fee on top"]
    own = report.tables["sensitivity"].query("strategy == 'lem' and impact == 2.0").to_dict("records")
    assert [row[0] for row in body[:5]] == [label(MODEL), "× 0.5", "× 1", "× 2", "Break-even: impact"]
    assert body[3][2] == f"{number(own[1]['mean_bps'])}|worst 5\N{NO-BREAK SPACE}% {number(own[1]['cvar5_bps'])}"
    assert "the slices and the cap are those of the traded size" in words
    assert "decides anew at each size" in words
    assert "cannot be traded under the cap at all" not in words


@pytest.mark.thorough
def test_the_page_says_where_the_curve_goes_beyond_what_the_cap_lets_trade() -> None:
    costs = COSTS.model_copy(update={"participation_cap": 0.05})
    words = text_of(render_report(make_inputs(ORDERS, costs=costs)).html)
    assert "Orders above 60 % of a bar’s volume cannot be traded under the cap at all." in words


def test_the_lines_lie_where_the_table_says(monkeypatch: pytest.MonkeyPatch) -> None:
    table = sizes_table(prepare_orders(ORDERS), COSTS)
    drawn: list[dict[str, list[float]]] = []

    def keep(figure, *_):
        for axes in figure.axes:
            lines = [line for line in axes.get_lines() if len(line.get_xdata()) == len(SIZES)]
            drawn.append({str(line.get_label()): list(line.get_ydata()) for line in lines})
        return ""

    monkeypatch.setattr(module, "to_svg", keep)
    curve(table)
    for lines, column in zip(drawn, ("mean_bps", "std_bps", "cvar5_bps"), strict=True):
        assert lines == {label(name): list(part[column]) for name, part in table.groupby("strategy")}


def test_without_executed_orders_there_is_no_curve() -> None:
    empty: pd.DataFrame = prepare_orders(ORDERS.iloc[:0])
    assert sizes_table(empty, COSTS).empty
    assert sensitivity_table(empty, COSTS).empty
