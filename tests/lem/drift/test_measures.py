from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lem.data.features import FEATURES
from lem.drift.measures import (
    BINS,
    CLOCK,
    MIN_BARS,
    bin_counts,
    gain_drift,
    input_drift,
    model_age,
    population_stability,
    quantile_edges,
    stability_index,
)
from lem.errors import EvaluationError
from tests.lem.builders import PROPERTY, START

VALUES = st.lists(st.floats(-8, 8) | st.sampled_from([-8.0, 0.0, 8.0]), min_size=1, max_size=60)
COUNTS = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=12).filter(
    lambda pairs: all(sum(column) > 0 for column in zip(*pairs, strict=True))
)
FILES = {"kind": "files", "url": "{data}/{symbol}.csv"}
MARKET = [name for name in FEATURES if name not in CLOCK]


def bars(days, seed=0, first=0, **shift):
    """A feature table of independent normal values, 24 bars a day, all valid; features named in `shift` are moved."""
    values = np.random.default_rng(seed).standard_normal((24 * days, len(FEATURES)))
    table = pd.DataFrame(values, columns=list(FEATURES))
    for name, by in shift.items():
        table[name] += by
    ts = pd.date_range(START + dt.timedelta(days=first), periods=24 * days, freq="h", tz="UTC", unit="us")
    return table.assign(ts=ts, valid=True)


def orders(days, gain, model_id="one", per_day=20, seed=0, first=0):
    """Executed orders with gains of 10 bps standard deviation around `gain`."""
    rng = np.random.default_rng(seed)
    arrival = pd.date_range(START + dt.timedelta(days=first), periods=days, tz="UTC").repeat(per_day)
    gains = gain + 10 * rng.standard_normal(days * per_day)
    return pd.DataFrame({"arrival": arrival, "model_id": model_id, "status": "done", "gain_bps": gains})


@PROPERTY
@given(values=VALUES, bins=st.integers(2, 12))
def test_a_sample_is_stable_against_itself(values, bins):
    assert population_stability(values, values, bins) == 0.0


@PROPERTY
@given(first=VALUES, second=VALUES)
def test_the_index_is_finite_and_not_negative(first, second):
    assert 0.0 <= population_stability(first, second) < math.inf


@PROPERTY
@given(pairs=COUNTS)
def test_swapping_the_samples_changes_nothing(pairs):
    first, second = zip(*pairs, strict=True)
    assert stability_index(first, second) == pytest.approx(stability_index(second, first), abs=1e-12)


@PROPERTY
@given(seed=st.integers(0, 999), small=st.floats(0.3, 1.0), more=st.floats(0.3, 1.0))
def test_the_index_grows_with_the_shift(seed, small, more):
    sample = np.random.default_rng(seed).standard_normal(2000)
    assert 0 < population_stability(sample, sample + small) < population_stability(sample, sample + small + more)


def test_the_index_of_known_shares_is_known():
    # (1/4 - 1/2) ln(1/2) + (3/4 - 1/2) ln(3/2) = ln(3) / 4
    assert stability_index([50, 50], [1, 3]) == pytest.approx(math.log(3) / 4)
    # an empty bin counts as half a value: shares 1/2, 1/2 against 1/20, 1
    assert stability_index([5, 5], [0, 10]) == pytest.approx(0.45 * math.log(10) + 0.5 * math.log(2))


def test_bins_hold_equal_shares_of_the_training_window():
    values = np.random.default_rng(1).standard_normal(1000)
    assert set(bin_counts(values, quantile_edges(values))) <= {99, 100, 101}
    assert len(bin_counts(values, quantile_edges(values))) == BINS


@pytest.mark.parametrize("move", [-1e-9, 1e-9, -3.0, 3.0])
def test_a_constant_feature_that_moves_either_way_is_seen(move):
    constant = np.full(500, 2.0)
    assert population_stability(constant, constant) == 0.0
    assert population_stability(constant, constant + move) > 5.0


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: quantile_edges([]), "0 values"),
        (lambda: quantile_edges([1.0, math.nan]), "2 values, 1 of them not finite"),
        (lambda: stability_index([1, 2], [1, 2, 3]), "in the same bins"),
        (lambda: stability_index([0, 0], [1, 2]), "not empty"),
        (lambda: stability_index([-1, 2], [1, 2]), "allowed: counts"),
    ],
)
def test_samples_without_an_index_are_refused(call, text):
    with pytest.raises(EvaluationError, match=text):
        call()


@pytest.mark.parametrize("name", MARKET)
def test_a_shift_of_one_sigma_names_just_that_feature(name):
    drift = input_drift(bars(60), bars(10, seed=1, first=75, **{name: 1.0}))
    assert drift.drifted(0.25) == [name]
    assert set(drift.psi) == set(drift.usual) == set(FEATURES)
    assert drift.psi[name] > 0.5 > 0.25 > max(value for other, value in drift.psi.items() if other != name)


def test_nothing_drifts_in_bars_of_the_same_distribution():
    drift = input_drift(bars(60), bars(10, seed=1, first=75))
    assert drift.known
    assert drift.drifted(0.25) == []
    assert (drift.training_bars, drift.recent_bars) == (1440, 240)


def test_drifted_features_come_with_the_largest_first_and_never_the_calendars():
    drift = input_drift(bars(60), bars(10, seed=1, first=75, ret=1.0, range=2.0, week_sin=3.0))
    assert drift.drifted(0.25) == ["range", "ret"]
    assert drift.psi["week_sin"] > drift.psi["range"]


def test_what_the_training_window_itself_often_does_is_no_drift():
    training = bars(60)
    wave = np.repeat(np.sin(2 * np.pi * np.arange(6) / 6), 240)  # a level that stays for ten days
    training["volatility_ratio"] = training["volatility_ratio"] / 10 + wave
    recent = bars(10, seed=1, first=75)
    recent["volatility_ratio"] = recent["volatility_ratio"] / 10 + wave[300]
    drift = input_drift(training, recent)
    assert drift.psi["volatility_ratio"] > 0.25
    assert "volatility_ratio" not in drift.drifted(0.25)
    assert input_drift(training, recent.assign(volatility_ratio=5.0)).drifted(0.25) == ["volatility_ratio"]


def test_masked_bars_do_not_count():
    recent = bars(10, seed=1, first=75)
    masked = recent.assign(valid=False)
    masked[list(FEATURES)] = 0.0
    both = input_drift(bars(60), pd.concat([recent, masked]))
    assert both == input_drift(bars(60), recent)


def test_of_few_bars_nothing_is_told():
    few = bars(10, seed=1, ret=5.0).iloc[: MIN_BARS - 1]
    for drift in (input_drift(bars(60), few), input_drift(few, bars(60))):
        assert not drift.known
        assert drift.drifted(0.25) == []


def test_a_champion_that_gains_far_less_than_the_gate_measured_has_drifted():
    drift = gain_drift(orders(30, 5.0), {"one": 20.0})
    assert drift.drifted(5.0)
    assert drift.realised_bps == pytest.approx(5.0, abs=2.0)
    assert drift.expected_bps == 20.0
    assert drift.shortfall.mean == pytest.approx(drift.realised_bps - 20.0)
    assert (drift.shortfall.orders, drift.shortfall.blocks) == (600, 30)


@pytest.mark.parametrize("gain", [20.0, 50.0])
def test_a_champion_that_gains_as_much_or_more_has_not_drifted(gain):
    assert not gain_drift(orders(30, gain), {"one": 20.0}).drifted(0.0)


def test_the_tolerance_is_for_the_whole_interval():
    drift = gain_drift(orders(30, 14.0), {"one": 20.0})
    assert drift.drifted(0.0)
    assert not drift.drifted(-drift.shortfall.mean)
    assert not drift.drifted(20.0)


def test_each_order_is_measured_against_the_gates_figure_for_its_own_model():
    both = pd.concat([orders(15, 10.0, "one"), orders(15, 30.0, "two", first=15)])
    assert not gain_drift(both, {"one": 10.0, "two": 30.0}).drifted(2.0)
    assert gain_drift(both, {"one": 20.0, "two": 40.0}).drifted(2.0)


def test_orders_of_rules_excluded_ones_and_those_of_models_without_a_figure_are_left_out():
    traded = orders(10, 20.0)
    others = [
        orders(10, -500.0, ""),
        orders(10, -500.0).assign(status="excluded", gain_bps=math.nan),
        orders(10, -500.0, "unknown"),
    ]
    drift = gain_drift(pd.concat([traded, *others]), {"one": 20.0})
    assert (drift.shortfall, drift.unjudged) == (gain_drift(traded, {"one": 20.0}).shortfall, 200)


def test_too_few_days_are_no_drift():
    drift = gain_drift(orders(4, -100.0), {"one": 20.0})
    assert drift.shortfall.mean < -100.0
    assert not drift.drifted(5.0)


def test_without_orders_there_is_nothing_to_tell():
    drift = gain_drift(orders(4, 1.0, "other"), {"one": 20.0})
    assert (drift.shortfall.orders, drift.unjudged) == (0, 80)
    assert math.isnan(drift.realised_bps)
    assert not drift.drifted(0.0)


def test_the_age_of_a_model_is_counted_in_partitions(make_universe):
    daily, sessions = make_universe(), make_universe(calendar="XNYS", assets={"AAA": {}}, source=FILES)
    friday, monday = dt.date(2024, 1, 12), dt.date(2024, 1, 15)
    assert model_age(daily, friday, monday) == 3
    assert model_age(sessions, friday, monday) == 1
    assert model_age(daily, friday, friday) == 0
