"""Proof by perturbation that no model looks ahead: change every later bar, and every earlier decision keeps its bits.

The asset checks run it on real partitions, the tests on random ones; for features see `lem.data.feature_causality`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import torch

from lem.backtest.market import market_of
from lem.backtest.simulator import simulate
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


def _side_by_side(panels: Sequence[Panel]) -> Panel:
    """Panels of one asset and the same bars as one panel, an asset of its own for each."""
    rows = {
        f.name: np.concatenate([getattr(panel, f.name) for panel in panels]) for f in fields(Panel) if "_N" in f.name
    }
    return replace(panels[0], assets=tuple(f"{row}" for row in range(len(panels))), **rows)


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
    terms = terms_for((1, horizon), horizon, 1.0)
    problems = []
    for asset, bar in zip(asset_X[chosen], bar_X[chosen], strict=True):
        # One asset and the bars around the order are enough: a leak is a matter of bars, not of the history's length.
        first = max(0, bar - 2 * horizon)
        near, at = panel.of([panel.assets[asset]]).cut(first, bar + 2 * horizon), int(bar - first)
        changed = [perturbed_panel(near, at + k, seed=k) for k in range(horizon)]
        # As often as it is changed, so that each row meets its like at the same place of every matrix product.
        as_it_is = [near] * horizon
        place = (np.arange(horizon), np.full(horizon, at))
        one_KA, two_KA = (
            simulate(strategy, market_of(_side_by_side(each), *place, horizon, model), terms).slices_KO
            for each in (as_it_is, changed)
        )
        for k in range(horizon):
            same_K = [torch.equal(one_KA[j, k], two_KA[j, k]) for j in range(horizon)]
            if not all(same_K[: k + 1]):
                problems.append(f"{panel.assets[asset]} bar {bar}: slice {same_K.index(False)} changes with bar {k}")
    return problems
