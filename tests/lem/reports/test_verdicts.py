"""Verdicts hold for all comparisons of a table together: without any difference, few tables say better or worse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lem.backtest.bootstrap import Interval, grouped_means
from lem.backtest.comparisons import grouped_p_values
from lem.reports.prepared import prepare_orders
from lem.reports.report import render_report
from lem.reports.tables import full_table, select
from lem.reports.verdicts import row_interval, together, verdict, verdicts
from tests.lem.reports.pages import COSTS, Page, make_inputs, make_orders, text_of

pytestmark = pytest.mark.usefixtures("empty_pictures")


@pytest.mark.parametrize("blocks", [7, 30])
def test_of_tables_without_any_difference_at_most_one_in_twenty_says_better_or_worse(blocks: int) -> None:
    generator, tables, cells = np.random.default_rng(blocks), 400, 12
    ahead, said_any, alone_any = 0, 0, 0
    block_O = np.tile(np.repeat(np.arange(blocks), 2), cells)
    group_O = np.repeat(np.arange(cells), blocks * 2)
    for _ in range(tables):
        # A day moves the cells of a table together, and each for itself.
        day = 0.5 * generator.normal(size=(1, blocks, 1)) + generator.normal(size=(cells, blocks, 1))
        values = (day + generator.normal(size=(cells, blocks, 2))).ravel()
        intervals = grouped_means(values, block_O, group_O, resamples=200)
        p_values = grouped_p_values(values, block_O, group_O).tolist()
        said = verdicts(list(zip(intervals, p_values, strict=True)))
        ahead += "better" in said
        said_any += bool({"better", "worse"} & set(said))
        alone_any += any(verdict(interval, 0.0) != "not distinguishable" for interval in intervals)
    most = 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / tables)
    assert ahead / tables <= most
    assert said_any / tables <= most
    assert alone_any / tables > 0.3, "one by one, many tables have a false verdict"


def test_a_difference_that_is_real_is_still_called_so_among_many() -> None:
    clear, nothing = (Interval(1.0, 0.8, 1.2, 100, 30), 1e-6), (Interval(0.1, -0.2, 0.4, 100, 30), 0.5)
    chance = Interval(0.3, 0.01, 0.6, 100, 30), 0.04
    assert verdicts([clear, *[nothing] * 9, chance]) == ["better", *["not distinguishable"] * 10]
    assert verdicts([chance]) == ["better"], "alone it would be"


def test_tables_and_the_first_screen_judge_all_that_they_show_together() -> None:
    orders = make_orders()
    table = full_table(prepare_orders(orders), COSTS, resamples=200, seed=0)
    page = Page(render_report(make_inputs(orders)).html)
    for costs, when in (("off", "before costs"), ("on", "after costs")):
        levels = [select(table, level, costs, None) for level in ("m", "all")]
        rows = [row for level in levels for row in level.to_dict("records")]
        said = verdicts([(row_interval(row), row["p_value"]) for row in rows])
        caption = next(t["caption"] for t in page.tables if t["caption"].startswith(f"Model minus rule {when}"))
        assert caption.endswith(together(len(rows)))
        assert f"for all {len(rows)} comparisons of the table together" in caption
        shown = page.table(f"Model minus rule {when}")[1:]
        words = sorted(cell.split("|")[-1] for _, *cells in shown for cell in cells)
        assert words == sorted(one.replace("not distinguishable", "unclear") for one in said)
        alone = [verdict(row_interval(row), 0.0) for row in rows]
        assert said != alone, "these orders have a cell that is clear of zero by itself alone"


def test_the_first_screen_says_how_many_comparisons_its_words_hold_for() -> None:
    report = render_report(make_inputs(make_orders()))
    # Four rules before costs and after, two of them by the gate's measure too.
    assert report.summary["compared"] == 10
    assert "hold for all its 10 comparisons together" in text_of(report.html)


def test_a_table_that_says_nothing_counts_no_comparisons() -> None:
    assert together(0) == ""
    assert together(1) == ". One comparison"
    report = render_report(make_inputs(make_orders(days=2)))
    assert report.summary["compared"] == 0
    assert "comparisons of the table" not in text_of(report.html)
