from __future__ import annotations

import pandas as pd

from lem.reports import tables
from lem.reports.groups import WEEKDAYS, add_groups, group_rank
from lem.reports.prepared import prepare_orders
from tests.lem.reports.pages import COSTS, make_orders

AGES = {f"2024-01-{day:02}": 9 + 2 * day for day in range(1, 7)}


def prepared(ages: dict[str, int] | None = None) -> pd.DataFrame:
    orders = make_orders()
    orders["sigma_bps"] = 40.0 + orders["arrival"].dt.day
    return add_groups(prepare_orders(orders), ages)


def test_groups_say_when_an_order_arrived_how_wild_it_was_and_how_old_the_model() -> None:
    orders = prepared(AGES)
    assert set(orders["hour"]) == {"05"}
    assert (orders["weekday"] == [WEEKDAYS[day.day_of_week] for day in orders["arrival"]]).all()
    assert set(orders["model"]) == {"model-1"}
    sigma = orders.groupby("volatility")["sigma_bps"].agg(["min", "max"])
    assert len(sigma) == 5
    assert (sigma["min"].iloc[1:].to_numpy() > sigma["max"].iloc[:-1].to_numpy()).all(), "buckets do not overlap"
    ages = orders.groupby("date")["age"].unique().map(list).to_dict()
    assert ages["2024-01-01"] == ["11 to 13"]
    assert ages["2024-01-06"] == ["21"]


def test_days_without_a_champion_are_of_no_age_and_no_model() -> None:
    orders = make_orders(strategies=("twap",))
    groups = add_groups(prepare_orders(orders))
    assert set(groups["age"]) == set(groups["model"]) == {"none"}


def test_statistics_of_a_group_are_those_of_its_orders() -> None:
    orders = prepared(AGES)
    table = tables.full_table(orders, COSTS, resamples=100, seed=0)
    for level in tables.GROUPS:
        own = table[(table["level"] == level) & (table["costs"] == "off") & (table["against"] == "")]
        assert set(own["strategy"]) == {"lem", *tables.RIVALS}
        means = orders.groupby(["strategy", level])["gain_bps"].mean()
        for row in own.to_dict("records"):
            assert abs(row["mean_bps"] - means[row["strategy"], row["group"]]) < 1e-9
        pooled = own[own["strategy"] == "lem"]
        assert pooled["orders"].sum() == 288
    gap = table[(table["level"] == "weekday") & (table["costs"] == "on") & (table["against"] == "twap")]
    net = orders.pivot_table(index=["order", "weekday"], columns="strategy", values="net_gain_bps").reset_index()
    expected = (net["lem"] - net["twap"]).groupby(net["weekday"]).mean()
    assert all(abs(row["mean_bps"] - expected[row["group"]]) < 1e-9 for row in gap.to_dict("records"))
    assert len(gap) == 6


def test_groups_are_sorted_as_people_do() -> None:
    ages = ["none", "100 to 120", "9 to 12"]
    assert sorted(ages, key=lambda group: group_rank("age", group)) == ["9 to 12", "100 to 120", "none"]
    days = ["Sunday", "Friday", "Monday"]
    assert sorted(days, key=lambda group: group_rank("weekday", group)) == ["Monday", "Friday", "Sunday"]
