from __future__ import annotations

import io
import math

import pandas as pd
import pytest

from lem.backtest.capacity import capacity
from lem.reports.grids import BOUNDS, WHEN
from lem.reports.report import Report, render_report
from lem.reports.wording import label, number, percent, size
from tests.lem.reports.pages import COSTS, STRATEGIES, Page, check_page, make_inputs, make_orders, text_of

pytestmark = pytest.mark.usefixtures("empty_pictures")

MOST = {"Bound, driftless": 12.0, "Bound after costs, driftless": 8.0, "Bound, foresight": 100.0}
"""Each bound of the made-up orders at m = 0, bps."""


def test_figures_on_the_page_are_those_of_the_csv_and_of_the_orders(report: Report) -> None:
    page = Page(report.html)
    csv = pd.read_csv(io.StringIO(report.table.to_csv(index=False)), keep_default_na=True, dtype={"min_bars": str})
    csv = csv.fillna({"against": ""})
    names = {label(strategy): strategy for strategy in STRATEGIES}
    orders = make_orders()

    def printed(rows: pd.DataFrame) -> str:
        (row,) = rows.to_dict("records")
        return f"{number(row['mean_bps'])}|{number(row['low_bps'])} to {number(row['high_bps'])}"

    for costs, when in WHEN.items():
        gain = {"off": "gain_bps", "on": "net_gain_bps"}[costs]
        own = csv[(csv["costs"] == costs) & (csv["against"] == "")]
        head, *body = page.table(f"Mean gain by scenario and m {when}")
        assert head == ["m =", "1", "6", "12"]
        assert len(body) == 8 * (1 + len(STRATEGIES) + len(BOUNDS[costs]))
        query = ""
        for name, *cells in body:
            if not cells:
                side, benchmark, target = name.lower().split()
                query = f"side == '{side}' and benchmark == '{benchmark}' and target == '{target}'"
                continue
            for m, cell in zip(head[1:], cells, strict=True):
                if name in names:
                    assert cell == printed(own.query(f"{query} and min_bars == '{m}' and strategy == '{names[name]}'"))
                    mean = orders.query(f"{query} and min_bars == {m} and strategy == '{names[name]}'")[gain].mean()
                    assert cell.split("|")[0] == number(mean)
                else:
                    assert cell == number(MOST[name] - int(m))

        assert [row[0] for row in page.table(f"Mean gain by m {when}")[1:]] == [*names, *BOUNDS[costs].values()]
        head, *body = page.table(f"Model minus rule {when}")
        assert head == ["m", *map(label, STRATEGIES[1:])]
        assert [row[0] for row in body] == ["1", "6", "12", "all"]
        for m, *cells in body:
            for name, cell in zip(head[1:], cells, strict=True):
                level = "all" if m == "all" else "m"
                found = csv.query(f"level == '{level}' and min_bars == '{m}' and against == '{names[name]}'")
                assert cell.rpartition("|")[0] == printed(found[found["costs"] == costs])

        groups = [row[0] for row in page.table(f"Gain of single orders {when}") if len(row) == 1]
        assert groups == list(names)
        (row,) = own.query("level == 'all' and strategy == 'lem'").to_dict("records")
        first = page.table(f"Gain of single orders {when}")[2]
        assert first[0] == "all"
        assert (first[1], first[7], first[8]) == (
            number(row["mean_bps"]),
            number(row["cvar5_bps"]),
            percent(row["hit_rate"]),
        )
        bars = {row[0]: row[1] for row in page.table(f"Mean bars used {when}")}
        assert bars["TWAP"] == "12.0"
        assert bars["LEM model"] == {"off": "1.0", "on": "2.0"}[costs]

    body = page.table("All executed orders")[1:]
    assert [row[0] for row in body] == [*names, *BOUNDS["on"].values(), *BOUNDS["off"].values()]
    for name, after, deviation, tail, before in body[:-3]:
        gains = orders.loc[orders["strategy"] == names[name]]
        assert after.split("|")[0] == number(gains["net_gain_bps"].mean())
        assert deviation == number(gains["net_gain_bps"].std())
        assert tail == number(gains["net_gain_bps"].nsmallest(math.ceil(len(gains) / 20)).mean())
        assert before.split("|")[0] == number(gains["gain_bps"].mean())
    most = [number(MOST[row[0]] - 19 / 3) for row in body[-3:]]
    assert [[row[1], row[4]] for row in body[-3:]] == [[most[0], ""], ["", most[1]], ["", most[2]]]


def test_what_costs_take_adds_up_from_the_gain_before_to_the_gain_after() -> None:
    orders = make_orders()
    page = Page(render_report(make_inputs(orders)).html)
    body = page.table("What costs take")[1:]
    assert [row[0] for row in body] == [label(strategy) for strategy in STRATEGIES]
    model = orders[orders["strategy"] == "lem"]
    for shown, exact in zip(
        body[0][1:],
        (
            model["gain_bps"].mean(),
            -0.25 / 3,
            -1.5,
            (model["net_gain_bps"] - model["capped_gain_bps"]).mean() + 1.5,
            model["net_gain_bps"].mean(),
        ),
        strict=True,
    ):
        assert shown == number(exact)


def test_capacity_on_the_page_is_that_of_the_orders(report: Report) -> None:
    page, orders = Page(report.html), make_orders()
    head, *body = page.table("Order size at which the mean gain is gone")
    assert head == ["m =", "1", "6", "12", "all"]
    assert [row[0] for row in body] == [label(strategy) for strategy in STRATEGIES]
    for m, cell in zip((1, 6, 12, None), body[0][1:], strict=True):
        own = orders[(orders["strategy"] == "lem") & ((orders["min_bars"] == m) | (m is None))]
        assert cell == size(capacity(own["capped_gain_bps"], own["net_gain_bps"], COSTS))
    assert report.summary["capacity"] > 0
    assert report.summary["capacity_text"].replace("\N{NO-BREAK SPACE}", " ") in text_of(report.html)


def test_manifest_is_flattened_and_long_lists_are_counted(report: Report) -> None:
    rows = Page(report.html).table("Manifest of the champion")[1:]
    assert rows[:3] == [["seed", "7"], ["inputs", "9 items"], ["config.model.hidden", "32"]]


def test_days_with_gaps_are_listed_and_the_others_are_not(report: Report) -> None:
    page = Page(report.html)
    assert [row[:4] for row in page.table("Days with missing bars")[1:]] == [
        ["BTC-USDT", "2024-01-01", "24", "21"],
        ["ETH-USDT", "2024-01-01", "24", "21"],
    ]
    assert page.table("Bars by asset")[1] == ["BTC-USDT", "48", "45", "3", "0", "0", "2", "0", "4"]


def test_more_strategies_have_a_row_each() -> None:
    page = check_page(render_report(make_inputs(make_orders(strategies=("another_rule", "twap", "lem")))))
    rows = [row[0] for row in page.table("Mean gain by m")[1:]]
    assert rows == ["LEM model", "TWAP", "Another rule", "Bound, driftless", "Bound, foresight"]
