"""The learned strategy: a LEM's allocation heads on the market context of the last closed bar."""

from __future__ import annotations

import torch

from lem.errors import OrderError
from lem.execution.step import FINISH_AT
from lem.model.lem import LEM
from lem.strategies.base import Decision, View


class Learned:
    """Deterministic use of a LEM: it finishes when the probability to finish reaches `FINISH_AT`.

    Args:
        model: put into evaluation mode.
    """

    name = "lem"

    def __init__(self, model: LEM) -> None:
        self.model = model.eval()

    @torch.no_grad()
    def decide(self, view: View) -> Decision:
        """What the heads say of the context.

        Raises:
            OrderError: the market was built without contexts.
        """
        if view.context_AH is None:
            raise OrderError(
                "strategy lem: the market holds no context; build it with the model (market_of(..., model))"
            )
        read_SA1D = self.model.heads.read_context(view.context_AH).unsqueeze(2)
        slice_O, finish_O = self.model.heads.decide(read_SA1D, view.ledger, view.terms, view.last_close_A11, view.k)
        return Decision(slice_O, finish_O >= FINISH_AT)
