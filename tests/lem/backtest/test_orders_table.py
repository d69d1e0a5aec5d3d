from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from lem.backtest.orders_table import EXCLUDED, execute, net_bound
from lem.backtest.schema import BACKTEST_SCHEMA
from lem.data.panel import Panel, panel_table
from lem.errors import OrderError
from lem.execution.costs_config import CostsConfig
from lem.lake import Lake
from lem.strategies.bounds import bound
from lem.strategies.rules import rule_names
from lem.theory.programme import solve
from lem.universe.backtest_config import BacktestConfig
from tests.lem.builders import brownian_bars, features_of, lively_model, without_values

HORIZON, CONFIG = 6, BacktestConfig(min_bars=(1, 4, 6))
COSTS = CostsConfig(fee_bps=1.0, half_spread_bps=0.5, impact=1.0, order_size=0.2, participation_cap=0.06)
CURVE_W = torch.linspace(0.5, 1.5, 24)
NUMBERS = [field.name for field in BACKTEST_SCHEMA if field.type == "double"]
GAP, DAY = 110, np.arange(96, 120)


@pytest.fixture(scope="module")
def panel():
    bars = without_values(brownian_bars(6), [GAP], "outage")
    return Panel.from_table(panel_table({"AAA": features_of(bars), "BBB": features_of(brownian_bars(6, 1))}))


@pytest.fixture(scope="module")
def table(panel):
    asset_A, bar_A = np.repeat([0, 1], len(DAY)), np.tile(DAY, 2)
    return execute(panel, asset_A, bar_A, HORIZON, CONFIG, COSTS, {"lem": ("model-one", with_curve(CURVE_W))})


def with_curve(curve_W, seed=0):
    model = lively_model(seed=seed)
    model.volume_curve_W = curve_W
    return model


def test_every_arrival_is_there_once_for_every_m_scenario_and_strategy(panel, table):
    keys = ["asset", "arrival", "side", "benchmark", "target", "min_bars", "strategy"]
    assert len(table) == 2 * len(DAY) * 3 * 8 * (len(rule_names()) + 1)
    assert not table.duplicated(keys).any()
    assert [table[key].nunique() for key in keys] == [2, len(DAY), 2, 2, 2, 3, len(rule_names()) + 1]
    assert list(table["arrival"].drop_duplicates()) == list(pd.DatetimeIndex(panel.ts_T[DAY], tz="UTC"))
    ids = table.groupby("strategy")["model_id"].unique().map(list).to_dict()
    assert ids == {name: [""] for name in rule_names()} | {"lem": ["model-one"]}
    assert tuple(table["strategy"].drop_duplicates()) == (*rule_names(), "lem")


def test_an_order_over_a_gap_is_excluded_with_a_reason_and_without_numbers(panel, table):
    excluded = table["status"] == "excluded"
    accepted = panel.accepted(HORIZON)
    rows = table["asset"].map({"AAA": 0, "BBB": 1}).to_numpy()
    bars = np.searchsorted(panel.ts_T, table["arrival"].dt.tz_localize(None).to_numpy())
    assert (excluded.to_numpy() == ~accepted[rows, bars]).all()
    assert 0 < excluded.sum() < len(table) / 2
    assert (table.loc[excluded, "reason"] == EXCLUDED).all()
    assert table.loc[excluded, NUMBERS].isna().all().all()
    assert (table.loc[excluded, ["end_bar", "net_end_bar"]] == 0).all().all()
    done = table[~excluded]
    assert (done["reason"] == "").all()
    assert done[NUMBERS].notna().all().all()
    assert done["end_bar"].between(done["min_bars"], HORIZON).all()


def test_figures_of_a_row_are_consistent(panel, table):
    done = table[table["status"] == "done"]
    sign = done["side"].map({"buy": 1, "sell": -1})
    gain = sign * (done["benchmark_price"] - done["achieved"]) / done["benchmark_price"] * 1e4
    np.testing.assert_allclose(done["gain_bps"], gain, atol=1e-8)
    np.testing.assert_allclose(done["gain_sigma"], done["gain_bps"] / done["sigma_bps"], rtol=1e-12, atol=1e-12)
    bounds = done["min_bars"].map({m: bound(m, HORIZON) for m in CONFIG.min_bars})
    np.testing.assert_allclose(done["bound_bps"], bounds * done["sigma_bps"], rtol=1e-12, atol=1e-9)


def test_the_bound_after_costs_is_the_programmes_value_under_impact_and_cap_less_fee_and_spread(table):
    done = table[table["status"] == "done"]
    impact = COSTS.impact * np.sqrt(COSTS.order_size)
    value = done["min_bars"].map({m: solve(m, HORIZON, impact, 0.06 / 0.2).value for m in CONFIG.min_bars})
    np.testing.assert_allclose(done["net_bound_bps"], value * done["sigma_bps"] - 1.5, rtol=1e-12)
    assert (done["net_bound_bps"] < done["bound_bps"] - 1.5).all()


def test_without_costs_the_bound_after_costs_is_that_before_them():
    free = CostsConfig(fee_bps=0, half_spread_bps=0, impact=0, participation_cap=1.0)
    for m in CONFIG.min_bars:
        assert net_bound(m, HORIZON, free) == pytest.approx(bound(m, HORIZON), abs=5e-4)


def test_the_gain_over_the_arrival_price_is_good_when_a_buy_is_cheap_and_a_sell_is_dear(panel, table):
    done = table[table["status"] == "done"]
    rows = done["asset"].map({"AAA": 0, "BBB": 1}).to_numpy()
    bars = np.searchsorted(panel.ts_T, done["arrival"].dt.tz_localize(None).to_numpy())
    arrival = panel.close_NT[rows, bars - 1]
    cheap = done["achieved"] < arrival
    good = done["gain_arrival_bps"] > 0
    assert (good == np.where(done["side"] == "buy", cheap, ~cheap)).all()
    expected = np.where(done["side"] == "buy", 1, -1) * (arrival - done["achieved"]) / arrival * 1e4
    np.testing.assert_allclose(done["gain_arrival_bps"], expected, atol=1e-8)


def test_twap_of_a_quantity_is_its_own_benchmark(panel, table):
    same = (table["strategy"] == "twap") & (table["benchmark"] == "twap") & (table["target"] == "quantity")
    assert table.loc[same, "gain_bps"].abs().max() < 1e-8
    price = table[same & (table["asset"] == "BBB")].iloc[0]
    assert price["achieved"] == pytest.approx(panel.vwap_NT[1, DAY[0] : DAY[0] + HORIZON].mean())


def test_a_model_changes_no_row_of_the_rules_but_those_of_its_volume_curve(panel, table):
    asset_A, bar_A = np.repeat([0, 1], len(DAY)), np.tile(DAY, 2)
    without = execute(panel, asset_A, bar_A, HORIZON, CONFIG, COSTS, {})
    curve = without["strategy"] == "volume_curve"
    same = table[table["strategy"].isin(rule_names())].reset_index(drop=True)
    pd.testing.assert_frame_equal(without[~curve], same[~curve])
    assert not without.loc[curve, "gain_bps"].equals(same.loc[curve, "gain_bps"])
    flat = without[curve].reset_index(drop=True)
    twap = without[without["strategy"] == "twap"].reset_index(drop=True)
    np.testing.assert_allclose(flat["gain_bps"], twap["gain_bps"], atol=1e-8)


def test_the_volume_curve_of_two_models_is_the_champions(panel):
    asset_A, bar_A = np.ones(24, dtype=int), DAY
    new, old = with_curve(CURVE_W), with_curve(CURVE_W.flip(0), seed=1)

    def curve_gains(**models):
        named = {name: (name, model) for name, model in models.items()}
        table = execute(panel, asset_A, bar_A, HORIZON, CONFIG, COSTS, named)
        return table.loc[table["strategy"] == "volume_curve", "gain_bps"].to_numpy()

    both = curve_gains(candidate=new, champion=old)
    np.testing.assert_array_equal(both, curve_gains(champion=old))
    assert not np.array_equal(both, curve_gains(candidate=new))


def test_the_oracle_bounds_every_strategy_and_is_the_same_for_all(table):
    done = table[table["status"] == "done"]
    assert (done["gain_bps"] <= done["oracle_bps"] + 1e-6).all()
    assert (done["oracle_bps"] > 0).any()
    order = ["asset", "arrival", "side", "benchmark", "target", "min_bars"]
    assert (done.groupby(order)["oracle_bps"].nunique() == 1).all()


def test_costs_and_cap_are_in_columns_of_their_own(panel, table):
    done = table[table["status"] == "done"]
    assert (done["net_gain_bps"] < done["capped_gain_bps"] - 1.0).all(), "fees, spread and impact are paid"
    assert (done["net_end_bar"] >= 4).all(), "0.2 of a bar's volume at 0.06 a bar takes four bars"
    assert (done["end_bar"] < 4).any()
    uncapped = done["strategy"] == "twap"
    np.testing.assert_array_equal(done.loc[uncapped, "capped_gain_bps"], done.loc[uncapped, "gain_bps"])
    asset_A, bar_A = np.repeat([0, 1], len(DAY)), np.tile(DAY, 2)
    free = CostsConfig(fee_bps=0, half_spread_bps=0, impact=0, order_size=1, participation_cap=1)
    other = execute(panel, asset_A, bar_A, HORIZON, CONFIG, free, {"lem": ("model-one", with_curve(CURVE_W))})
    charged = ["capped_gain_bps", "net_gain_bps", "net_bound_bps", "net_end_bar"]
    pd.testing.assert_frame_equal(other.drop(columns=charged), table.drop(columns=charged))
    for name in ("capped_gain_bps", "net_gain_bps"):
        pd.testing.assert_series_equal(other[name], other["gain_bps"], check_names=False)


def test_orders_too_large_for_their_cap_are_refused(panel):
    large = COSTS.model_copy(update={"order_size": 0.4})
    with pytest.raises(OrderError, match=r"cannot trade in 6 bars; allowed: an order_size of at most 0\.36"):
        execute(panel, np.zeros(24, dtype=int), DAY, HORIZON, CONFIG, large, {})


def test_the_table_keeps_its_schema_through_the_lake(tmp_path, table):
    lake = Lake(str(tmp_path))
    path = "small/backtest/asset=AAA/date=2024-01-05.parquet"
    first = lake.write_table(path, table, BACKTEST_SCHEMA)
    read, version = lake.read_versioned(path)
    pd.testing.assert_frame_equal(read, table, check_dtype=False)
    assert lake.write_table(path, read, BACKTEST_SCHEMA).data_version == version == first.data_version


def test_gains_against_all_bars_use_the_whole_horizon_whenever_the_order_ends(panel, table):
    done = table[(table["status"] == "done") & (table["strategy"] == "lem")]
    rows = done["asset"].map({"AAA": 0, "BBB": 1}).to_numpy()[:, None]
    first = np.searchsorted(panel.ts_T, done["arrival"].dt.tz_localize(None).to_numpy())[:, None]
    price, volume = (values[rows, first + np.arange(HORIZON)] for values in (panel.vwap_NT, panel.volume_NT))
    sign = np.where(done["side"] == "buy", 1.0, -1.0)
    for name, weight in (("gain_full_vwap_bps", volume), ("gain_full_twap_bps", np.ones_like(volume))):
        full = (price * weight).sum(1) / weight.sum(1)
        np.testing.assert_allclose(done[name], sign * (full - done["achieved"]) / full * 1e4, atol=1e-6)
    early = (done["end_bar"] < HORIZON).to_numpy()
    assert (done["gain_full_twap_bps"] - done["gain_bps"])[early].abs().max() > 1.0


def test_a_models_slices_sum_to_one_by_its_end_and_rules_have_none(table):
    done = table[(table["status"] == "done") & (table["strategy"] == "lem")]
    slices = np.stack(done["slices"].to_list()).astype(float)
    assert slices.shape == (len(done), HORIZON)
    np.testing.assert_allclose(slices.sum(axis=1), 1.0, atol=1e-5)
    after = np.arange(HORIZON) >= done["end_bar"].to_numpy()[:, None]
    assert (slices[after] == 0.0).all()
    others = table[(table["strategy"] != "lem") | (table["status"] == "excluded")]
    assert others["slices"].isna().all()
