"""Optimal with costs: the pace and the end of the dynamic programme that knows what slices cost.

Optimal for the mean gain after costs on a driftless market (`lem.theory.programme`). On a real one it is what a
learned strategy has to beat after costs; optimal stopping, which knows no costs, is what it has to beat before them.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from lem.execution.fills import benchmark, may_finish
from lem.strategies.base import Decision, Setting, View
from lem.theory.programme import WIDTH, solve

MEANING = (
    "Trades and ends the order as is best on a driftless random walk where slices pay the assumed impact. It needs no "
    "training, so it is what the model must beat after costs."
)

LEAST = 1e-3
"""Impact of an order that has none, in sigma."""


class OptimalWithCosts:
    """Trades at the programme's pace, and finishes where that is worth more than going on.

    Fees and half spread change nothing that could be decided. Where there is no impact, all schedules are as good, and
    it trades as one that would pay least.

    Args:
        risk: what it pays for less risk (`lem.theory.programme`).
    """

    name = "optimal_with_costs"

    def __init__(self, risk: float = 0.0) -> None:
        self.risk = risk

    def decide(self, view: View) -> Decision:
        """The programme's slice, and whether to finish; each order by its own m, N, impact and cap."""
        terms, ledger, k = view.terms, view.ledger, view.k
        distance_O = terms.sign_O * (view.last_close_A11 - benchmark(ledger)) / terms.sigma_O
        # Few limits are shared by many orders: they are told apart before they are spread over all of them.
        impact_O = terms.whole_impact_O.clamp(min=LEAST)
        limits = torch.broadcast_tensors(terms.m_O, terms.n_O, terms.max_rate_O, impact_O)
        found, of_O = torch.unique(torch.stack([x.double() for x in limits]).flatten(1), dim=1, return_inverse=True)
        of_O, distance_O, remaining_O = torch.broadcast_tensors(
            of_O.view(limits[0].shape), distance_O, ledger.remaining_O
        )
        slice_O, go_O = torch.empty_like(distance_O), torch.empty_like(distance_O)
        for place, (m, n, cap, impact) in enumerate(found.T.tolist()):
            chosen_O = of_O == place
            pace, go = _tables(int(m), int(n), impact, cap, self.risk)
            at = min(k, int(n) - 1)
            slice_O[chosen_O] = _read(pace[at], distance_O[chosen_O], remaining_O[chosen_O])
            go_O[chosen_O] = _read(go[at], distance_O[chosen_O], remaining_O[chosen_O])
        finish_O = -k * distance_O / (k + 1) - impact_O * remaining_O.clamp(min=0.0) ** 1.5
        return Decision(slice_O, (finish_O >= go_O) & may_finish(ledger, terms, k))


@lru_cache(maxsize=512)
def _tables(m: int, n: int, impact: float, cap: float, risk: float) -> tuple[Tensor, Tensor]:
    """Pace and value of going on, float64 of shape (N, D, R)."""
    solved = solve(m, n, impact, cap, risk)
    return torch.from_numpy(solved.pace_KDR), torch.from_numpy(np.ascontiguousarray(solved.go_KDR))


def _read(table_DR: Tensor, distance_X: Tensor, remaining_X: Tensor) -> Tensor:
    """The table between its grid points, by straight lines; beyond |d| = WIDTH as at the edge."""
    points, shares = table_DR.shape
    row_X = ((distance_X.double() + WIDTH) / (2 * WIDTH) * (points - 1)).clamp(0, points - 1)
    column_X = (remaining_X.double() * (shares - 1)).clamp(0, shares - 1)
    i_X, j_X = row_X.long().clamp(max=points - 2), column_X.long().clamp(max=shares - 2)
    u_X, v_X = row_X - i_X, column_X - j_X
    low_X = torch.lerp(table_DR[i_X, j_X], table_DR[i_X, j_X + 1], v_X)
    high_X = torch.lerp(table_DR[i_X + 1, j_X], table_DR[i_X + 1, j_X + 1], v_X)
    return torch.lerp(low_X, high_X, u_X).to(distance_X.dtype)


def make(setting: Setting) -> OptimalWithCosts:
    """The rule; what trading costs stands in the orders' terms."""
    return OptimalWithCosts()
