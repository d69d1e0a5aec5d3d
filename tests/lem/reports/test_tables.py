from __future__ import annotations

import datetime as dt
import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lem.backtest.bootstrap import EvaluationError, Interval
from lem.execution.costs_config import CostsConfig
from lem.registry import PromotionRecord
from lem.reports import tables
from lem.reports.groups import add_groups
from lem.reports.headline import Headline, headline
from lem.reports.prepared import TEXTS, prepare_orders
from lem.reports.verdicts import verdict
from lem.reports.worth import add_worth
from lem.strategies.rules import rule_names

COSTS = CostsConfig(fee_bps=1.0, half_spread_bps=0.5, impact=0.5, order_size=0.2)
GATE = [PromotionRecord("crypto", dt.date(2024, 1, 6), "c1", None, "c1", "kept", ["the tail is worse"])]


def row(strategy: str, gain: float, day: int = 1, hour: int = 0, **changes: Any) -> dict[str, Any]:
    arrival = pd.Timestamp(2024, 1, day, hour, tz="UTC")
    return {
        "asset": "BTC-USDT", "date": arrival.date(), "arrival": arrival, "side": "buy", "benchmark": "twap",
        "target": "quantity", "min_bars": 3, "max_bars": 12, "strategy": strategy,
        "model_id": "c1" if strategy == "lem" else "", "status": "done", "reason": "", "sigma_bps": 50.0,
        "gain_bps": gain, "gain_arrival_bps": gain + 1, "gain_full_vwap_bps": gain - 1,
        "gain_full_twap_bps": gain - 2, "slices": None, "capped_gain_bps": gain - 0.5, "net_gain_bps": gain - 5.0,
        "bound_bps": 18.0, "net_bound_bps": 14.0, "oracle_bps": 90.0, "end_bar": 4, "net_end_bar": 5,
    } | changes  # fmt: skip


def excluded(strategy: str, **changes: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = dict.fromkeys(tables.NUMBERS, math.nan)
    nothing |= {"status": "excluded", "reason": "outage", "end_bar": 0, "net_end_bar": 0, "slices": None}
    return row(strategy, math.nan, **changes) | nothing


def week(edge: float = 2.0) -> pd.DataFrame:
    """Six days, three orders an asset and m; the model gains `edge` over optimal stopping, give or take 1."""
    generator, rows = np.random.default_rng(0), []
    for day, hour, asset, m in itertools.product(range(1, 7), range(3), ("BTC-USDT", "ETH-USDT"), (3, 12)):
        stop = generator.normal(10, 20)
        where: dict[str, Any] = {"day": day, "hour": hour, "asset": asset, "min_bars": m}
        rows += [
            row("twap", 0.0, **where),
            row("optimal_stopping", stop, **where),
            row("lem", stop + edge + (-1) ** day, **where),
        ]
    return pd.DataFrame(rows)


def full(orders: pd.DataFrame) -> pd.DataFrame:
    return tables.full_table(prepare_orders(orders), COSTS, resamples=200, seed=0)


def test_statistics_of_one_strategy_by_hand() -> None:
    gains = [-10.0, 0.0, 4.0, 26.0]
    orders = pd.DataFrame([row("twap", g, hour=h) for h, g in enumerate(gains)] + [excluded("twap", hour=9)])
    one = tables.select(full(orders), "all").to_dict("records")[0]
    assert (one["orders"], one["blocks"], one["min_bars"]) == (4, 1, "all")
    assert one["mean_bps"] == 5.0
    assert one["mean_sigma"] == pytest.approx(0.1)
    assert one["median_bps"] == 2.0
    assert one["std_bps"] == pytest.approx(np.std(gains, ddof=1))
    assert one["p5_bps"] == pytest.approx(np.quantile(gains, 0.05))
    assert one["p95_bps"] == pytest.approx(np.quantile(gains, 0.95))
    assert (one["cvar5_bps"], one["hit_rate"], one["arrival_bps"], one["bound_bps"]) == (
        -10.0,
        0.5,
        6.0,
        18.0,
    )
    assert math.isnan(one["low_bps"])


def test_statistics_after_costs_are_those_of_the_net_gain() -> None:
    gains = [-10.0, 0.0, 4.0, 26.0]
    orders = pd.DataFrame([row("twap", g, hour=h) for h, g in enumerate(gains)] + [excluded("twap", hour=9)])
    off, on = (tables.select(full(orders), "all", costs).to_dict("records")[0] for costs in ("off", "on"))
    assert (on["mean_bps"], on["median_bps"], on["cvar5_bps"], on["hit_rate"]) == (0.0, -3.0, -15.0, 0.25)
    assert on["mean_sigma"] == pytest.approx(0.0)
    assert (on["capped_bps"], on["end_bar"], off["end_bar"]) == (4.5, 5.0, 4.0)
    assert {tuple(r[name] for name in tables.BOUNDS) for r in (off, on)} == {(18.0, 14.0, 90.0)}
    assert math.isnan(off["capacity"])
    assert math.isnan(on["arrival_bps"])
    # 4.5 bps under the cap less 1.5 bps of fee and spread leave 3 for impact; at 0.2 bar volumes impact takes 3
    assert on["capacity"] == pytest.approx(0.2)


def test_a_difference_after_costs_is_that_of_the_net_gains_of_the_same_orders() -> None:
    orders = week()
    model = orders["strategy"] == "lem"
    orders.loc[model, "net_gain_bps"] -= np.arange(model.sum()) % 3
    gap = tables.select(full(orders), "all", "on", "optimal_stopping").to_dict("records")[0]
    net = orders.groupby("strategy")["net_gain_bps"].mean()
    assert gap["mean_bps"] == pytest.approx(net["lem"] - net["optimal_stopping"])
    assert gap["low_bps"] < gap["mean_bps"] < gap["high_bps"]
    assert all(math.isnan(gap[name]) for name in ("capacity", *tables.BOUNDS))


def test_capacity_of_a_group_uses_only_its_own_orders() -> None:
    orders = week()
    orders.loc[orders["min_bars"] == 12, "capped_gain_bps"] = 1.0
    table = tables.select(full(orders), "m", "on").set_index(["strategy", "min_bars"])["capacity"]
    assert table["lem", 12] == 0.0
    assert table["lem", 3] > 0.2


def test_pooled_means_are_the_means_of_their_parts_weighted_by_orders() -> None:
    table = full(week())
    for strategy in ("twap", "optimal_stopping", "lem"):
        levels = [tables.select(table, level) for level in tables.LEVELS]
        parts = [level[level["strategy"] == strategy] for level in levels]
        means = [np.average(part["mean_bps"], weights=part["orders"]) for part in parts]
        assert means == pytest.approx([means[0]] * 3)
        assert {part["orders"].sum() for part in parts} == {72}


def test_strategies_come_model_first() -> None:
    others = [week().query("strategy == 'twap'").assign(strategy=name) for name in ("another", *rule_names()[1:4])]
    table = full(pd.concat([*others, week()]))
    rules = ["optimal_stopping", "twap", "twap_to_m", "volume_curve", "bang_bang", "another"]
    for costs in ("off", "on"):
        assert tables.select(table, "all", costs)["strategy"].tolist() == ["lem", *rules]
        assert tables.select(table, "all", costs, None)["against"].tolist() == rules


def test_paired_difference_is_the_difference_of_means_over_common_orders_only() -> None:
    orders = week()
    first_model = (orders["strategy"] == "lem") & (orders["arrival"] == orders["arrival"].min())
    orders = orders[~first_model]
    gap = tables.select(full(orders), "all", against="optimal_stopping").to_dict("records")[0]
    common = orders[orders["arrival"] > orders["arrival"].min()].groupby("strategy")["gain_bps"].mean()
    assert gap["orders"] == 72 - first_model.sum()
    assert gap["mean_bps"] == pytest.approx(common["lem"] - common["optimal_stopping"])
    assert math.isnan(gap["bound_bps"])


def test_order_of_the_rows_changes_nothing() -> None:
    orders = week()
    pd.testing.assert_frame_equal(full(orders), full(orders.sample(frac=1, random_state=1)), check_exact=True)


def test_categories_of_parquet_give_the_same_table_as_strings() -> None:
    orders = week()
    names = ["asset", "side", "benchmark", "target", "strategy", "status"]
    pd.testing.assert_frame_equal(full(orders), full(orders.astype(dict.fromkeys(names, "category"))))


def test_texts_of_prepared_orders_are_categories_of_a_byte_or_two_a_row() -> None:
    prepared = prepare_orders(week())
    assert all(isinstance(prepared[name].dtype, pd.CategoricalDtype) for name in TEXTS)
    assert prepared[list(TEXTS)].memory_usage(index=False, deep=False).max() < 4 * len(prepared)


@pytest.mark.parametrize("rows", [1, 100, 200])
def test_the_statistics_are_the_same_however_many_rows_are_summarised_at_a_time(monkeypatch, rows) -> None:
    orders = add_worth(add_groups(prepare_orders(week()), {}), 1.0)
    given, seen = tables.summarise, list[int]()

    def watched(gains: pd.DataFrame, *rest: Any, **options: Any) -> pd.DataFrame:
        seen.append(len(gains))
        return given(gains, *rest, **options)

    whole = tables.full_table(orders, COSTS, resamples=200, seed=0)
    monkeypatch.setattr(tables, "summarise", watched)
    monkeypatch.setattr(tables, "TOGETHER", rows)
    pd.testing.assert_frame_equal(tables.full_table(orders, COSTS, resamples=200, seed=0), whole, atol=1e-12)
    series = len(orders) // 3
    assert max(seen) == max(series, rows // series * series), "as many whole series as the rows allow, and at least one"


def test_what_rounding_leaves_is_no_gain() -> None:
    generator = np.random.default_rng(1)
    noise = pd.DataFrame(
        [row("twap", 1e-12 * abs(generator.normal()), day, hour) for day in range(1, 7) for hour in (0, 1)]
    )
    table = full(noise)
    (one,) = tables.select(table, "all").to_dict("records")
    assert (one["mean_bps"], one["low_bps"], one["high_bps"], one["hit_rate"]) == (0.0, 0.0, 0.0, 0.0)
    small = full(noise.assign(gain_bps=2 * tables.NOISE_BPS)).query("level == 'all' and costs == 'off'")
    assert small["hit_rate"].tolist() == [1.0]


def test_the_same_fills_are_not_better_than_themselves() -> None:
    orders = week(edge=0.0)
    stop = orders["strategy"] == "optimal_stopping"
    own = orders["strategy"] == "lem"
    for name in tables.GAINS:
        orders.loc[own, name] = orders.loc[stop, name].to_numpy() + 1e-12
    gap = head_of(orders, GATE).comparisons[0]
    assert (gap.interval.mean, gap.verdict, gap.net_verdict) == (0.0, *["not distinguishable"] * 2)
    pair = tables.select(full(orders), "all", against="optimal_stopping").to_dict("records")[0]
    assert pair["hit_rate"] == 0.0


@pytest.mark.parametrize(
    ("low", "high", "p_value", "said"),
    [
        (0.1, 2.0, 0.01, "better"),
        (-2.0, -0.1, 0.01, "worse"),
        (-1.0, 1.0, 0.01, "not distinguishable"),
        (0.1, 2.0, 0.06, "not distinguishable"),
        (-2.0, -0.1, 0.06, "not distinguishable"),
        (math.nan, math.nan, math.nan, "too few days to say"),
    ],
)
def test_verdict_needs_an_interval_clear_of_zero_and_no_chance_among_all_comparisons(
    low: float, high: float, p_value: float, said: str
) -> None:
    assert verdict(Interval(0.5, low, high, 10, 10), p_value) == said


def head_of(orders: pd.DataFrame, gate: list[dict[str, Any]], due: str = "2024-01-06") -> Headline:
    prepared = prepare_orders(orders)
    table = tables.full_table(prepared, COSTS, resamples=200, seed=0)
    return headline(prepared, table, gate, "2024-01-06", due)


def test_headline_of_a_good_night() -> None:
    head = head_of(week(), GATE)
    assert (head.status, head.problems, head.last_day) == ("complete", (), "2024-01-06")
    assert (head.champion_id, head.decision, head.reasons) == ("c1", "kept", ("the tail is worse",))
    assert (head.orders, head.blocks) == (72, 6)
    assert [(c.against, c.verdict) for c in head.comparisons] == [
        ("optimal_stopping", "better"),
        ("twap", "better"),
    ]
    assert head.gain is not None
    assert head.net_gain is not None
    assert head.net_gain.mean == pytest.approx(head.gain.mean - 5.0)
    assert head.capacity is not None
    assert head.capacity > 0
    assert head_of(week(edge=-2.0), GATE).comparisons[0].verdict == "worse"
    assert head_of(week(edge=0.0), GATE).comparisons[0].verdict == "not distinguishable"


def test_headline_names_what_is_missing() -> None:
    orders = week()
    day = {"day": 6, "asset": "ETH-USDT"}
    busy = orders[(orders["asset"] != "ETH-USDT") | (orders["arrival"].dt.day < 6)]
    idle = head_of(pd.concat([busy, pd.DataFrame([excluded(name, **day) for name in ("lem", "twap")])]), GATE)
    assert idle.problems == ("No order in ETH-USDT was executed on 2024-01-06.",)
    late = head_of(orders[orders["arrival"].dt.day < 5], [])
    assert late.status == "incomplete"
    assert "promotion gate" in late.problems[0]
    assert "2024-01-04" in late.problems[1]
    silent = head_of(orders[(orders["strategy"] != "lem") | (orders["arrival"].dt.day < 6)], GATE)
    assert silent.problems == ("The model executed no order on 2024-01-06.",)


def test_an_asset_without_rows_on_the_last_day_is_delisted_and_no_problem() -> None:
    orders = week()
    head = head_of(orders[(orders["asset"] != "ETH-USDT") | (orders["arrival"].dt.day < 6)], GATE)
    assert (head.status, head.problems, head.last_day) == ("complete", (), "2024-01-06")


def test_headline_without_a_model_and_without_orders() -> None:
    rules = head_of(week().query("strategy != 'lem'"), GATE)
    assert (rules.status, rules.comparisons) == ("no model", ())
    nothing = head_of(pd.DataFrame([excluded("twap")]), GATE)
    assert (nothing.status, nothing.orders, nothing.blocks) == ("no orders", 0, 0)
    assert (rules.gain, rules.net_gain, rules.capacity) == (nothing.gain, nothing.net_gain, nothing.capacity)
    assert rules.net_gain is None


def test_headline_compares_after_costs_too() -> None:
    orders = week()
    orders.loc[orders["strategy"] == "lem", "net_gain_bps"] -= 4.0
    found = head_of(orders, GATE).comparisons[0]
    assert (found.verdict, found.net_verdict) == ("better", "worse")
    assert found.net_interval.mean == pytest.approx(found.interval.mean - 4.0)


def test_an_empty_table_gives_empty_tables() -> None:
    prepared = prepare_orders(week().iloc[:0])
    assert tables.full_table(prepared, COSTS, resamples=200, seed=0).empty


def test_broken_tables_are_refused_by_name() -> None:
    orders = week()
    with pytest.raises(EvaluationError, match=r"missing column\(s\) gain_bps, end_bar"):
        prepare_orders(orders.drop(columns=["gain_bps", "end_bar"]))
    with pytest.raises(EvaluationError, match=r"72 executed order\(s\) without finite .* net_gain_bps"):
        prepare_orders(orders.assign(net_gain_bps=orders["net_gain_bps"].where(orders["strategy"] != "lem")))
    with pytest.raises(EvaluationError, match="twice, the first lem BTC-USDT 2024-01-01"):
        prepare_orders(pd.concat([orders, orders[orders["strategy"] == "lem"].head(1)]))
    with pytest.raises(EvaluationError, match=r"status \['lost'\]"):
        prepare_orders(orders.assign(status="lost"))
    with pytest.raises(EvaluationError, match="72 executed order"):
        prepare_orders(orders.assign(gain_bps=orders["gain_bps"].where(orders["strategy"] != "lem")))
