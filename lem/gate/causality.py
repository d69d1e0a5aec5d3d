"""Proof by perturbation that no model looks ahead: change every later bar, and every earlier decision keeps its bits.

The asset checks run it on real partitions, the tests on random ones; for features see `lem.data.feature_causality`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from lem.backtest.market import market_of
from lem.backtest.simulator import Market, simulate
from lem.data.panel import Panel
from lem.execution.terms import terms_for
from lem.model.lem import LEM
from lem.strategies.base import Strategy


def perturbed_panel(panel: Panel, first: int, seed: int = 0) -> Panel:
    """The panel with other features and another tape from one bar on.

    Args:
        panel: stays as it is.
        first: the first bar that is changed.
        seed: of the changes.
    """
    rng = np.random.default_rng(seed)

    def shake(values: np.ndarray) -> np.ndarray:
        out = values.copy()
        out[:, first:] *= np.exp(rng.normal(0.0, 0.3, out[:, first:].shape)).astype(out.dtype)
        return out

    features = panel.features_NTF.copy()
    features[:, first:] += rng.normal(0.0, 1.0, features[:, first:].shape).astype(np.float32)
    valid = panel.valid_NT.copy()
    valid[:, first:] &= rng.random(valid[:, first:].shape) < 0.8
    return replace(
        panel,
        features_NTF=features,
        valid_NT=valid,
        vwap_NT=shake(panel.vwap_NT),
        close_NT=shake(panel.close_NT),
        volume_NT=shake(panel.volume_NT),
        sigma_NT=shake(panel.sigma_NT),
        mean_volume_NT=shake(panel.mean_volume_NT),
    )


def first_slice_changed(strategy: Strategy, market: Market, other: Market, min_bars: tuple[int, ...]) -> int | None:
    """First bar in which the strategy trades otherwise on another market; None when all slices have the same bits.

    Args:
        strategy: what decides.
        market: of some arrivals.
        other: of the same arrivals.
        min_bars: the values of m.
    """
    terms = terms_for(min_bars, market.price_AK.shape[1], 1.0)
    one, two = (simulate(strategy, each, terms).slices_KO for each in (market, other))
    differing = [k for k in range(len(one)) if not torch.equal(one[k], two[k])]
    return differing[0] if differing else None


def model_is_causal(panel: Panel, model: LEM, horizon: int, strategy: Strategy, arrivals: int = 3) -> list[str]:
    """Decisions that change when only later bars change, as sentences: empty for a causal model.

    For each k of the horizon, bar k of an order and everything after it is changed: slices 0..k must keep their bits,
    because slice k is decided before bar k opens.

    Args:
        panel: with at least one accepted arrival.
        model: that makes the contexts.
        horizon: N.
        strategy: what decides with them.
        arrivals: number of arrivals that are tried, spread over the panel.
    """
    asset_X, bar_X = np.nonzero(panel.accepted(horizon))
    chosen = np.unique(np.linspace(0, len(asset_X) - 1, min(arrivals, len(asset_X))).astype(int))
    problems = []
    for asset, bar in zip(asset_X[chosen], bar_X[chosen], strict=True):
        # One asset and the bars around the order are enough: a leak is a matter of bars, not of the history's length.
        first = max(0, bar - 2 * horizon)
        near = panel.of([panel.assets[asset]]).cut(first, bar + 2 * horizon)
        place = (np.array([0]), np.array([bar - first]))
        market = market_of(near, *place, horizon, model)
        for k in range(horizon):
            changed = perturbed_panel(near, int(bar - first) + k, seed=k)
            slice_ = first_slice_changed(strategy, market, market_of(changed, *place, horizon, model), (1, horizon))
            if slice_ is not None and slice_ <= k:
                problems.append(f"{panel.assets[asset]} bar {bar}: slice {slice_} changes with bar {k}")
    return problems
