"""The dynamic programme of every order in one table: any N, m, impact, cap and appetite for risk, at any moment.

`lem.theory.programme` solves one order; here all are solved on coarse grids, once, and read between their points. Two
arrays hold what is best:

- `margin` (E, C, U, P, F, D), float16: value of finishing less that of going on, in sigma, for every N and k, where
  nothing is to wait for and what remains fits into a bar,
- `pace` (S, C, U, P, V, D), uint8: where the best slice lies between the smallest and the largest that are allowed, in
  255ths, for every N, k and number of bars to wait before the order may end (m - 1 - k, at least 0).

The axes: C the impact, U the cap as log(cap N) / log N, P the price of risk, D the distance d, and V what remains:
R / cap up to 1, then 1 + (R - cap) / (1 - cap).

They are solved for the N of `BARS`. Another order is read as the next longer one, or as the longest, with bars that are
longer or shorter: a Brownian motion looks the same after stretching time by s, with sigma sqrt(s) times as large,
impact in it 1 / s times and the cap s times.

Shapes: S = (N, k, wait), E = (N, k), F = the part of V up to 1, O = orders; inside `_solve` X = even grid of what
remains, Y = even grid of d, Z = steps of a slice, W = bars to wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lem.execution.terms import Terms
from lem.theory.programme import NEVER, WIDTH, benchmark_ahead, transition

BARS = (2, 3, 4, 6, 8, 12)
"""N of the orders that are solved."""
C = torch.tensor([1e-3, 0.1, 0.2236, 0.5, 1.1])
"""Impacts of a whole order in a bar, in sigma. The first is for none: the pace is then the one that would pay least."""
U = torch.tensor([0.0, 0.2, 0.45, 0.72, 1.0])
P = torch.tensor([0.0, 0.05, 0.2, 0.8])
V = torch.tensor([0.05, 0.15, 0.3, 0.5, 0.75, 1.0, 1.15, 1.4, 1.7, 2.0])
_BELOW = (-5.0, -3.0, -2.0, -1.5, -1.25, -1.0, -0.75, -0.5, -0.25)
D = torch.tensor([*_BELOW, 0.0, 0.25, 0.5, 0.75, 1.25, 2.0, 3.5])
_POINTS = 97
"""Points of d in the solution."""
_STEPS, _FEWEST = 40, 6
"""Steps of a slice in the solution: of a whole order, and of the largest slice at least."""
_FITS = int((V <= 1.0).sum())
_INNER = (len(C), len(U), len(P))
_FAR = 10.0
"""Largest margin, in sigma: where only one of both is allowed, nothing depends on it."""

_FIRST_E = torch.tensor([0, *BARS]).cumsum(0)[:-1]
_FIRST_S = torch.tensor([0, *(n * (n + 1) // 2 for n in BARS)]).cumsum(0)[:-1]
_OF_N = torch.tensor(
    [next((i for i, bars in enumerate(BARS) if bars >= n), len(BARS) - 1) for n in range(BARS[-1] + 1)]
)
_SOLVED_N = torch.tensor(BARS)
SHAPES = {
    "margin": (sum(BARS), *_INNER, _FITS, len(D)),
    "pace": (sum(n * (n + 1) // 2 for n in BARS), *_INNER, len(V), len(D)),
}
"""Shapes of the two arrays."""


def _state(k: int | Tensor, wait: int | Tensor, n: int | Tensor) -> int | Tensor:
    """Place of (k, wait) among the states of N: k = 0 has N of them, k = 1 has N - 1, and so on."""
    return k * n - k * (k - 1) // 2 + wait


@cache
def programme_table() -> dict[str, Tensor]:
    """Solve the programmes; some seconds, once a process. Returns `margin` and `pace`, of `SHAPES`."""
    margin, pace = (np.zeros(SHAPES[name], dtype=np.float32) for name in ("margin", "pace"))
    for place, n in enumerate(BARS):
        first_e, first_s = int(_FIRST_E[place]), int(_FIRST_S[place])
        for c, impact in enumerate(C.tolist()):
            for u, share in enumerate(U.tolist()):
                for k, margin_PFD, pace_PWVD in _solve(n, impact, n ** (share - 1.0)):
                    margin[first_e + k, c, u] = margin_PFD.clip(-_FAR, _FAR)
                    at = first_s + int(_state(k, 0, n))
                    pace[at : at + n - k, c, u] = pace_PWVD.swapaxes(0, 1)
    return {
        "margin": torch.from_numpy(margin).half(),
        "pace": torch.from_numpy(np.rint(255 * pace).astype(np.uint8)),
    }


def empty_table() -> dict[str, Tensor]:
    """Two arrays of zeros where those of `programme_table` are to be loaded."""
    return {
        "margin": torch.zeros(SHAPES["margin"], dtype=torch.float16),
        "pace": torch.zeros(SHAPES["pace"], dtype=torch.uint8),
    }


@dataclass(frozen=True)
class Advice:
    """What the programme would do.

    Args:
        place_O: place of the best slice between the smallest and the largest that are allowed, 0 to 1.
        margin_O: value of finishing less that of going on, in sigma; of no meaning where the order may not finish.
    """

    place_O: Tensor
    margin_O: Tensor


@torch.no_grad()
def look_up(
    margin: Tensor,
    pace: Tensor,
    terms: Terms,
    risk_O: Tensor,
    remaining_O: Tensor,
    distance_O: Tensor,
    k: int | Tensor,
) -> Advice:
    """Read the table before bar k, between its points by straight lines, beyond them as at the edge.

    No gradient runs through it: near to what is best, how a decision answers to a small change changes nothing.

    Args:
        margin: from `programme_table`.
        pace: likewise.
        terms: of the orders.
        risk_O: price of risk (`risk` of `lem.theory.programme`).
        remaining_O: share that remains.
        distance_O: side * (last close - running benchmark) / sigma.
        k: the bar (0-based) of all orders, or of each.
    """
    of_O = _OF_N[terms.n_O.long().clamp(max=BARS[-1])]
    n_O = _SOLVED_N[of_O]
    stretch_O = terms.n_O / n_O
    cap_O = (terms.max_rate_O * stretch_O).clamp(max=1.0)
    inside_O = remaining_O / cap_O
    left_O = torch.where(inside_O > 1.0, 1.0 + (remaining_O - cap_O) / (1.0 - cap_O).clamp(min=1e-6), inside_O)
    at_O = torch.as_tensor(k / stretch_O).round().long().minimum(n_O - 1)
    wait_O = ((terms.m_O - 1 - k) / stretch_O).ceil().long().clamp(min=0).minimum(n_O - 1 - at_O)
    axes = [
        _place((terms.whole_impact_O / stretch_O).sqrt(), C.sqrt()),
        _place(torch.log(cap_O * n_O) / torch.log(n_O.to(cap_O)), U),
        _place(risk_O.sqrt(), P.sqrt()),
        _place(left_O, V),
        _place(distance_O / stretch_O.sqrt(), D),
    ]
    below, share = (torch.broadcast_tensors(*part) for part in zip(*axes, strict=True))
    below_AO, share_AO = torch.stack(below, -1), torch.stack(share, -1)
    fits_AO, fits_share_AO = below_AO.clone(), share_AO.clone()
    beyond_O = below_AO[..., 3] > _FITS - 2
    fits_AO[..., 3] = fits_AO[..., 3].clamp(max=_FITS - 2)
    fits_share_AO[..., 3] = torch.where(beyond_O, 1.0, fits_share_AO[..., 3])
    pace_O = _between(pace, _FIRST_S[of_O] + _state(at_O, wait_O, n_O), below_AO, share_AO) / 255.0
    return Advice(pace_O, _between(margin, _FIRST_E[of_O] + at_O, fits_AO, fits_share_AO))


def _place(value_O: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Where values lie on a grid: the point below, and the share of the way to the next."""
    grid = grid.to(value_O)
    value_O = value_O.clamp(grid[0], grid[-1]).contiguous()
    below_O = (torch.bucketize(value_O, grid, right=True) - 1).clamp(0, len(grid) - 2)
    return below_O, (value_O - grid[below_O]) / (grid[below_O + 1] - grid[below_O])


def _between(table: Tensor, first_O: Tensor, below_AO: Tensor, share_AO: Tensor) -> Tensor:
    """The table between its points, linear on simplices: six points of each cell of five axes instead of 32.

    The walk from the lowest corner to the highest takes the axes in the order of their shares; each corner on the way
    weighs the difference of two shares.
    """
    strides = torch.tensor(table.stride())
    flat = table.flatten()
    at_O = first_O * strides[0] + (below_AO * strides[1:]).sum(-1)
    sorted_AO, order_AO = share_AO.sort(-1, descending=True)
    value_O = flat[at_O].to(share_AO.dtype) * (1.0 - sorted_AO[..., 0])
    for step in range(share_AO.shape[-1]):
        at_O = at_O + strides[1:][order_AO[..., step]]
        weight_O = sorted_AO[..., step] - (sorted_AO[..., step + 1] if step + 1 < share_AO.shape[-1] else 0.0)
        value_O = value_O + weight_O * flat[at_O]
    return value_O


def _solve(n: int, impact: float, cap: float) -> list[tuple[int, NDArray[np.float64], NDArray[np.float64]]]:
    """One N, impact and cap: (k, margin (P, F, D), pace (P, W, V, D)) of every bar, for all prices of risk."""
    steps = max(_FEWEST, round(_STEPS * cap))
    r_X = np.arange(int(np.ceil(steps / cap - 1e-9)) + 1) * cap / steps
    d_Y = np.linspace(-WIDTH, WIDTH, _POINTS)
    cost_X, may_X = impact * r_X**1.5, np.arange(len(r_X)) <= steps
    price_P111 = P.numpy().astype(np.float64)[:, None, None, None]
    stored_V = np.where(V <= 1.0, V * cap, cap + (V - 1.0) * (1.0 - cap)).astype(np.float64)
    found, later_PWYX = [], np.zeros((len(P), 0, _POINTS, len(r_X)))
    for k in range(n - 1, -1, -1):
        finish_YX = np.where(may_X, -k * d_Y[:, None] / (k + 1) - cost_X, NEVER)
        go_PWYX = np.full((len(P), n - k, _POINTS, len(r_X)), NEVER)
        pace_PWVD = np.full((len(P), n - k, len(V), len(D)), 0.5)
        if k < n - 1:
            # Whoever may end now or has one bar to wait for may end in the next.
            next_W = np.maximum(np.arange(n - k) - 1, 0)
            after_PWYX = transition(k, _POINTS) @ later_PWYX[:, np.minimum(next_W, n - k - 2)]
            ahead_W = np.array([benchmark_ahead(k, k + 1 + wait, n) for wait in range(n - k)])
            after_PWYX = after_PWYX - price_P111 * (r_X - ahead_W[:, None, None]) ** 2
            after_PWYX[..., 0] = NEVER  # something must be left: an order that has nothing left is over
            after_PWYX[..., (n - 1 - k) * steps + 1 :] = NEVER
            go_PWYX, best_PWYX = _best(after_PWYX, cost_X[: steps + 1])
            place_PWYX = _places(after_PWYX, best_PWYX, cost_X, steps, n - k)
            pace_PWVD = _at(place_PWYX, d_Y, r_X, np.minimum(stored_V, cap * (n - k)))
        margin_PWYX = finish_YX - go_PWYX[:, :1]
        found.append((k, _at(margin_PWYX, d_Y, r_X, stored_V[:_FITS])[:, 0], pace_PWVD))
        later_PWYX = go_PWYX.copy()
        later_PWYX[:, 0] = np.maximum(finish_YX, go_PWYX[:, 0])
    return found


def _best(after: NDArray[np.float64], cost_Z: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Value and number of steps of the best slice of each state (..., X)."""
    best, at = np.full_like(after, NEVER), np.zeros(after.shape, dtype=np.int64)
    columns = after.shape[-1]
    for taken in range(min(len(cost_Z), columns)):
        candidate = after[..., : columns - taken] - cost_Z[taken]
        better = candidate > best[..., taken:]
        best[..., taken:][better] = candidate[better]
        at[..., taken:][better] = taken
    return best, at


def _places(
    after: NDArray[np.float64], best: NDArray[np.int64], cost_X: NDArray[np.float64], steps: int, left: int
) -> NDArray[np.float64]:
    """The best slice's place between its limits, from the parabola through the best step and its neighbours."""
    columns_X = np.arange(after.shape[-1])

    def value(taken: NDArray[np.int64]) -> NDArray[np.float64]:
        there = (taken >= 0) & (taken <= steps) & (taken < columns_X)
        taken = np.where(there, taken, 0)
        return np.where(there, np.take_along_axis(after, columns_X - taken, -1) - cost_X[taken], NEVER)

    below, at, above = value(best - 1), value(best), value(best + 1)
    inside = (below > NEVER / 2) & (above > NEVER / 2)
    bend = np.where(inside, below - 2 * at + above, -1.0).clip(max=-1e-15)
    taken = best + np.where(inside, 0.5 * (below - above) / bend, 0.0).clip(-0.5, 0.5)
    low_X, high_X = np.maximum(columns_X - (left - 1) * steps, 0), np.minimum(columns_X, steps)
    return ((taken - low_X) / np.maximum(high_X - low_X, 1e-9)).clip(0.0, 1.0)


def _at(
    values: NDArray[np.float64], d_Y: NDArray[np.float64], r_X: NDArray[np.float64], stored_R: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Values (..., Y, X) at some of what remains, which is never 0, and at `D`: (..., R, D)."""
    row_D = (D.numpy() - d_Y[0]) / (d_Y[1] - d_Y[0])
    column_R = (stored_R / r_X[1]).clip(1.0, len(r_X) - 1)
    i_D, j_R = np.minimum(row_D.astype(int), len(d_Y) - 2), np.minimum(column_R.astype(int), len(r_X) - 2)
    u_D, v_R1 = row_D - i_D, (column_R - j_R)[:, None]
    # Where only one of both is allowed, margins are infinite for what follows: no line is drawn from them.
    values = values.clip(-_FAR, _FAR)

    def rows(j_R: NDArray[np.int64]) -> NDArray[np.float64]:
        low, high = (values[..., i, :][..., j_R].swapaxes(-1, -2) for i in (i_D, i_D + 1))
        return low + u_D * (high - low)

    return rows(j_R) * (1 - v_R1) + rows(j_R + 1) * v_R1
