from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import lem.data.feature_causality
import lem.data.features
import lem.gate.causality
from lem.backtest.market import context_of, market_of
from lem.backtest.simulator import simulate
from lem.data.feature_causality import features_are_causal, perturbed_bars
from lem.data.features import compute_features, features_of_days
from lem.data.tape import Tape
from lem.execution.costs_config import CostsConfig
from lem.gate.causality import model_is_causal, perturbed_panel
from lem.strategies.base import Setting
from lem.strategies.learned import Learned
from lem.strategies.rules import make_rules
from lem.universe.bar_clock import BarClock
from tests.lem.builders import (
    FEATURE_CONFIG,
    brownian_bars,
    brownian_panel,
    lively_model,
    random_limits,
    timing_model,
)

HORIZON = 5
BARS = brownian_bars(5, seed=2)
PANEL = brownian_panel(5, seed=3).cut(48, 120)
MODELS = {"random": lively_model(), "timing": timing_model(-1.0)}
COSTS = CostsConfig(order_size=0.2, participation_cap=0.2)
STRATEGIES = {
    **{rule.name: (rule, None) for rule in make_rules(Setting(HORIZON, CostsConfig(), torch.linspace(0.5, 1.5, 24)))},
    **{name: (Learned(model), model) for name, model in MODELS.items()},
}
EXAMPLES = settings(deadline=None, max_examples=15)


@EXAMPLES
@given(st.integers(0, 23), st.integers(0, 2**32 - 1))
def test_no_feature_depends_on_a_later_bar(row, seed):
    history, day = BARS.iloc[:96], BARS.iloc[96:].reset_index(drop=True)
    before = compute_features(history, day, FEATURE_CONFIG, BarClock(24))
    later = [([Tape.of(history)], perturbed_bars(Tape.of(day), row + 1, seed))]
    (after,) = features_of_days(later, FEATURE_CONFIG, BarClock(24))
    assert before.iloc[: row + 1].equals(after.iloc[: row + 1])
    if row < 23:
        assert not before.iloc[row + 1 :].equals(after.iloc[row + 1 :]), "the perturbation reaches the features"


@EXAMPLES
@given(st.integers(1, 71), st.integers(0, 2**32 - 1))
def test_no_context_depends_on_a_later_bar(first, seed):
    one, two = (context_of(panel, MODELS["random"]) for panel in (PANEL, perturbed_panel(PANEL, first, seed)))
    assert torch.equal(one[:, :first], two[:, :first])
    assert not torch.equal(one[:, first:], two[:, first:])


@pytest.mark.parametrize("name", STRATEGIES)
@settings(deadline=None, max_examples=12)
@given(st.integers(12, 60), st.integers(0, HORIZON - 1), st.integers(0, 2**32 - 1))
def test_no_slice_depends_on_its_own_bar_or_a_later_one(name, bar, k, seed):
    strategy, model = STRATEGIES[name]
    terms = random_limits(np.random.default_rng(seed), 1, HORIZON)
    place = (np.array([0]), np.array([bar]))
    panels = (PANEL, perturbed_panel(PANEL, bar + k, seed))
    markets = [market_of(panel, *place, HORIZON, model) for panel in panels]
    for costs in (None, COSTS):
        one, two = (simulate(strategy, market, terms, costs) for market in markets)
        assert torch.equal(one.slices_KO[: k + 1], two.slices_KO[: k + 1])


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_proof_finds_nothing_in_causal_strategies(name):
    strategy, model = STRATEGIES[name]
    assert model_is_causal(PANEL, model, HORIZON, strategy) == []


def test_the_proof_finds_nothing_in_causal_features():
    assert (
        features_are_causal(BARS.iloc[:96], BARS.iloc[96:].reset_index(drop=True), FEATURE_CONFIG, BarClock(24)) == []
    )


def context_of_bar_k(panel, asset_A, bar_A, horizon, model=None):
    """The index shifted by one: slice k sees the context of bar k itself."""
    at_AK = bar_A[:, None] + np.arange(horizon)
    market = market_of(panel, asset_A, bar_A, horizon, model)
    return replace(market, context_AKH=context_of(panel, model)[asset_A[:, None], at_AK])


def close_of_bar_k(panel, asset_A, bar_A, horizon, model=None):
    """The index shifted by one: the last close that slice k knows is that of bar k."""
    at_AK = bar_A[:, None] + np.arange(horizon)
    close_AK = panel.close_NT[asset_A[:, None], at_AK] / panel.close_NT[asset_A, bar_A - 1][:, None]
    return replace(market_of(panel, asset_A, bar_A, horizon, model), last_close_AK=torch.from_numpy(close_AK))


def clock_of_volumes(panel, asset_A, bar_A, horizon, model=None):
    """A clock that is no calendar: the slot of a bar follows the volume that trades in it."""
    market = market_of(panel, asset_A, bar_A, horizon, model)
    return replace(market, slot_AK=(market.volume_AK * 6).long().clamp(max=23))


@pytest.mark.parametrize(
    ("leak", "name"),
    [
        (context_of_bar_k, "random"),
        (close_of_bar_k, "random"),
        (close_of_bar_k, "timing"),
        (close_of_bar_k, "optimal_stopping"),
        (close_of_bar_k, "bang_bang"),
        (clock_of_volumes, "volume_curve"),
    ],
)
def test_the_proof_finds_an_index_shifted_by_one(monkeypatch, leak, name):
    monkeypatch.setattr(lem.gate.causality, "market_of", leak)
    strategy, model = STRATEGIES[name]
    problems = model_is_causal(PANEL, model, HORIZON, strategy)
    assert problems
    assert all(text.startswith("AAA bar ") for text in problems)
    changed = [text.split("slice ")[1].split(" changes with bar ") for text in problems]
    assert any(slice_ == bar for slice_, bar in changed), "slice k changes with bar k"


def test_the_proof_finds_a_feature_of_the_next_bar(monkeypatch):
    history, day = BARS.iloc[:96], BARS.iloc[96:].reset_index(drop=True)

    def next_bars_return(*arguments):
        tables = features_of_days(*arguments)
        return [table.assign(ret=table["ret"].shift(-1, fill_value=0.0)) for table in tables]

    monkeypatch.setattr(lem.data.feature_causality, "features_of_days", next_bars_return)
    assert features_are_causal(history, day, FEATURE_CONFIG, BarClock(24)) == list(range(23))


def test_the_proof_finds_a_trailing_window_shifted_by_one(monkeypatch):
    trailing = lem.data.features._trailing_mean

    def one_late(x_T, *window):
        return np.append(trailing(x_T, *window)[1:], np.nan)

    monkeypatch.setattr(lem.data.features, "_trailing_mean", one_late)
    history, day = BARS.iloc[:96], BARS.iloc[96:].reset_index(drop=True)
    assert len(features_are_causal(history, day, FEATURE_CONFIG, BarClock(24))) >= 20
