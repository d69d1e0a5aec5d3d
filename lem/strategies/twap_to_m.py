"""TWAP to m: the same slice in every bar up to the first bar in which the order may end, 1 / m of the order."""

from __future__ import annotations

from lem.strategies.base import Decision, Setting, View

MEANING = "The same, up to the first bar in which the order may end."


class TwapToM:
    """As short as the order allows. Under a cap below 1 / m it goes on at the cap until the rest fits into a bar."""

    name = "twap_to_m"

    def decide(self, view: View) -> Decision:
        """A slice of 1 / m; to finish from the first bar on in which the order may end."""
        slice_O = (1.0 / view.terms.m_O).expand_as(view.ledger.remaining_O)
        return Decision(slice_O, (view.terms.m_O <= view.k + 1).expand(slice_O.shape))


def make(setting: Setting) -> TwapToM:
    """The rule; nothing of the setting matters to it."""
    return TwapToM()
