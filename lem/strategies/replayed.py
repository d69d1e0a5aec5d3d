"""A schedule that was decided elsewhere, executed once more."""

from __future__ import annotations

from torch import Tensor

from lem.strategies.base import Decision, View


class Replayed:
    """Trades given slices and ends when they say, whatever the market does.

    Args:
        slices_KO: share of each order in each bar, (K, A, M, S).
        end_O: bars used, 1 to N, (A, M, S).
    """

    name = "replayed"

    def __init__(self, slices_KO: Tensor, end_O: Tensor) -> None:
        self.slices_KO, self.end_O = slices_KO, end_O

    def decide(self, view: View) -> Decision:
        """The given slice; to finish in the given bar."""
        return Decision(self.slices_KO[view.k], self.end_O <= view.k + 1)
