"""Static volume curve: trade in proportion to the usual volume of each bar's time of day, up to bar N.

Shapes: W = slots of the clock (`lem.data.features.season_slots`), K = bars of the horizon, A = arrivals, N, T as in
`lem.data.panel`.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lem.data.features import clock_slots
from lem.data.panel import Panel
from lem.errors import OrderError
from lem.strategies.base import Decision, Setting, View

MEANING = "Trades in proportion to the volume that each bar’s time of day usually has, up to bar N."


def fit_volume_curve(panel: Panel) -> NDArray[np.float64]:
    """Volume by slot of the clock, (W,), of mean 1: mean of volume / trailing mean volume over the panel's valid bars.

    All assets are pooled. A slot without data gets 1, the mean of the others; a panel without data gives a flat curve.
    """
    count = clock_slots(panel.bars_per_day)
    slot_NT = np.broadcast_to(panel.slot_T, panel.valid_NT.shape)
    slots_X = slot_NT[panel.valid_NT]
    ratios_X = panel.volume_NT[panel.valid_NT] / panel.mean_volume_NT[panel.valid_NT]
    bars_W = np.bincount(slots_X, minlength=count)
    mean_W = np.bincount(slots_X, weights=ratios_X, minlength=count) / np.maximum(bars_W, 1)
    known_W = bars_W > 0
    if not known_W.any():
        return np.ones(count)
    return np.where(known_W, mean_W / mean_W[known_W].mean(), 1.0)


class VolumeCurve:
    """Slice k is the remaining share times w_k / sum of w_j over k <= j < N: it never ends early.

    Args:
        curve_W: relative volume of each slot of the clock, as fitted in training and kept with the model
            (`volume_curve_W`). None (there is no model) or a single slot (the model was never trained) is a flat curve,
            which trades like TWAP.

    Raises:
        OrderError: the curve is not positive.
    """

    name = "volume_curve"

    def __init__(self, curve_W: Tensor | None = None) -> None:
        if curve_W is not None and not (torch.isfinite(curve_W) & (curve_W > 0)).all():
            raise OrderError(f"volume_curve: weights {curve_W.tolist()}; allowed: finite and above 0")
        self.curve_W = None if curve_W is None or len(curve_W) == 1 else curve_W.detach().double()

    def decide(self, view: View) -> Decision:
        """A slice by the curve, never to finish.

        Raises:
            OrderError: the market has no clock, or one with more slots than the curve.
        """
        before_AK = F.pad(self._weights(view).cumsum(1), (1, 0))
        rows_A11 = torch.arange(len(before_AK))[:, None, None]
        at_A11 = before_AK[:, view.k, None, None]
        left_O = before_AK[rows_A11, view.terms.n_O.long()] - at_A11
        weight_A11 = before_AK[:, view.k + 1, None, None] - at_A11
        share_O = torch.where(view.terms.n_O > view.k + 1, weight_A11 / left_O, 1.0)
        slice_O = view.ledger.remaining_O * share_O
        return Decision(slice_O, torch.zeros_like(slice_O, dtype=torch.bool))

    def _weights(self, view: View) -> Tensor:
        """Usual volume of each of the order's bars, (A, K)."""
        if self.curve_W is None:
            bars = int(view.terms.n_O.max())
            return torch.ones(len(view.last_close_A11), max(bars, view.k + 1), dtype=torch.float64)
        if view.slot_AK is None:
            raise OrderError(
                "strategy volume_curve: the market has no clock; build it from a panel (market_of) or give slot_AK"
            )
        if (view.slot_AK >= len(self.curve_W)).any():
            raise OrderError(
                f"strategy volume_curve: slot {int(view.slot_AK.max())} of the clock on a curve of "
                f"{len(self.curve_W)} slots; allowed: a model trained on bars of this length"
            )
        return self.curve_W[view.slot_AK]


def make(setting: Setting) -> VolumeCurve:
    """The rule with the curve of the setting."""
    return VolumeCurve(setting.curve_W)
