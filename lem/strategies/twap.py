"""TWAP: the same slice in every bar up to the longest end, 1 / N of the order."""

from __future__ import annotations

import torch

from lem.strategies.base import Decision, Setting, View

MEANING = "Trades the same amount in every bar, up to bar N."


class Twap:
    """The simplest strategy: it never ends early, so it gains nothing from the freedom to do so."""

    name = "twap"

    def decide(self, view: View) -> Decision:
        """A slice of 1 / N, never to finish."""
        slice_O = (1.0 / view.terms.n_O).expand_as(view.ledger.remaining_O)
        return Decision(slice_O, torch.zeros_like(slice_O, dtype=torch.bool))


def make(setting: Setting) -> Twap:
    """The rule; nothing of the setting matters to it."""
    return Twap()
