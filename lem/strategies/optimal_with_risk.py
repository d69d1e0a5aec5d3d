"""Optimal with costs and risk: the programme that also keeps near to the share that its benchmark has to come.

One number says how much it pays for less risk (`risk` of `lem.theory.programme`): 0 is the rule `optimal_with_costs`,
a large one trades at an even pace. The number is chosen on a model's training window, as a desk would choose it without
a model, and kept with the model; it is what a learned strategy has to beat at equal risk.
"""

from __future__ import annotations

from lem.strategies.base import Setting
from lem.strategies.optimal_with_costs import OptimalWithCosts

MEANING = (
    "Trades and ends the order as “Optimal with costs” does, but also stays near to the share that its benchmark has "
    "still to come; how near was chosen on the training window."
)

RISKS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0)
"""The family: from the best mean to hardly any choice left."""


class OptimalWithRisk(OptimalWithCosts):
    """Trades some of the mean for less risk."""

    name = "optimal_with_risk"


def make(setting: Setting) -> OptimalWithRisk:
    """The rule with the risk of the setting."""
    return OptimalWithRisk(setting.rule_risk)
