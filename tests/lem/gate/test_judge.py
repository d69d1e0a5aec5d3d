from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from lem.backtest import random_walk
from lem.gate import sanity as gate_checks
from lem.gate.gains import GateOrders, worth
from lem.gate.judge import PairedComparison, compare, judge
from lem.model.contender import Contender
from lem.model.lem import LEM
from lem.registry.records import REFUSED
from lem.strategies.rules import RULES_WITH_COSTS, rule_names
from lem.universe.backtest_config import GateConfig
from tests.lem.builders import START, TINY, brownian_panel, lively_model, timing_model

DAYS = 11
GATE_START = START + dt.timedelta(days=4)
PANEL = brownian_panel(DAYS, assets=2, seed=8)
GOOD, BAD = timing_model(-1.0), timing_model(+1.0)


@pytest.fixture(scope="module")
def universe(make_universe):
    return make_universe(
        horizon=6,
        backtest={"min_bars": [1, 3, 6], "bootstrap": 200},
        gate={"tail_tolerance": 0.1},
        model=TINY.model_dump(),
    )


@pytest.fixture(autouse=True)
def small_controls(monkeypatch):
    monkeypatch.setattr(random_walk, "WALKS", 12)
    monkeypatch.setattr(random_walk, "ARRIVALS", 400)
    monkeypatch.setattr(gate_checks, "CONTROL_ARRIVALS", 400)


def late(distance: float = 1.0) -> LEM:
    """Times as `GOOD` does, but waits for prices that are `distance` sigma below the benchmark: it gains less."""
    model = timing_model(-1.0)
    with torch.no_grad():
        model.heads.state_SJD[:, 1, 0] = -1.0 / distance
    return model


def contender(model: LEM, name: str = "one", train_end: dt.date = GATE_START) -> Contender:
    return Contender(name, model, train_end)


class Peeking(LEM):
    """A model whose context of a bar is that of the bar after it."""

    def encode(self, features_BTF, valid_BT):
        return super().encode(features_BTF, valid_BT).roll(-1, dims=1)


def test_the_first_sane_model_is_promoted_however_good_it_is(universe):
    for model in (GOOD, late()):
        verdict = judge(PANEL, universe, GATE_START, contender(model), None)
        assert verdict.decision == "promoted"
        assert verdict.sound
        assert all(check.passed for check in verdict.figures.checks)
        assert verdict.reasons[0] == "first model: sane, so it trades"
        gate = verdict.figures.gate
        assert set(gate.mean_bps.to_json()) == {"candidate", "optimal_stopping", "twap", "rule"}
        assert set(gate.net_mean_bps.to_json()) == {"candidate", "optimal_stopping", "twap", "rule"}
        assert gate.net_mean_bps.candidate < gate.mean_bps.candidate
        assert gate.rule in RULES_WITH_COSTS
        assert verdict.figures.gate.days == DAYS - 4


def test_without_a_candidate_the_champion_stays(universe):
    assert judge(PANEL, universe, GATE_START, None, contender(GOOD)).decision == "kept"
    assert judge(PANEL, universe, GATE_START, None, None).decision == "none"
    assert not judge(PANEL, universe, GATE_START, None, None).sound


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("champion", [None, contender(GOOD, "old")], ids=["none", "kept"])
def test_weights_that_are_not_finite_are_refused(universe, champion, value):
    model = lively_model()
    with torch.no_grad():
        model.heads.state_SJD[3, 2, 1] = value
    verdict = judge(PANEL, universe, GATE_START, contender(model), champion)
    assert verdict.decision == ("kept" if champion else "none")
    assert verdict.reasons == ["weights are not finite: heads.state_SJD"]


@pytest.mark.parametrize("champion", [None, contender(BAD, "old")], ids=["none", "kept"])
def test_a_candidate_that_looks_ahead_is_refused(universe, champion):
    model = Peeking(TINY)
    model.load_state_dict(lively_model().state_dict())
    verdict = judge(PANEL, universe, GATE_START, contender(model.eval()), champion)
    assert verdict.decision == ("kept" if champion else "none")
    assert verdict.reasons[0].startswith("look-ahead: ")
    assert not verdict.sound


@pytest.mark.parametrize("which", ["candidate", "champion"])
def test_a_model_trained_on_the_gates_window_is_refused(universe, which):
    late = contender(GOOD, "late", GATE_START + dt.timedelta(days=1))
    pair = (late, contender(BAD, "old")) if which == "candidate" else (contender(GOOD, "new"), late)
    verdict = judge(PANEL, universe, GATE_START, *pair)
    assert verdict.decision == "kept"
    trained = f"{which} late was trained on days before {late.train_end}, and the gate opens on {GATE_START}"
    assert verdict.reasons == [f"{trained}: it has seen days that judge it"]


def hurrying(pace: float) -> LEM:
    """Buys the faster (pace > 0) or the slower the further the price is above the benchmark."""
    model = timing_model(-1.0)
    with torch.no_grad():
        model.heads.state_SJD[:, 1, 1] = 4.0
        model.heads.out_SD2[:, 1, 0] = pace
    return model


@pytest.fixture(scope="module")
def trending():
    """Returns go on in their direction: hurrying after the price gains, at the cost of a wider distribution."""
    return brownian_panel(DAYS, assets=2, seed=8, momentum=0.6)


def test_a_candidate_that_beats_champion_and_rule_is_promoted(universe, trending):
    pair = contender(hurrying(+1.0), "new"), contender(hurrying(-1.0), "old")
    verdict = judge(trending, universe, GATE_START, *pair)
    assert verdict.decision == "promoted"
    assert verdict.reasons[0].startswith("after costs not worse than the champion, tail kept, Optimal with costs")
    assert verdict.figures.gate.net_candidate_minus_champion.low_bps > 0
    assert verdict.figures.gate.net_candidate_minus_rule.low_bps > 0


def test_a_worse_candidate_is_refused_and_the_champion_stays(universe, trending):
    pair = contender(GOOD, "new"), contender(hurrying(+1.0), "old")
    verdict = judge(trending, universe, GATE_START, *pair)
    means = verdict.figures.gate.net_mean_bps
    assert means.twap + 1 < means.candidate < means.champion
    assert verdict.sound, "it may trade, it is only not good enough"
    assert verdict.decision == "kept"
    assert against(verdict)[0] == "its mean gain after costs is lower than the champion's"
    assert verdict.figures.gate.net_candidate_minus_champion.high_bps < 0


def test_a_candidate_that_gains_more_with_a_worse_tail_is_refused(universe, trending):
    pair = contender(hurrying(+1.0), "new"), contender(GOOD, "old")
    verdict = judge(trending, universe, GATE_START, *pair)
    assert verdict.figures.gate.net_candidate_minus_champion.low_bps > 0
    assert verdict.decision == "kept"
    assert [reason.partition(" average")[0] for reason in against(verdict)] == ["its worst 5 % after costs"]


def test_a_candidate_that_does_not_beat_the_best_rule_that_knows_costs_is_refused(universe):
    verdict = judge(PANEL, universe, GATE_START, contender(GOOD, "new"), contender(late(), "old"))
    assert verdict.decision == "kept"
    (reason,) = against(verdict)
    assert re.fullmatch(r"after costs its gains are worth no more than those of Optimal with costs.*training", reason)
    assert verdict.figures.gate.net_candidate_minus_rule.mean_bps < 0


def against(verdict):
    """What the gate says against the candidate."""
    return [r.removeprefix(f"{REFUSED} because ") for r in verdict.reasons if r.startswith(REFUSED)]


HOW = PairedComparison(GateConfig(), block_days=1, resamples=200, seed=0)
SIGMA, LOSING = 50.0, np.arange(200) % 5 == 0


def orders_of(gross: dict, net: dict, risk_aversion: float = 1.0) -> GateOrders:
    """Ten days of 20 orders; whoever is not named gains nothing before costs and loses 4 bps after them.

    Args:
        gross: gains of a strategy before costs, bps.
        net: the same after costs.
        risk_aversion: lambda of the orders.
    """
    arrival = pd.Series(pd.date_range("2024-01-01", periods=200, freq="72min", tz="UTC"), name="arrival")
    names = (*rule_names(), "candidate", "champion")
    before = pd.DataFrame({name: gross.get(name, 0.0) for name in names}, index=arrival.index)
    after = pd.DataFrame({name: net.get(name, -4.0) for name in names}, index=arrival.index)
    return GateOrders(arrival, before, after, worth(after, SIGMA, risk_aversion))


def test_a_candidate_that_is_better_before_costs_and_worse_after_them_is_refused_with_that_reason():
    verdict = compare(orders_of({"candidate": 15.0, "champion": 12.0}, {"candidate": 6.0, "champion": 8.0}), HOW)
    assert verdict.decision == "kept"
    assert against(verdict) == [
        "its mean gain after costs is lower than the champion's, although it is higher before them",
        "its worst 5 % after costs average 6.0 bps, allowed: 7.2",
    ]
    gate = verdict.figures.gate
    assert (gate.candidate_minus_champion.mean_bps, gate.net_candidate_minus_champion.mean_bps) == (3.0, -2.0)
    promoted = compare(orders_of({"candidate": 12.0, "champion": 15.0}, {"candidate": 8.0, "champion": 6.0}), HOW)
    assert promoted.decision == "promoted", "what it earns before costs does not matter"


def test_what_a_loss_costs_the_risk_averse_decides_between_rules_and_against_the_best_of_them():
    bold, careful = np.where(LOSING, -50.0, 30.0), np.full(200, 8.0)
    net = {"optimal_with_costs": bold, "optimal_with_risk": careful, "candidate": 9.0, "champion": 9.0}
    averse, neutral = (compare(orders_of({}, net, risk_aversion), HOW) for risk_aversion in (4.0, 0.0))
    assert (averse.decision, averse.figures.gate.rule) == ("promoted", "optimal_with_risk")
    assert averse.figures.gate.net_worth_bps.rule == pytest.approx(8.0)
    assert averse.figures.gate.net_candidate_minus_rule.mean_bps == pytest.approx(1.0)
    assert (neutral.decision, neutral.figures.gate.rule) == ("kept", "optimal_with_costs")
    assert against(neutral) == [
        "after costs its gains are worth no more than those of Optimal with costs, a rule that needs no training"
    ]
    assert neutral.figures.gate.net_candidate_minus_rule.mean_bps == pytest.approx(9.0 - bold.mean())


def test_a_candidate_that_keeps_more_than_the_rule_and_is_worth_less_for_its_losses_is_refused():
    daring, rule = np.where(LOSING, -30.0, 20.0), np.full(200, 8.0)
    net = {"optimal_with_costs": rule, "optimal_with_risk": rule, "candidate": daring, "champion": daring}
    averse, neutral = (compare(orders_of({}, net, risk_aversion), HOW) for risk_aversion in (2.0, 0.0))
    means = averse.figures.gate.net_mean_bps
    assert (means.candidate, means.rule) == (10.0, 8.0)
    assert averse.figures.gate.net_candidate_minus_rule.mean_bps == pytest.approx(
        10.0 - 0.2 * (0.25**2 + 0.5 * 0.35) * SIGMA - 8.0
    )
    assert [verdict.decision for verdict in (averse, neutral)] == ["kept", "promoted"]


def test_a_gain_is_worth_itself_and_a_loss_more_the_more_averse_the_order_and_the_calmer_the_market():
    net = pd.Series([10.0, -10.0])
    assert worth(net, 50.0, 1.0).tolist() == pytest.approx([10.0, -11.0])
    assert worth(net, pd.Series([50.0, 40.0]), 2.0).tolist() == pytest.approx([10.0, -12.5])
    far = pd.Series([-100.0])
    assert worth(far, 50.0, 1.0).tolist() == pytest.approx([-100.0 - 50.0 / 2 * (0.25**2 + 0.5 * 1.75)])
    table = worth(pd.DataFrame({"a": [10.0, -10.0], "b": [-10.0, 10.0]}), pd.Series([50.0, 40.0]), 2.0)
    assert table.to_numpy().tolist() == pytest.approx(np.array([[10.0, -12.0], [-12.5, 10.0]]))


def test_a_candidate_that_times_the_wrong_way_round_may_not_trade(universe):
    verdict = judge(PANEL, universe, GATE_START, contender(BAD, "new"), contender(late(), "old"))
    assert verdict.decision == "kept"
    assert not verdict.sound
    assert [reason[:31] for reason in verdict.reasons] == ["like a model of shuffled targets"[:31]]


def test_a_window_that_was_not_read_whole_is_refused(universe):
    holed = Contender("new", GOOD, GATE_START, holes=(START,))
    verdict = judge(PANEL, universe, GATE_START, holed, None)
    assert (verdict.decision, verdict.sound) == ("none", False)
    assert verdict.reasons == ["trained on a window with a hole: 1 of its partitions were not read: 2024-01-01"]


def test_the_same_model_again_is_kept(universe):
    verdict = judge(PANEL, universe, GATE_START, contender(GOOD), contender(GOOD))
    assert verdict.decision == "kept"
    assert verdict.reasons == ["the candidate is the champion: the same inputs gave the same model"]


def test_a_window_without_orders_promotes_nobody(universe):
    empty = replace(PANEL, vwap_NT=PANEL.vwap_NT.copy())
    empty.vwap_NT[:, 24 * 4 :] = float("nan")
    verdict = judge(empty, universe, GATE_START, contender(GOOD), None)
    assert verdict.decision == "none"
    assert verdict.reasons == [f"no order without a gap arrives from {GATE_START} on: nothing to judge"]


def test_only_orders_of_the_window_count(universe):
    gate = judge(PANEL, universe, GATE_START, contender(GOOD), None).figures.gate
    inside = (PANEL.date_T >= GATE_START) & PANEL.accepted(universe.horizon)
    assert gate.orders == inside.sum() * 3 * 8


def test_the_verdict_does_not_depend_on_bars_before_the_warm_up(universe):
    pair = contender(late(), "new"), contender(GOOD, "old")
    whole, cut = (judge(panel, universe, GATE_START, *pair) for panel in (PANEL, PANEL.cut(60, PANEL.bars)))
    assert whole.decision == cut.decision
    assert whole.figures.gate.mean_bps.twap == cut.figures.gate.mean_bps.twap
