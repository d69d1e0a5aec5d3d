"""From a panel to the market of a set of arrivals, with a model's contexts.

Shapes: A = arrivals, K = bars of the horizon, T = bars, H = context.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lem.backtest.simulator import Market
from lem.data.panel import Panel, order_tape
from lem.model.lem import LEM
from lem.numerics import reproducible


@torch.no_grad()
def context_of(panel: Panel, model: LEM) -> torch.Tensor:
    """Context of every bar of the panel, (N, T, H).

    The sequence of each asset starts from a zero state at the panel's first bar.
    """
    with reproducible():
        return model.eval().encode(torch.from_numpy(panel.features_NTF), torch.from_numpy(panel.valid_NT))


def contexts_at(context_NTH: torch.Tensor, asset_A: NDArray, bar_A: NDArray, horizon: int) -> torch.Tensor:
    """What orders may see, (A, K, H): for slice k the context of bar k-1, the last that has closed.

    Args:
        context_NTH: of every bar of the panel.
        asset_A: asset row of each order.
        bar_A: bar 0 of each order.
        horizon: K.
    """
    before_AK = bar_A[:, None] + np.arange(horizon) - 1
    return context_NTH[asset_A[:, None], before_AK.clip(0, context_NTH.shape[1] - 1)]


def market_of(panel: Panel, asset_A: NDArray, bar_A: NDArray, horizon: int, model: LEM | None = None) -> Market:
    """The market of some orders. Slice k will see the context of bar k-1.

    Args:
        panel: with the bars of the orders and the warm-up before them.
        asset_A: asset row of each order.
        bar_A: bar 0 of each order.
        horizon: K.
        model: that makes the contexts; None for rules only.
    """
    tape = order_tape(panel, asset_A, bar_A, horizon)
    at_AK = bar_A[:, None] + np.arange(horizon)
    context_AKH = None if model is None else contexts_at(context_of(panel, model), asset_A, bar_A, horizon)
    return Market(
        price_AK=torch.from_numpy(tape.price_AK),
        volume_AK=torch.from_numpy(tape.volume_AK),
        last_close_AK=torch.from_numpy(tape.last_close_AK),
        sigma_A=torch.from_numpy(tape.sigma_A),
        accepted_A=torch.from_numpy(panel.accepted(horizon)[asset_A, bar_A]),
        context_AKH=context_AKH,
        slot_AK=torch.from_numpy(panel.slot_T[at_AK.clip(0, panel.bars - 1)]),
    )


def spread(count: int, most: int) -> NDArray:
    """Numbers of at most `most` out of `count` places, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))
