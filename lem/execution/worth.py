"""What a gain is worth to an order that fears losses: one definition for training, gate, rules and benchmarks.

An order with risk aversion lambda values the gains g of its strategy, in sigma after costs, at E[g] - lambda/2 E[h(g)].
The paper's h is g^2 (arXiv 2509.25211), which punishes a gain like a loss. Here it is the shortfall: the square of a
loss, and beyond `TAIL` its tangent. Volume and price make tails that a square would let a handful of crashes decide.
"""

from __future__ import annotations

from torch import Tensor

TAIL = 0.25
"""Losses beyond so many sigma count linearly, as they do in an expected shortfall."""


def shortfall(g: Tensor) -> Tensor:
    """h(g): min(g, 0)^2 down to -TAIL, and its tangent below, for gains in sigma."""
    loss = (-g).clamp(min=0.0)
    inside = loss.clamp(max=TAIL)
    return inside**2 + 2 * TAIL * (loss - inside)


def worth(g: Tensor, risk_aversion: Tensor | float) -> Tensor:
    """G - lambda/2 h(g) of each gain, in sigma.

    Args:
        g: gains after costs, in sigma.
        risk_aversion: lambda.
    """
    return g - risk_aversion / 2 * shortfall(g)
