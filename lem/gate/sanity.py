"""The sanity checks of the promotion gate: what a model must fulfil to trade at all, however much it gains.

It read all of its window, its weights and decisions are finite, it looks at no later bar (`lem.gate.causality`), it
asks for schedules that keep the order's budget and limits, and it passes two controls:

- **Random walk.** On a simulated driftless market with the pipeline's own features it gains no more than the
  dynamic-programming bound, and nothing where m = N (`lem.backtest.random_walk`).
- **Shuffled targets.** Each order of the gate is executed twice: by the model's decisions on it, and by its decisions
  on another order, drawn at random from the same asset's. The first must earn more, and the second nothing. A model
  that was trained on shuffled targets knows nothing of the prices on which it decides, and fails; so does an evaluation
  that credits decisions which know nothing. This is a permutation test (Ojala and Garriga, "Permutation tests for
  studying classifier performance", JMLR 11, 2010) of decisions, not of labels: no model is trained for it.

Shapes: A = arrivals, M = limits, S = scenarios, O = (A, M, S), K = bars of the horizon, T = bars.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from lem.backtest.bootstrap import clustered_mean, day_blocks
from lem.backtest.market import market_of, spread
from lem.backtest.random_walk import random_walk
from lem.backtest.simulator import simulate
from lem.data.panel import Panel
from lem.execution.costs import BPS
from lem.execution.orders import SCENARIOS
from lem.execution.terms import terms_for
from lem.gate.causality import model_is_causal
from lem.lineage.keys import name_missing
from lem.model.lem import LEM
from lem.registry.decision_figures import Check
from lem.strategies.learned import Learned
from lem.strategies.optimal_stopping import OptimalStopping
from lem.strategies.replayed import Replayed
from lem.strategies.watched import Watched
from lem.universe import Universe

ASKED_ARRIVALS, CONTROL_ARRIVALS = 64, 2000
"""Arrivals whose schedules are looked at, and arrivals that the shuffled-target control executes; both spread over the
window."""
CREDIT_ERRORS = 5.0
"""Most that decisions on other orders may earn, in standard errors: blocks of days are few, their tails wide."""
LEARNT = 0.5
"""A model that earns less than this share of what optimal stopping earns has learnt nothing of the prices."""
FEWEST_BLOCKS = 4
"""Fewest blocks of days from which the shuffled-target control can tell anything."""
_NOTHING_BPS = 0.01


def sanity_checks(
    panel: Panel, universe: Universe, gate_start: dt.date, model: LEM, holes: tuple[dt.date, ...] = ()
) -> list[Check]:
    """All checks of a model. If its weights are not finite, the checks that execute it are left out.

    Args:
        panel: the gate's window with the model's warm-up before it, and at least one accepted arrival.
        universe: its orders and features.
        gate_start: first date of the window.
        model: what is checked.
        holes: dates of its training window that the model did not read.
    """
    first = [whole_window(holes), finite_weights(model)]
    if not first[1].passed:
        return first
    inside_T = panel.date_T >= np.datetime64(gate_start)
    asset_A, bar_A = np.nonzero(panel.accepted(universe.horizon) & inside_T)
    return [
        *first,
        causal(panel, model, universe.horizon),
        *schedule_checks(panel, model, universe, asset_A, bar_A),
        random_walk_control(panel.ts_T, inside_T, model, universe),
        shuffled_target_control(panel, model, universe, asset_A, bar_A),
    ]


def whole_window(holes: tuple[dt.date, ...]) -> Check:
    """Whether the model read every partition of its training window."""
    if not holes:
        return Check("whole_window", True, "every partition of the training window was read", {})
    lost = name_missing([str(date) for date in holes])
    text = f"trained on a window with a hole: {len(holes)} of its partitions were not read: {lost}"
    return Check("whole_window", False, text, {"partitions_not_read": len(holes)})


def finite_weights(model: LEM) -> Check:
    """Whether every weight is a finite number."""
    weights = model.state_dict()
    bad = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
    count = sum(tensor.numel() for tensor in weights.values())
    if bad:
        return Check("finite_weights", False, f"weights are not finite: {', '.join(bad[:3])}", {"tensors": len(bad)})
    return Check("finite_weights", True, f"all {count:,} weights are finite", {"weights": count})


def causal(panel: Panel, model: LEM, horizon: int) -> Check:
    """Whether all decisions stay the same when only later bars change."""
    leaks = model_is_causal(panel, model, horizon, Learned(model))
    if leaks:
        text = f"look-ahead: {len(leaks)} decisions change with bars that come later: {'; '.join(leaks[:3])}"
        return Check("causality", False, text, {"leaks": len(leaks)})
    return Check("causality", True, "no decision changes with bars that come later", {"leaks": 0})


def schedule_checks(panel: Panel, model: LEM, universe: Universe, asset_A: NDArray, bar_A: NDArray) -> list[Check]:
    """Whether the slices that the model asks for are finite, sum to one and keep the order's limits.

    They are looked at before the simulator cuts them to what is allowed. The orders have every m of the universe, each
    without rate limits, with a cap of 1.5 / N, and with rates between 0.5 / N and 2 / N.

    Args:
        panel: of the gate.
        model: what is checked.
        universe: its horizon and values of m.
        asset_A: asset row of each arrival.
        bar_A: bar 0 of each arrival.
    """
    horizon, min_bars = universe.horizon, universe.backtest.min_bars
    chosen = spread(len(asset_A), ASKED_ARRIVALS)
    market = market_of(panel, asset_A[chosen], bar_A[chosen], horizon, model)
    rates = [(0.0, 1.0), (0.0, min(1.5 / horizon, 1.0)), (0.5 / horizon, min(2.0 / horizon, 1.0))]
    low_M, high_M = (torch.tensor(ends, dtype=torch.float64).repeat(len(min_bars)) for ends in zip(*rates, strict=True))
    each = tuple(m for m in min_bars for _ in rates)
    terms = terms_for(each, horizon, universe.backtest.risk_aversion)
    terms = replace(terms, min_rate_O=low_M[None, :, None], max_rate_O=high_M[None, :, None])
    watched = Watched(Learned(model))
    simulate(watched, market, terms)
    said = {
        "finite_outputs": ("every slice is finite", "slices that are not finite", ""),
        "budget": ("slices sum to one", "slices that do not sum to one order", "by up to {:.3f} of the order"),
        "caps": (
            "every slice keeps its limits",
            "slices outside of the order's limits",
            "by up to {:.3f} of the order",
        ),
    }
    checks = []
    for name, (good, bad, by) in said.items():
        broken, worst = watched.broken[name], watched.worst[name]
        text = f"{good}: {watched.asked:,} asked for"
        if broken:
            text = f"asks for {bad}: {broken:,} of {watched.asked:,}{f', {by.format(worst)}' if by else ''}"
        checks.append(Check(name, not broken, text, {"slices": watched.asked, "broken": broken, "worst": worst}))
    return checks


def random_walk_control(ts_T: NDArray, inside_T: NDArray, model: LEM, universe: Universe) -> Check:
    """Whether the model gains no more than the bound on a driftless market, and nothing where m = N.

    Args:
        ts_T: bar opens of the gate's panel; the market has the same clock.
        inside_T: bool, the bars of the window.
        model: what is checked.
        universe: see `lem.backtest.random_walk.random_walk`.
    """
    name, gains = "random_walk_control", random_walk(ts_T, inside_T, model, universe)
    if not gains:
        return Check(name, False, "no order on a random walk fits into the window: nothing was tested", {"orders": 0})
    orders = sum(len(SCENARIOS) * found.arrivals for found in gains)
    figures: dict[str, int | float] = {"orders": orders, "assets": gains[0].assets}
    above, said = [], []
    for found in gains:
        m, gain, most = found.min_bars, found.gain, found.bound
        figures[f"gain_sigma_m{m}"], figures[f"bound_sigma_m{m}"] = gain, most
        figures[f"standard_error_m{m}"] = found.error
        said.append(f"{found.excess:+z.3f} at m = N" if found.fixed else f"{gain:.2f} of {most:.2f} at m = {m}")
        if not found.passed:
            above.append(f"{gain:+.3f} sigma at m = {m}, where {most:.3f} can be gained (error {found.error:.3f})")
    if above:
        return Check(name, False, f"gains on a random walk: {'; '.join(above)}", figures)
    return Check(name, True, f"gains on a random walk, in sigma: {', '.join(said)}", figures)


def shuffled_target_control(panel: Panel, model: LEM, universe: Universe, asset_A: NDArray, bar_A: NDArray) -> Check:
    """Whether decisions earn on the prices on which they were made, and nothing on those of another order.

    What they earn must be beyond chance and at least half of what optimal stopping earns, a rule that learns nothing:
    models that were trained on shuffled targets earn about a tenth of that. In bps, over orders with something to time
    (m < N); standard errors are over the gate's blocks of days.

    Args:
        panel: of the gate.
        model: what is checked.
        universe: its horizon, values of m and seed.
        asset_A: asset row of each arrival.
        bar_A: bar 0 of each arrival.
    """
    name, horizon = "shuffled_target_control", universe.horizon
    min_bars = tuple(m for m in universe.backtest.min_bars if m < horizon)
    chosen = spread(len(asset_A), CONTROL_ARRIVALS)
    asset_A, bar_A = asset_A[chosen], bar_A[chosen]
    block_A = day_blocks(panel.date_T[bar_A], universe.purge_days)
    if not min_bars or len(np.unique(block_A)) < FEWEST_BLOCKS:
        lacking = f"{len(np.unique(block_A))} blocks of days" if min_bars else "orders that all have a fixed end"
        return Check(name, True, f"nothing to tell of {lacking}", {"blocks": len(np.unique(block_A))})
    market = market_of(panel, asset_A, bar_A, horizon, model)
    terms = terms_for(min_bars, horizon, universe.backtest.risk_aversion)
    own = simulate(Learned(model), market, terms)
    donor_A = _donors(asset_A, np.random.default_rng(universe.training.seed))
    apart_A = np.abs(bar_A - bar_A[donor_A]) >= horizon
    plain = replace(market, context_AKH=None)
    other = simulate(Replayed(own.slices_KO[:, donor_A], own.end_bar_O[donor_A]), plain, terms)
    rule = simulate(OptimalStopping(), plain, terms)
    own_A, other_A, rule_A = (done.gain_O.mean(dim=(1, 2)).numpy()[apart_A] * BPS for done in (own, other, rule))
    earned, error, blocks = clustered_mean(own_A - other_A, block_A[apart_A])
    credit, credit_error, _ = clustered_mean(other_A, block_A[apart_A])
    own_bps, rule_bps = float(own_A.mean()), float(rule_A.mean())
    figures = {
        "own_bps": own_bps,
        "shuffled_bps": credit,
        "shuffled_error_bps": credit_error,
        "earned_bps": earned,
        "earned_error_bps": error,
        "optimal_stopping_bps": rule_bps,
        "orders": len(own_A) * len(SCENARIOS) * len(min_bars),
        "blocks": blocks,
    }
    needed = max(LEARNT * rule_bps, 2.0 * error + _NOTHING_BPS)
    found = (
        f"{own_bps:+.2f} bps by its own decisions, {credit:+.2f} by those on other orders: {earned:+.2f} "
        f"(standard error {error:.2f}, {blocks} blocks), needed: {needed:.2f}"
    )
    if credit > CREDIT_ERRORS * credit_error + _NOTHING_BPS:
        text = f"decisions on other orders are credited with a gain of {credit:+.2f} bps, error {credit_error:.2f}"
        return Check(name, False, f"{text}: {found}", figures)
    if earned < needed:
        return Check(
            name, False, f"like a model of shuffled targets, it does not decide on the prices: {found}", figures
        )
    return Check(name, True, f"it decides on the prices: {found}", figures)


def _donors(asset_A: NDArray, rng: np.random.Generator) -> NDArray:
    """For each arrival one of the same asset, at random; each is drawn once."""
    donor_A = np.arange(len(asset_A))
    for asset in np.unique(asset_A):
        rows = np.flatnonzero(asset_A == asset)
        donor_A[rows] = rng.permutation(rows)
    return donor_A
