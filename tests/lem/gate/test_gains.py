from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from lem.backtest.orders_table import execute
from lem.gate import gains
from lem.gate.gains import gate_orders, worth
from lem.model.contender import Contender
from lem.strategies.rules import rule_names
from tests.lem.builders import START, TINY, brownian_panel, timing_model

GATE_START = START + dt.timedelta(days=4)
CONTENDERS = {
    "candidate": Contender("one", timing_model(-1.0), GATE_START),
    "champion": Contender("two", timing_model(+1.0), GATE_START),
}


@pytest.fixture(scope="module")
def universe(make_universe):
    return make_universe(horizon=6, backtest={"min_bars": [1, 3, 6]}, model=TINY.model_dump())


@pytest.fixture(scope="module")
def panel():
    """Three assets: one has a gap in the window, and one is not traded in it at all."""
    panel = brownian_panel(8, assets=3, seed=5)
    volume_NT = panel.volume_NT.copy()
    volume_NT[0, 130:133] = 0.0
    volume_NT[1, 90:] = 0.0
    return replace(panel, volume_NT=volume_NT)


def test_the_gains_are_those_of_the_backtest_of_the_same_orders(panel, universe):
    orders = gate_orders(panel, universe, GATE_START, CONTENDERS)
    asset_A, bar_A = np.nonzero(panel.accepted(6) & (panel.date_T >= np.datetime64(GATE_START)))
    models = {name: (one.model_id, one.model) for name, one in CONTENDERS.items()}
    table = execute(panel, asset_A, bar_A, 6, universe.backtest, universe.costs, models)
    assert set(asset_A) == {0, 2}, "the asset without trades has no orders, and the others have"
    assert list(orders.gross.columns) == [*rule_names(), "candidate", "champion"]
    for name in orders.gross.columns:
        own = table[table["strategy"] == name]
        assert (own["arrival"].to_numpy() == orders.arrival.to_numpy()).all()
        assert np.allclose(orders.gross[name], own["gain_bps"], atol=1e-6)
        assert np.allclose(orders.net[name], own["net_gain_bps"], atol=1e-6)
        value = worth(own["net_gain_bps"], own["sigma_bps"], universe.backtest.risk_aversion)
        assert np.allclose(orders.worth[name], value, atol=1e-6)


def test_no_more_than_one_asset_is_executed_at_a_time(panel, universe, monkeypatch):
    seen = []
    given = gains.executions

    def watched(own, asset_A, *rest):
        seen.append((own.assets, sorted(set(asset_A.tolist()))))
        return given(own, asset_A, *rest)

    monkeypatch.setattr(gains, "executions", watched)
    gate_orders(panel, universe, GATE_START, CONTENDERS)
    assert seen == [((panel.assets[0],), [0]), ((panel.assets[2],), [0])]
