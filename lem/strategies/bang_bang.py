"""Bang-bang: one of two paces, by the sign of side * (last close - running benchmark).

The last close is on the good side when it is below the running benchmark for a buy, above it for a sell. With R the
remaining share and N - k the bars left, bar k trades

- fast, where it is good: 2 * max(1 / N, R / (N - k)), twice TWAP's slice, or twice the even pace where that is more;
- slow, otherwise and in bar 0, where nothing is known: R / (N - k) / 2, half the even pace over the bars left.

It never asks to finish: the order ends in the first bar in which it may end (m or later) and nothing is left, which is
bar N / 2 at the earliest.
"""

from __future__ import annotations

import torch

from lem.execution.fills import benchmark
from lem.strategies.base import Decision, Setting, View

MEANING = (
    "Trades fast while the last price is better than the running benchmark, slow while it is worse, until nothing is "
    "left."
)

FAST, SLOW = 2.0, 0.5
"""Multiples of the even pace."""


class BangBang:
    """Trades fast while the price is better than the benchmark, slow while it is worse."""

    name = "bang_bang"

    def decide(self, view: View) -> Decision:
        """Fast or slow, never to finish."""
        terms, remaining_O = view.terms, view.ledger.remaining_O
        even_O = remaining_O / (terms.n_O - view.k).clamp(min=1.0)
        good_O = terms.sign_O * (view.last_close_A11 - benchmark(view.ledger)) < 0
        slice_O = torch.where(good_O, FAST * torch.maximum(even_O, 1.0 / terms.n_O), SLOW * even_O)
        return Decision(slice_O, torch.zeros_like(slice_O, dtype=torch.bool))


def make(setting: Setting) -> BangBang:
    """The rule; nothing of the setting matters to it."""
    return BangBang()
