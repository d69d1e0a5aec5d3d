"""Optimal stopping: even pace until the dynamic-programming threshold says to finish (lem.strategies.bounds).

Optimal for the mean gain on a driftless market; on a real one it is the rule that a learned strategy has to beat.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lem.execution.fills import benchmark
from lem.execution.terms import Terms
from lem.strategies.base import Decision, Setting, View
from lem.strategies.bounds import Fills, stopping_rule

MEANING = (
    "Trades evenly and ends the order by the rule that is best on a driftless random walk where trading costs nothing: "
    "it does not know costs. It needs no training, so it is what the model must beat before costs."
)


def stopping_thresholds(terms: Terms, k: int, fills: Fills = "bar") -> Tensor:
    """Threshold of each order in bar k, float64, of the shape of m and N; +inf in its last bar and after it.

    Looked up in a table of the (m, N) that occur: many orders share few of them.

    Args:
        terms: of the orders.
        k: bar of the orders, 0-based.
        fills: the market that the thresholds are optimal for, see `lem.strategies.bounds`.
    """
    m_O, n_O = (x.long() for x in torch.broadcast_tensors(terms.m_O, terms.n_O))
    size = int(n_O.max()) + 1
    pair_O = m_O * size + n_O
    occurs = torch.zeros(size * size, dtype=torch.bool)
    occurs[pair_O.flatten()] = True
    table = torch.full((size * size,), float("inf"), dtype=torch.float64)
    for pair in occurs.nonzero().flatten().tolist():
        m, n = divmod(pair, size)
        if k < n:
            table[pair] = stopping_rule(m, n, fills).threshold[k]
    return table[pair_O]


class OptimalStopping:
    """Finishes when side * (last close - running benchmark) / sigma is at or below the threshold of (m, N, k).

    Args:
        fills: the market that the thresholds are optimal for, see `lem.strategies.bounds`.
    """

    name = "optimal_stopping"

    def __init__(self, fills: Fills = "bar") -> None:
        self._fills = fills

    def decide(self, view: View) -> Decision:
        """A slice of 1 / N; to finish at the threshold or below."""
        terms = view.terms
        distance_O = terms.sign_O * (view.last_close_A11 - benchmark(view.ledger)) / terms.sigma_O
        finish_O = distance_O <= stopping_thresholds(terms, view.k, self._fills)
        return Decision((1.0 / terms.n_O).expand_as(distance_O), finish_O)


def make(setting: Setting) -> OptimalStopping:
    """The rule with the thresholds of `bar` fills, whatever the setting."""
    return OptimalStopping()
