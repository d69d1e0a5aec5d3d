from __future__ import annotations

import pandas as pd

from lem.reports import tables, tallies
from lem.reports.prepared import prepare_orders
from tests.lem.reports.test_tables import excluded, row, week


def test_excluded_orders_are_counted_once_however_many_strategies_they_had() -> None:
    orders = pd.DataFrame([excluded(s) for s in ("lem", "twap")] + [row(s, 1.0, hour=5) for s in ("lem", "twap")])
    table = tallies.excluded_table(prepare_orders(orders))
    assert table.to_dict("records") == [{"reason": "outage", "asset": "BTC-USDT", "orders": 1, "share": 0.5}]


def test_of_an_empty_table_none_is_excluded() -> None:
    assert tallies.excluded_table(prepare_orders(week().iloc[:0])).empty


def test_end_bars_are_shares_of_a_strategy_and_m() -> None:
    orders = pd.DataFrame([row("lem", 1.0, hour=h, end_bar=bar) for h, bar in enumerate([3, 3, 3, 12])])
    ends = tallies.end_bar_table(prepare_orders(orders))
    assert ends[["end_bar", "orders", "share"]].to_numpy().tolist() == [[3, 3, 0.75], [12, 1, 0.25]]


def test_the_model_is_drawn_beside_a_rule_that_knows_costs_where_they_are_charged_and_beside_another_where_not() -> (
    None
):
    orders = pd.concat([week(), week().query("strategy == 'twap'").assign(strategy="optimal_with_risk")])
    done = tables.executed(prepare_orders(orders))
    assert [set(tallies.histogram(done, costs)["strategy"]) for costs in ("off", "on")] == [
        {"lem", "optimal_stopping"},
        {"lem", "optimal_with_risk"},
    ]


def test_daily_gain_adds_up_over_the_days() -> None:
    orders = pd.DataFrame([row("lem", 2.0, 1, 0), row("lem", 4.0, 1, 1), row("lem", -1.0, 2)])
    daily = tallies.daily_table(prepare_orders(orders))
    assert daily["date"].tolist() == ["2024-01-01", "2024-01-02"]
    assert daily["mean_bps"].tolist() == [3.0, -1.0]
    assert daily["cumulative_bps"].tolist() == [3.0, 2.0]
