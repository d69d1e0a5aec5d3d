from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lem.backtest.market import market_of
from lem.backtest.simulator import simulate
from lem.data.features import season_slots
from lem.data.panel import Panel, panel_table
from lem.errors import OrderError
from lem.execution.terms import terms_for
from lem.strategies.twap import Twap
from lem.strategies.volume_curve import VolumeCurve, fit_volume_curve
from tests.lem.builders import (
    FEATURE_CONFIG,
    PROPERTY,
    brownian_bars,
    brownian_panel,
    features_of,
    random_market,
    terms_of,
)


@PROPERTY
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_slices_are_in_proportion_to_the_curve_over_the_orders_bars(seed, n):
    rng = np.random.default_rng(seed)
    market, curve_W = random_market(rng, 6, 30), torch.from_numpy(np.exp(rng.normal(0, 1, 24)))
    m = int(rng.integers(1, n + 1))
    done = simulate(VolumeCurve(curve_W), market, terms_of(m, n))
    weight_KA = curve_W[market.slot_AK].T[:n]
    expected = (weight_KA / weight_KA.sum(0))[:, :, None, None].expand(n, 6, 1, 8)
    torch.testing.assert_close(done.slices_KO[:n], expected, rtol=1e-9, atol=1e-12)
    assert (done.end_bar_O == n).all(), "it never ends early"


def test_a_flat_curve_is_a_twap_and_needs_no_clock():
    market, terms = random_market(np.random.default_rng(0), 5, 12), terms_of(torch.tensor([[[3.0], [7.0]]]), 12)
    twap = simulate(Twap(), market, terms).slices_KO
    for curve in (VolumeCurve(), VolumeCurve(torch.ones(1)), VolumeCurve(torch.ones(24))):
        torch.testing.assert_close(simulate(curve, market, terms).slices_KO, twap)
    assert simulate(VolumeCurve(), replace(market, slot_AK=None), terms).end_bar_O.eq(12).all()


def test_orders_of_one_batch_may_have_other_lengths():
    market, curve = random_market(np.random.default_rng(0), 6, 12), VolumeCurve(torch.arange(1.0, 25.0))
    n = torch.tensor([12.0, 5.0, 1.0] * 2).reshape(6, 1, 1)
    together = simulate(curve, market, terms_of(1, n)).slices_KO
    for a in range(6):
        alone = simulate(curve, market, terms_of(1, n[a])).slices_KO
        torch.testing.assert_close(together[:, a], alone[:, a])


def test_a_curve_that_does_not_fit_the_market_or_is_not_positive_is_refused():
    market = random_market(np.random.default_rng(0), 2, 6)
    with pytest.raises(OrderError, match="the market has no clock; build it from a panel"):
        simulate(VolumeCurve(torch.ones(24)), replace(market, slot_AK=None), terms_of(1, 6))
    with pytest.raises(OrderError, match="slot 6 of the clock on a curve of 6 slots; allowed: a model trained on bars"):
        simulate(VolumeCurve(torch.ones(6)), market, terms_of(1, 6))
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(OrderError, match="allowed: finite and above 0"):
            VolumeCurve(torch.tensor([1.0, wrong]))


def test_the_fitted_curve_is_the_mean_volume_of_each_hour_and_has_mean_one():
    """The builders' volume is in proportion to 2 + sin(2 pi hour / 24), times noise."""
    curve_W = fit_volume_curve(brownian_panel(60, assets=4, seed=5))
    expected = 2 + np.sin(2 * np.pi * np.arange(24) / 24)
    assert curve_W.dtype == np.float64
    assert curve_W.mean() == pytest.approx(1.0)
    np.testing.assert_allclose(curve_W, expected / expected.mean(), rtol=0.15)


def test_only_valid_bars_enter_the_curve():
    panel = brownian_panel(8, seed=1)
    spoilt = replace(panel, volume_NT=panel.volume_NT.copy(), valid_NT=panel.valid_NT.copy())
    bad = np.arange(60, 80)
    spoilt.valid_NT[:, bad] = False
    clean = fit_volume_curve(spoilt)
    spoilt.volume_NT[:, bad] *= 50.0
    np.testing.assert_array_equal(fit_volume_curve(spoilt), clean)


def test_slots_without_data_get_the_mean_of_the_others():
    panel = brownian_panel(8, seed=1)
    hours = season_slots(panel.ts_T, 24)
    morning = fit_volume_curve(replace(panel, valid_NT=panel.valid_NT & (hours < 8)))
    assert (morning[8:] == 1.0).all()
    assert morning[:8].mean() == pytest.approx(1.0)
    assert (fit_volume_curve(replace(panel, valid_NT=panel.valid_NT & False)) == 1.0).all()


def test_daily_bars_have_the_weekdays_of_their_sessions():
    bars = brownian_bars(8)
    bars["ts"] = pd.bdate_range("2024-01-01", periods=len(bars), tz="UTC").as_unit("us") + pd.Timedelta("14h30min")
    bars["close_ts"] = bars["ts"] + pd.Timedelta("6h30min")
    bars["volume"] = 1.0 + 4.0 * (bars["ts"].dt.day_of_week == 4)
    five_weeks = FEATURE_CONFIG.model_copy(update={"volume": 25})
    panel = Panel.from_table(panel_table({"AAA": features_of(bars, five_weeks)}))
    curve_W = fit_volume_curve(panel)
    np.testing.assert_allclose(curve_W[:5] / curve_W[0], [1, 1, 1, 1, 5], rtol=1e-6)
    assert curve_W[5:].tolist() == [1.0, 1.0]


def test_a_panels_market_knows_the_hour_of_each_bar():
    panel = brownian_panel(5).cut(7, 120)
    asset_A, bar_A = np.nonzero(panel.accepted(12))
    market = market_of(panel, asset_A, bar_A, 12)
    hour_T = panel.ts_T.astype("datetime64[h]").astype(int) % 24
    np.testing.assert_array_equal(market.slot_AK.numpy(), hour_T[bar_A[:, None] + np.arange(12)])
    done = simulate(VolumeCurve(torch.from_numpy(fit_volume_curve(panel))), market, terms_for((1, 12), 12, 1.0))
    assert (done.end_bar_O == 12).all()
