from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lem.data.features import CLIP, FEATURES
from lem.data.panel import PANEL_SCHEMA, Panel, order_tape, panel_table
from lem.errors import BarsError
from tests.lem.builders import PROPERTY, brownian_bars, brownian_panel, features_of, without_values

PANEL = brownian_panel(4, assets=2)


@PROPERTY
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 30))
def test_an_order_is_accepted_exactly_when_all_its_bars_trade_and_all_its_decisions_have_features(seed, horizon, bars):
    rng = np.random.default_rng(seed)
    near = PANEL.cut(60, 60 + bars)
    shape = near.valid_NT.shape
    panel = replace(
        near,
        vwap_NT=np.where(rng.random(shape) < 0.05, np.nan, near.vwap_NT),
        volume_NT=np.where(rng.random(shape) < 0.05, 0.0, near.volume_NT),
        valid_NT=rng.random(shape) < 0.93,
    )
    accepted_NT = panel.accepted(horizon)
    assert accepted_NT.shape == shape
    for n, t in np.ndindex(shape):
        fills, known = slice(t, t + horizon), slice(t - 1, t + horizon - 1)
        expected = t >= 1 and t + horizon <= bars
        if expected:
            traded = np.isfinite(panel.vwap_NT[n, fills]) & (panel.volume_NT[n, fills] > 0)
            expected = bool(traded.all() and panel.valid_NT[n, known].all())
        assert accepted_NT[n, t] == expected, (n, t)


@pytest.mark.parametrize("flag", ["outage", "no_trades"])
def test_no_order_touches_a_gap(flag):
    gap, horizon = 100, 5
    panel = Panel.from_table(panel_table({"AAA": features_of(without_values(brownian_bars(6), [gap], flag))}))
    accepted_T = panel.accepted(horizon)[0]
    assert not accepted_T[gap - horizon + 1 : gap + 2].any()
    assert accepted_T[gap - horizon]


def test_assets_with_other_bars_are_aligned_in_time():
    bars = brownian_bars(5)
    early, late = features_of(bars.iloc[:100]), features_of(bars.iloc[20:].reset_index(drop=True))
    holes = early.drop(index=[60, 61])
    panel = Panel.from_table(panel_table({"LATE": late, "EARLY": holes}))
    assert panel.assets == ("EARLY", "LATE")
    assert panel.bars == 120
    stamps = bars["ts"].dt.tz_localize(None).to_numpy("datetime64[us]")
    np.testing.assert_array_equal(panel.ts_T, stamps)
    np.testing.assert_array_equal(panel.date_T, stamps.astype("datetime64[D]"))
    for row, table in enumerate((holes, late)):
        at_T = np.searchsorted(stamps, table["ts"].dt.tz_localize(None).to_numpy("datetime64[us]"))
        absent_T = np.setdiff1d(np.arange(120), at_T)
        for name in ("vwap", "close", "volume", "sigma"):
            values_T = getattr(panel, f"{name}_NT")[row]
            np.testing.assert_array_equal(values_T[at_T], table[name])
            assert np.isnan(values_T[absent_T]).all()
        np.testing.assert_array_equal(panel.valid_NT[row, at_T], table["valid"])
        np.testing.assert_array_equal(panel.features_NTF[row, at_T], table[list(FEATURES)].to_numpy(np.float32))
        assert panel.present_NT[row, at_T].all()
        assert not panel.present_NT[row, absent_T].any()
        assert not panel.valid_NT[row, absent_T].any()
        assert (panel.features_NTF[row, absent_T] == 0).all()
    assert not panel.accepted(4)[0, 57:63].any(), "an order may not reach over bars the asset does not have"


def test_the_order_of_rows_does_not_matter():
    table = panel_table({"AAA": features_of(brownian_bars(3, 1)), "BBB": features_of(brownian_bars(3, 2))})
    shuffled = table.sample(frac=1, random_state=0)
    one, two = Panel.from_table(table), Panel.from_table(shuffled)
    for name in Panel.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_a_holiday_adds_no_bars():
    table = features_of(brownian_bars(3))
    both = panel_table({"AAA": table, "BBB": table.iloc[:0]})
    assert list(both.columns) == PANEL_SCHEMA.names
    assert Panel.from_table(both).assets == ("AAA",)
    holiday = panel_table({"AAA": table.iloc[:0], "BBB": table.iloc[:0]})
    assert holiday.empty
    joined = pd.concat([panel_table({"AAA": table}), holiday], ignore_index=True)
    np.testing.assert_array_equal(Panel.from_table(joined).close_NT, Panel.from_table(both).close_NT)
    with pytest.raises(BarsError, match="no bars in this range"):
        Panel.from_table(holiday)


def test_a_bar_that_is_there_twice_is_refused():
    table = panel_table({"AAA": features_of(brownian_bars(3))})
    with pytest.raises(BarsError, match="AAA has two rows for the bar 2024-01-01 05:00"):
        Panel.from_table(pd.concat([table, table.iloc[5:6]]))


def test_parts_of_a_panel_hold_the_same_numbers():
    days = PANEL.between(np.datetime64("2024-01-02").item(), np.datetime64("2024-01-04").item())
    assert days.bars == 48
    np.testing.assert_array_equal(days.close_NT, PANEL.close_NT[:, 24:72])
    assert PANEL.between(None, None).bars == PANEL.bars
    one = PANEL.of(PANEL.assets[1:2])
    assert one.assets == ("BBB",)
    np.testing.assert_array_equal(one.features_NTF[0], PANEL.features_NTF[1])


def test_the_tape_of_an_order_is_relative_to_the_close_and_the_mean_volume_before_it():
    asset_A, bar_A, horizon = np.array([0, 1]), np.array([60, 70]), 4
    tape = order_tape(PANEL, asset_A, bar_A, horizon)
    for a, (n, t) in enumerate(zip(asset_A, bar_A, strict=True)):
        arrival = PANEL.close_NT[n, t - 1]
        mean = PANEL.volume_NT[n, t - 24 : t].mean()
        np.testing.assert_allclose(tape.price_AK[a], PANEL.vwap_NT[n, t : t + horizon] / arrival, rtol=1e-12)
        np.testing.assert_allclose(tape.volume_AK[a], PANEL.volume_NT[n, t : t + horizon] / mean, rtol=1e-12)
        np.testing.assert_allclose(
            tape.last_close_AK[a], PANEL.close_NT[n, t - 1 : t + horizon - 1] / arrival, rtol=1e-12
        )
        assert tape.sigma_A[a] == PANEL.sigma_NT[n, t - 1]
        assert tape.arrival_price_A[a] == arrival
    assert (tape.last_close_AK[:, 0] == 1).all()


def test_the_mean_volume_after_a_bar_of_next_to_no_volume_is_the_mean_though_its_feature_is_clipped():
    bars = brownian_bars(6)
    bars.loc[60, ["volume", "quote_volume"]] *= 1e-6
    panel = Panel.from_table(panel_table({"AAA": features_of(bars)}))
    assert panel.features_NTF[0, 60, FEATURES.index("log_volume")] == -CLIP
    assert panel.mean_volume_NT[0, 60] == pytest.approx(bars["volume"][37:61].mean(), rel=1e-12)


def test_a_column_that_earlier_versions_did_not_write_is_named():
    table = panel_table({"AAA": features_of(brownian_bars(6))}).drop(columns="mean_volume")
    with pytest.raises(BarsError, match="no column mean_volume: these partitions were made by an earlier version"):
        Panel.from_table(table)


def test_the_tape_over_a_gap_is_masked_by_ones_and_never_nan():
    panel = Panel.from_table(panel_table({"AAA": features_of(without_values(brownian_bars(6), [99, 100], "outage"))}))
    tape = order_tape(panel, np.zeros(3, int), np.array([98, 100, 101]), 4)
    for values in (tape.price_AK, tape.volume_AK, tape.last_close_AK, tape.sigma_A):
        assert np.isfinite(values).all()
        assert (values > 0).all()


@pytest.mark.parametrize(("bar", "per_day"), [("1min", 1440), ("4h", 6), ("1D", 1), ("B", 1)])
def test_a_panel_knows_how_many_bars_a_day_has(bar, per_day):
    stamps = pd.date_range("2024-01-01 14:00", periods=30, freq=bar).to_numpy("datetime64[us]")
    near = PANEL.cut(0, 30)
    panel = replace(near, ts_T=stamps)
    assert panel.bars_per_day == per_day
    assert replace(near.cut(0, 4), ts_T=stamps[[0, 1, 2, 9]]).bars_per_day == per_day, "an outage changes nothing"
    assert panel.cut(0, 1).bars_per_day == 1
