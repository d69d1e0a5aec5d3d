"""The gate's sanity checks: each finds what it is there for, and nothing in a sane model."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest
import torch

from lem.backtest import random_walk
from lem.backtest.market import market_of
from lem.execution.costs import BPS
from lem.gate import sanity as gate_checks
from lem.gate.sanity import (
    finite_weights,
    random_walk_control,
    sanity_checks,
    schedule_checks,
    shuffled_target_control,
    whole_window,
)
from lem.model.lem import LEM
from tests.lem.builders import START, TINY, brownian_panel, lively_model, timing_model

GATE_START = START + dt.timedelta(days=4)
PANEL = brownian_panel(11, assets=2, seed=8)
INSIDE = PANEL.date_T >= np.datetime64(GATE_START)


@pytest.fixture(scope="module")
def universe(make_universe):
    return make_universe(horizon=6, backtest={"min_bars": [1, 3, 6]}, model=TINY.model_dump())


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Controls of fewer orders: what they are shown here is larger than what they need to find."""
    monkeypatch.setattr(random_walk, "WALKS", 16)
    monkeypatch.setattr(random_walk, "ARRIVALS", 400)
    monkeypatch.setattr(gate_checks, "CONTROL_ARRIVALS", 400)


def places(universe, panel=PANEL):
    return np.nonzero(panel.accepted(universe.horizon) & INSIDE)


def asking(change) -> LEM:
    """A model that asks for something else than its heads decide: `change(slice_O, finish_O, ledger, terms, k)`."""
    model = timing_model(-1.0)
    decide = model.heads.decide

    def otherwise(read, ledger, terms, last_close, k):
        return change(*decide(read, ledger, terms, last_close, k), ledger, terms, k)

    model.heads.decide = otherwise
    return model


def test_a_sane_model_passes_every_check_by_name_with_a_sentence_and_figures(universe):
    checks = sanity_checks(PANEL, universe, GATE_START, timing_model(-1.0))
    assert [check.name for check in checks] == [
        "whole_window",
        "finite_weights",
        "causality",
        "finite_outputs",
        "budget",
        "caps",
        "random_walk_control",
        "shuffled_target_control",
    ]
    assert all(check.passed for check in checks), [check.text for check in checks if not check.passed]
    assert all(set(check.to_json()) == {"name", "passed", "text", "figures"} for check in checks)


@pytest.mark.parametrize("seed", [0, 1])
def test_whatever_its_weights_a_model_asks_only_for_what_is_allowed(universe, seed):
    checks = schedule_checks(PANEL, lively_model(seed=seed, scale=3.0), universe, *places(universe))
    assert [(check.name, check.passed) for check in checks] == [
        ("finite_outputs", True),
        ("budget", True),
        ("caps", True),
    ]


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("finite_outputs", lambda s, f, ledger, terms, k: (s * float("nan"), f), "asks for slices that are not finite"),
        ("budget", lambda s, f, ledger, terms, k: (s * 0.5, f * 0.0), "slices that do not sum to one order: "),
        ("budget", lambda s, f, ledger, terms, k: (ledger.remaining_O * 1.5, f), "by up to 0.500 of the order"),
        ("caps", lambda s, f, ledger, terms, k: (s, f * 0.0 + 1.0), "slices outside of the order's limits: "),
        (
            "caps",
            lambda s, f, ledger, terms, k: (torch.where(terms.max_rate_O < 1, 0.7, s), f),
            "by up to 0.450 of the",
        ),
        (
            "caps",
            lambda s, f, ledger, terms, k: (torch.where(terms.min_rate_O > 0, 0.0, s), f),
            "outside of the order's limits: ",
        ),
    ],
    ids=["nan", "something left", "more than the order", "an early end", "above the rate", "below the rate"],
)
def test_what_an_order_may_not_have_is_found_and_measured(universe, name, change, text):
    found = {c.name: c for c in schedule_checks(PANEL, asking(change), universe, *places(universe))}
    assert not found[name].passed
    assert text in found[name].text
    assert found[name].figures["broken"] > 0


def test_weights_that_are_not_finite_stop_what_would_execute_them(universe):
    model = timing_model(-1.0)
    assert finite_weights(model).passed
    with torch.no_grad():
        model.heads.bias_SD[1, 2] = float("nan")
    checks = sanity_checks(PANEL, universe, GATE_START, model)
    assert [(c.name, c.passed) for c in checks] == [("whole_window", True), ("finite_weights", False)]
    assert checks[-1].text == "weights are not finite: heads.bias_SD"


def test_a_window_with_a_hole_names_its_dates():
    found = whole_window((dt.date(2024, 1, 3), dt.date(2024, 1, 5)))
    assert not found.passed
    assert found.text == ("trained on a window with a hole: 2 of its partitions were not read: 2024-01-03, 2024-01-05")


def own_bar_known(panel, asset_A, bar_A, horizon, model=None):
    """The last close that slice k knows is the price that it will be paid: a look-ahead in what evaluates."""
    market = market_of(panel, asset_A, bar_A, horizon, model)
    return replace(market, last_close_AK=market.price_AK)


def test_a_look_ahead_gains_more_on_a_random_walk_than_can_be_gained(universe, monkeypatch):
    model = timing_model(-1.0)
    with torch.no_grad():  # and it buys the faster the lower the price is
        model.heads.state_SJD[:, 1, 1] = 4.0
        model.heads.out_SD2[:, 1, 0] = 3.0
    honest = random_walk_control(PANEL.ts_T, INSIDE, model, universe)
    assert honest.passed, honest.text
    monkeypatch.setattr(random_walk, "market_of", own_bar_known)
    early = random_walk_control(PANEL.ts_T, INSIDE, model, universe)
    assert not early.passed
    assert early.figures["gain_sigma_m3"] > early.figures["bound_sigma_m3"]
    assert early.figures["gain_sigma_m6"] > 0.05
    assert early.text.startswith("gains on a random walk: +")


def test_prices_that_drift_in_the_evaluation_are_found_where_nothing_can_be_timed(universe, monkeypatch):
    def cheaper(panel, asset_A, bar_A, horizon, model=None):
        """Fills of the later bars are better than the benchmark knows: a schedule that waits gains for nothing."""
        market = market_of(panel, asset_A, bar_A, horizon, model)
        return replace(market, price_AK=market.price_AK * (1 - 2e-3 * torch.arange(horizon)))

    waiting = asking(lambda s, f, ledger, terms, k: (s * torch.where(terms.sign_O > 0, 0.2, 1.0), f))
    assert random_walk_control(PANEL.ts_T, INSIDE, waiting, universe).passed
    monkeypatch.setattr(random_walk, "market_of", cheaper)
    found = random_walk_control(PANEL.ts_T, INSIDE, waiting, universe)
    assert not found.passed
    assert "at m = 6, where 0.000 can be gained" in found.text


def test_a_window_that_no_order_fits_into_proves_nothing(universe):
    found = random_walk_control(PANEL.ts_T, np.zeros_like(INSIDE), timing_model(-1.0), universe)
    assert not found.passed
    assert found.text == "no order on a random walk fits into the window: nothing was tested"


@pytest.mark.parametrize(
    "model",
    [timing_model(+1.0), lively_model(TINY.model_copy(update={"base": "even"}), scale=0.0)],
    ids=["the wrong way round", "learnt nothing and has no theory"],
)
def test_a_model_that_does_not_decide_on_its_prices_fails_the_shuffled_target_control(universe, model):
    found = shuffled_target_control(PANEL, model, universe, *places(universe))
    assert not found.passed
    assert found.text.startswith("like a model of shuffled targets, it does not decide on the prices: ")
    assert found.figures["earned_bps"] < found.figures["optimal_stopping_bps"] / 2


def test_decisions_on_other_orders_earn_nothing_and_those_on_the_order_what_they_should(universe):
    found = shuffled_target_control(PANEL, timing_model(-1.0), universe, *places(universe))
    assert found.passed
    assert abs(found.figures["shuffled_bps"]) < 3 * found.figures["shuffled_error_bps"]
    assert found.figures["own_bps"] > 0.8 * found.figures["optimal_stopping_bps"]


def test_an_evaluation_that_pays_for_decisions_on_other_orders_is_found(universe, monkeypatch):
    simulate = gate_checks.simulate

    def generous(*arguments):
        done = simulate(*arguments)
        return replace(done, gain_O=done.gain_O + 30 / BPS)

    monkeypatch.setattr(gate_checks, "simulate", generous)
    found = shuffled_target_control(PANEL, timing_model(-1.0), universe, *places(universe))
    assert not found.passed
    assert found.text.startswith("decisions on other orders are credited with a gain of +2")


def test_of_a_few_days_and_of_orders_with_a_fixed_end_the_shuffled_target_control_tells_nothing(
    universe, make_universe
):
    asset_A, bar_A = places(universe)
    few = PANEL.date_T[bar_A] < np.datetime64(GATE_START + dt.timedelta(days=3))
    found = shuffled_target_control(PANEL, timing_model(+1.0), universe, asset_A[few], bar_A[few])
    assert (found.passed, found.text) == (True, "nothing to tell of 3 blocks of days")
    fixed = make_universe(horizon=6, backtest={"min_bars": [6]}, model=TINY.model_dump())
    assert shuffled_target_control(PANEL, timing_model(+1.0), fixed, asset_A, bar_A).passed
