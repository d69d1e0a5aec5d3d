"""A strategy under watch: what it asks for, before the simulator cuts it to what the order allows."""

from __future__ import annotations

import torch
from torch import Tensor

from lem.execution.fills import limits, may_finish, must_finish
from lem.execution.orders import TOLERANCE
from lem.strategies.base import Decision, Strategy, View

SLACK = 1e-6
"""Of shares asked for: the heads compute in float32."""


class Watched:
    """Decides as `strategy` does, and counts the slices that break a rule of their order.

    The rules are `finite_outputs` (the slice is a number), `budget` (it is no more than what remains, and bar N leaves
    nothing) and `caps` (it lies between the smallest and the largest rate, and the order ends only where it may).
    `asked` is the number of slices looked at. By rule, `broken` is the number of slices that break it, and `worst` the
    largest share of an order by which one does.

    Args:
        strategy: the one under watch.
    """

    def __init__(self, strategy: Strategy) -> None:
        self.strategy, self.name = strategy, strategy.name
        self.asked = 0
        self.broken = {"finite_outputs": 0, "budget": 0, "caps": 0}
        self.worst = dict.fromkeys(self.broken, 0.0)

    def decide(self, view: View) -> Decision:
        """The decision of `strategy`, with slices that are no number as 0."""
        decision = self.strategy.decide(view)
        ledger, terms, k = view.ledger, view.terms, view.k
        open_O, finish_O = ledger.remaining_O > TOLERANCE, decision.finish_O
        known_O = torch.isfinite(decision.slice_O)
        slice_O = torch.where(known_O, decision.slice_O, 0.0).to(ledger.remaining_O.dtype)
        low_O, high_O = limits(ledger, terms, k)
        ends_O = finish_O | must_finish(ledger, terms, k)
        # An order that ends trades all that remains: more than that or less is not its size.
        untraded_O = torch.where(~finish_O & (terms.n_O <= k + 1), (ledger.remaining_O - slice_O).abs(), 0.0)
        excess_O = (slice_O - ledger.remaining_O).clamp(min=0.0)
        outside_O = torch.maximum(low_O - slice_O, slice_O - terms.max_rate_O).clamp(min=0.0)
        early_O = finish_O & ~(may_finish(ledger, terms, k) | must_finish(ledger, terms, k))
        too_much_O = (ledger.remaining_O - high_O).clamp(min=0.0)
        self._note("finite_outputs", open_O & ~known_O, torch.ones_like(slice_O))
        budget_O = torch.where(ends_O, untraded_O, excess_O)
        self._note("budget", open_O & (budget_O > SLACK), budget_O)
        caps_O = torch.where(early_O, too_much_O, torch.where(ends_O, 0.0, outside_O))
        self._note("caps", open_O & (early_O | (caps_O > SLACK)), caps_O)
        self.asked += int(open_O.sum())
        return Decision(slice_O, finish_O)

    def _note(self, check: str, broken_O: Tensor, by_O: Tensor) -> None:
        if broken_O.any():
            self.broken[check] += int(broken_O.sum())
            self.worst[check] = max(self.worst[check], float(by_O.expand_as(broken_O)[broken_O].max()))
