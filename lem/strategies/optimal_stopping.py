"""Optimal stopping: even pace until the dynamic-programming threshold says to finish (lem.backtest.bounds).

Optimal for the mean gain on a driftless market; on a real one it is the rule that a learned strategy has to beat.
"""

from __future__ import annotations

import torch

from lem.backtest.bounds import stopping_rule
from lem.execution import benchmark
from lem.strategies.base import Decision, View


class OptimalStopping:
    """Finish in bar k when side * (last close - running benchmark) / sigma is at or below the threshold of (m, N,
    k)."""

    name = "optimal_stopping"

    def decide(self, view: View) -> Decision:
        terms = view.terms
        distance_O = terms.sign_O * (view.last_close_A11 - benchmark(view.ledger)) / terms.sigma_O
        m_O, n_O = (x.long() for x in torch.broadcast_tensors(terms.m_O, terms.n_O))
        pairs, inverse = torch.unique(torch.stack([m_O.flatten(), n_O.flatten()]), dim=1, return_inverse=True)
        limit = torch.tensor(
            [
                stopping_rule(int(m), int(n)).threshold[view.k] if view.k < n else float("inf")
                for m, n in pairs.T.tolist()
            ],
            dtype=distance_O.dtype,
        )
        finish_O = distance_O <= limit[inverse].view_as(m_O)
        return Decision((1.0 / terms.n_O).expand_as(distance_O), finish_O)
