from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from lem.backtest import random_walk
from lem.backtest.leaks import EARLY, LATE, LEAK_SCHEMA, SHIPPED, leak_panel, leaks_found, shifted_market
from lem.backtest.market import context_of, market_of
from lem.gate.sanity import random_walk_control
from tests.lem.builders import brownian_panel, lively_model, timing_model

FIRST = np.datetime64(dt.date(2024, 1, 5))


@pytest.fixture(scope="module")
def universe(make_universe):
    keys = {"volatility": 48, "short_volatility": 6, "volume": 24, "seasons": 2}
    return make_universe(horizon=6, backtest={"min_bars": [3, 6]}, features=keys)


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(random_walk, "WALKS", 12)
        patch.setattr(random_walk, "ARRIVALS", 800)
        yield


@pytest.fixture(scope="module")
def panel():
    return brownian_panel(40, assets=2, seed=9)


@pytest.fixture(scope="module")
def table(universe, panel):
    return leak_panel(panel, FIRST, universe, timing_model(-1.0))


def test_a_model_that_times_by_what_it_may_see_stays_within_the_bound_and_at_zero(table):
    plain = table[table["market"] == "driftless"].set_index("min_bars")
    assert list(table.columns) == LEAK_SCHEMA.names
    assert plain["verdict"].to_dict() == {3: "within the bound", 6: "zero"}
    assert plain["bound"][3] / 2 < plain["mean"][3] <= plain["high"][3]
    assert plain["bound"][6] == 0.0
    assert leaks_found(table) == []


def foreseeing(panel, asset_A, bar_A, horizon, model=None):
    """A market whose last closes point at the bars in which a buy and a sell gain most by ending."""
    market = market_of(panel, asset_A, bar_A, horizon, model)
    if model is None:
        return market
    price_AK, rows_A = market.price_AK, torch.arange(len(bar_A))
    mean_AK = price_AK.cumsum(1) / torch.arange(1, horizon + 1)
    before_AK = torch.cat([torch.ones_like(price_AK[:, :1]), mean_AK[:, :-1]], dim=1)
    k_K, last_AK = torch.arange(horizon), before_AK.clone()
    # What a sell gains over TWAP when it ends in bar k after an even pace; it may not before its third bar.
    worth_AK = (price_AK - before_AK) * (k_K / (k_K + 1) - k_K / horizon) * (k_K >= 2)
    last_AK[rows_A, worth_AK.argmin(1)] *= 0.98
    last_AK[rows_A, worth_AK.argmax(1)] *= 1.02
    return replace(market, last_close_AK=last_AK)


def test_a_model_that_knows_later_prices_is_found_on_the_driftless_market(universe, panel, monkeypatch):
    monkeypatch.setattr(random_walk, "market_of", foreseeing)
    (found,) = leaks_found(leak_panel(panel, FIRST, universe, timing_model(-1.0)))
    assert found.startswith("On a driftless market the model gained 0.")
    assert "with m = 3" in found


@pytest.mark.parametrize("market", [market_of, None], ids=["honest", "foreseeing"])
def test_the_gate_and_the_leak_panel_say_the_same_of_a_random_walk(universe, panel, monkeypatch, market):
    monkeypatch.setattr(random_walk, "market_of", market or foreseeing)
    model = timing_model(-1.0)
    check = random_walk_control(panel.ts_T, panel.date_T >= FIRST, model, universe)
    shown = leak_panel(panel, FIRST, universe, model)
    shown = shown[shown["market"] == "driftless"]
    assert check.passed == (market is not None) == (not leaks_found(shown))
    for row in shown.to_dict("records"):
        m = row["min_bars"]
        assert row["mean"] == check.figures[f"gain_sigma_m{m}"]
        assert row["bound"] == check.figures[f"bound_sigma_m{m}"]
        tolerated = random_walk.ERRORS * check.figures[f"standard_error_m{m}"] + random_walk.NOTHING_SIGMA
        assert (row["high"] - row["low"]) / 2 == pytest.approx(tolerated, rel=1e-12)
        assert row["blocks"] == check.figures["assets"] == 12
        assert (row["low"] > row["bound"]) == (row["verdict"] == "above the bound")


def test_the_last_bar_hidden_costs_and_differences_are_paired(table):
    real = table[(table["market"] == "real") & (table["min_bars"] == 3)]
    mean = real[real["against"] == ""].set_index("sees")["mean"]
    assert mean[LATE] < mean[SHIPPED]
    gap = real[real["against"] == SHIPPED].set_index("sees")["mean"]
    assert gap[EARLY] == pytest.approx(mean[EARLY] - mean[SHIPPED])
    assert gap[LATE] == pytest.approx(mean[LATE] - mean[SHIPPED])


def test_the_same_model_gives_the_same_panel(universe, panel, table):
    pd.testing.assert_frame_equal(leak_panel(panel, FIRST, universe, timing_model(-1.0)), table, check_exact=True)


def test_what_is_seen_moves_by_whole_bars_and_the_fills_stay(panel):
    model, asset_A, bar_A = lively_model(), np.array([0, 1]), np.array([200, 300])
    context = context_of(panel, model)
    plain = market_of(panel, asset_A, bar_A, 6, model)
    same, early = (shifted_market(plain, panel, context, asset_A, bar_A, bars) for bars in (0, 1))
    assert torch.equal(same.context_AKH, plain.context_AKH)
    torch.testing.assert_close(same.last_close_AK, plain.last_close_AK)
    assert torch.equal(early.context_AKH[:, :-1], plain.context_AKH[:, 1:])
    assert torch.equal(early.last_close_AK, plain.price_AK), "early shows the very price of the bar"
    assert torch.equal(early.price_AK, plain.price_AK)


def test_a_gap_in_the_real_bars_leaves_the_driftless_market(universe, panel):
    gap = replace(panel, valid_NT=np.zeros_like(panel.valid_NT))
    table = leak_panel(gap, FIRST, universe, timing_model(-1.0))
    assert set(table["market"]) == {"driftless"}


def test_no_date_to_arrive_on_leaves_nothing(universe, panel):
    table = leak_panel(panel, np.datetime64("2030-01-01"), universe, timing_model(-1.0))
    assert table.empty
    assert list(table.columns) == LEAK_SCHEMA.names
