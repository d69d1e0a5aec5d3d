"""From a panel to the market of a set of arrivals, with a model's contexts.

Shapes: A = arrivals, K = bars of the horizon, T = bars, H = context.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lem.backtest.simulator import Market
from lem.data.features import season_slots
from lem.data.panel import Panel, order_tape
from lem.model.lem import LEM
from lem.numerics import reproducible


@torch.no_grad()
def context_of(panel: Panel, model: LEM) -> torch.Tensor:
    """Context of every bar of the panel, (N, T, H), each asset's sequence starting from a zero state at its first
    bar."""
    with reproducible():
        return model.eval().encode(torch.from_numpy(panel.features_NTF), torch.from_numpy(panel.valid_NT))


def contexts_at(context_NTH: torch.Tensor, asset_A: NDArray, bar_A: NDArray, horizon: int) -> torch.Tensor:
    """What orders with bar 0 at `bar_A` may see, (A, K, H): for slice k the context of bar k-1, the last to close."""
    before_AK = bar_A[:, None] + np.arange(horizon) - 1
    return context_NTH[asset_A[:, None], before_AK.clip(0, context_NTH.shape[1] - 1)]


def market_of(panel: Panel, asset_A: NDArray, bar_A: NDArray, horizon: int, model: LEM | None = None) -> Market:
    """The market of orders whose bar 0 is `bar_A` of asset row `asset_A`. Slice k will see the context of bar k-1."""
    tape = order_tape(panel, asset_A, bar_A, horizon)
    at_AK = bar_A[:, None] + np.arange(horizon)
    slot_T = season_slots(panel.ts_T, panel.bars_per_day)
    context_AKH = None if model is None else contexts_at(context_of(panel, model), asset_A, bar_A, horizon)
    return Market(
        price_AK=torch.from_numpy(tape.price_AK),
        volume_AK=torch.from_numpy(tape.volume_AK),
        last_close_AK=torch.from_numpy(tape.last_close_AK),
        sigma_A=torch.from_numpy(tape.sigma_A),
        accepted_A=torch.from_numpy(panel.accepted(horizon)[asset_A, bar_A]),
        context_AKH=context_AKH,
        slot_AK=torch.from_numpy(slot_T[at_AK.clip(0, panel.bars - 1)]),
    )


def spread(count: int, most: int) -> NDArray:
    """At most `most` of `count` places, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))
