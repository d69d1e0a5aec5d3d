from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lem.backtest.bounds import bound
from lem.backtest.config import BacktestConfig
from lem.backtest.orders_table import BACKTEST_SCHEMA, EXCLUDED, execute
from lem.lake import Lake
from lem.panel import Panel, panel_table
from tests.lem.builders import brownian_bars, features_of, lively_model, without_values

HORIZON, CONFIG = 6, BacktestConfig(min_bars=(1, 4, 6))
NUMBERS = [field.name for field in BACKTEST_SCHEMA if field.type == "double"]
GAP, DAY = 110, np.arange(96, 120)


@pytest.fixture(scope="module")
def panel():
    bars = without_values(brownian_bars(6), [GAP], "outage")
    return Panel.from_table(panel_table({"AAA": features_of(bars), "BBB": features_of(brownian_bars(6, 1))}))


@pytest.fixture(scope="module")
def table(panel):
    asset_A, bar_A = np.repeat([0, 1], len(DAY)), np.tile(DAY, 2)
    models = {"lem": ("model-one", lively_model())}
    return execute(panel, asset_A, bar_A, HORIZON, CONFIG, models)


def test_every_arrival_is_there_once_for_every_m_scenario_and_strategy(panel, table):
    keys = ["asset", "arrival", "side", "benchmark", "target", "min_bars", "strategy"]
    assert len(table) == 2 * len(DAY) * 3 * 8 * 3
    assert not table.duplicated(keys).any()
    assert [table[key].nunique() for key in keys] == [2, len(DAY), 2, 2, 2, 3, 3]
    assert list(table["arrival"].drop_duplicates()) == list(pd.DatetimeIndex(panel.ts_T[DAY], tz="UTC"))
    ids = table.groupby("strategy")["model_id"].unique().map(list).to_dict()
    assert ids == {"twap": [""], "optimal_stopping": [""], "lem": ["model-one"]}


def test_an_order_over_a_gap_is_excluded_with_a_reason_and_without_numbers(panel, table):
    excluded = table["status"] == "excluded"
    accepted = panel.accepted(HORIZON)
    rows = table["asset"].map({"AAA": 0, "BBB": 1}).to_numpy()
    bars = np.searchsorted(panel.ts_T, table["arrival"].dt.tz_localize(None).to_numpy())
    assert (excluded.to_numpy() == ~accepted[rows, bars]).all()
    assert 0 < excluded.sum() < len(table) / 2
    assert (table.loc[excluded, "reason"] == EXCLUDED).all()
    assert table.loc[excluded, NUMBERS].isna().all().all()
    assert (table.loc[excluded, "end_bar"] == 0).all()
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


def test_a_model_changes_no_row_of_the_rules(panel, table):
    asset_A, bar_A = np.repeat([0, 1], len(DAY)), np.tile(DAY, 2)
    rules = execute(panel, asset_A, bar_A, HORIZON, CONFIG, {})
    pd.testing.assert_frame_equal(rules, table[table["strategy"] != "lem"].reset_index(drop=True))


def test_the_table_keeps_its_schema_through_the_lake(tmp_path, table):
    lake = Lake(str(tmp_path))
    path = "small/backtest/asset=AAA/date=2024-01-05.parquet"
    first = lake.write_table(path, table, BACKTEST_SCHEMA)
    read, version = lake.read_versioned(path)
    pd.testing.assert_frame_equal(read, table, check_dtype=False)
    assert lake.write_table(path, read, BACKTEST_SCHEMA).data_version == version == first.data_version
