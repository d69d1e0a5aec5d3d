"""The dynamic programme of an order whose slices cost impact: how fast to trade, and when to stop.

On a driftless market the mean gain of an order depends on when it stops alone: trading earlier or later costs nothing
in the mean but impact. What must be solved is therefore a stopping problem whose price is what the schedule pays.

State before bar k (0-based): d = side * (last close - running TWAP) / sigma, and R, the share that remains. A slice x
costs c x^1.5 in sigma, with c = Y sqrt(order size in mean bar volumes) and the bar's volume at its mean. V_k(d, R) is
the expected side * (benchmark at the end - last close) / sigma, less what the slices still cost; fees and half spread
shift every strategy alike and are left out.

- finish, where k + 1 >= m and R <= cap:   -k d / (k + 1) - c R^1.5
- go on with x < R, x <= cap, R - x <= cap (N - 1 - k):
  -c x^1.5 + E V_{k+1}(k d / (k + 1) + xi, R - x),   xi ~ N(0, 1 + 1 / (3 (k + 1)^2) - 1 / (k + 1))

With c = 0 this is the optimal stopping of `lem.strategies.bounds`.

**Risk.** What a schedule risks is that it has traded more or less than its benchmark when the price moves: after bar k
the benchmark of an order that ends at T has the share b = 1 - (k + 1) / T to come. With `risk` above 0 each bar that is
gone on from costs risk * (R - b)^2, with T half-way from the next bar in which the order may end to bar N: mean is
traded for risk, and the value is no bound.

Source: the stopping problem of Guéant, Pu and Royer
(arXiv 1312.5617) with the impact of `lem.execution.costs`.

Shapes: D = grid of d, R = grid of what remains, Q = nodes of the quadrature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lem.errors import OrderError

WIDTH = 8.0
"""Largest |d| of the grid, in sigma; beyond it values are continued as straight lines, as they are in the limit."""
POINTS, SHARES = 241, 120
"""Points of d, and steps of what remains. 361 points move no value by more than 0.0002 sigma."""
_NODES = 41
NEVER = -1e9


@dataclass(frozen=True)
class Programme:
    """What is best for an order of these limits, before each bar.

    Args:
        go_KDR: value of going on, in sigma; where that is not allowed, far below all others.
        pace_KDR: the slice with which to go on, a share of the order.
        value: V_0(0, 1), in sigma: the most that any strategy gains after impact on a driftless market.
        impact: c.
    """

    go_KDR: NDArray[np.float64]
    pace_KDR: NDArray[np.float64]
    value: float
    impact: float


@lru_cache(maxsize=512)
def solve(
    min_bars: int,
    max_bars: int,
    impact: float,
    cap: float = 1.0,
    risk: float = 0.0,
    points: int = POINTS,
    shares: int = SHARES,
) -> Programme:
    """Solve the programme backwards from bar N.

    Args:
        min_bars: m.
        max_bars: N.
        impact: c, in sigma.
        cap: most that is traded in one bar, as a share of the order.
        risk: what a share off the benchmark's own, squared, costs a bar, in sigma.
        points: of the grid of d.
        shares: steps of the grid of what remains; up to twice as many where the cap is then a whole number of them.

    Raises:
        OrderError: m is not between 1 and N, c or the risk is negative, or N bars cannot trade the order under the cap.
    """
    if not 1 <= min_bars <= max_bars or impact < 0 or risk < 0 or cap * max_bars < 1 - 1e-9:
        raise OrderError(
            f"programme of m {min_bars}, N {max_bars}, impact {impact:g}, cap {cap:g}, risk {risk:g}; allowed: m "
            "from 1 to N, impact and risk of 0 or more, a cap under which N bars trade the whole order"
        )
    shares = _steps(shares, min(cap, 1.0))
    d_D, remaining_R = np.linspace(-WIDTH, WIDTH, points), np.linspace(0.0, 1.0, shares + 1)
    # The cap in steps of the grid; at least what trades the order in N bars, where it lies between two of them.
    most = max(math.floor(min(cap, 1.0) * shares + 1e-9), math.ceil(shares / max_bars))
    cost_R = impact * remaining_R**1.5
    go_KDR = np.full((max_bars, points, shares + 1), NEVER)
    pace_KDR = np.zeros((max_bars, points, shares + 1))
    value_DR = np.full((points, shares + 1), NEVER)
    for k in range(max_bars - 1, -1, -1):
        if k < max_bars - 1:
            left = most * (max_bars - 1 - k)
            after_DR = np.where(value_DR < NEVER / 2, NEVER, transition(k, points) @ value_DR)
            after_DR = after_DR - risk * (remaining_R - benchmark_ahead(k, min_bars, max_bars)) ** 2
            after_DR[:, 0] = NEVER  # something must be left: an order that has nothing left is over
            after_DR[:, left + 1 :] = NEVER
            go_KDR[k], pace_KDR[k] = _best(after_DR, cost_R, most, remaining_R)
        may_R = (np.arange(shares + 1) <= most) & (k + 1 >= min_bars)
        finish_DR = np.where(may_R, -k * d_D[:, None] / (k + 1) - cost_R, NEVER)
        value_DR = np.maximum(finish_DR, go_KDR[k])
    go_KDR[:, :, 0] = go_KDR[:, :, 1]
    return Programme(go_KDR, pace_KDR, float(np.interp(0.0, d_D, value_DR[:, -1])), impact)


def _steps(shares: int, cap: float) -> int:
    """Steps of what remains, of which the cap holds a whole number as nearly as can be.

    A cap that is rounded down may need a bar more for the whole order, and what is then solved is no bound.
    """
    return min(range(shares, 2 * shares), key=lambda steps: (round((cap * steps + 1e-9) % 1.0, 6), steps))


def benchmark_ahead(k: int, min_bars: int, max_bars: int) -> float:
    """Share of the benchmark that is still to come after bar k, if the order ends half-way to its last bar.

    Args:
        k: the bar, 0-based; the order goes on from it.
        min_bars: m.
        max_bars: N.
    """
    return 1.0 - 2 * (k + 1) / (max(min_bars, k + 2) + max_bars)


def _best(
    after_DR: NDArray[np.float64], cost_R: NDArray[np.float64], most: int, remaining_R: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The best slice of each state, of 0 to `most` steps, and its value."""
    # What remains goes first here: a shift by some steps is then a block of memory.
    after_RD = np.ascontiguousarray(after_DR.T)
    best_RD, pace_RD = np.full_like(after_RD, NEVER), np.full_like(after_RD, remaining_R[most])
    candidate_RD, better_RD = np.empty_like(after_RD), np.empty(after_RD.shape, dtype=bool)
    rows = len(after_RD)
    for steps in range(min(most, rows - 1) + 1):
        candidate, better, best = candidate_RD[steps:], better_RD[steps:], best_RD[steps:]
        np.subtract(after_RD[: rows - steps], cost_R[steps], out=candidate)
        np.greater(candidate, best, out=better)
        np.copyto(best, candidate, where=better)
        np.copyto(pace_RD[steps:], remaining_R[steps], where=better)
    best_DR, pace_DR = np.ascontiguousarray(best_RD.T), np.ascontiguousarray(pace_RD.T)
    return np.where(best_DR < NEVER / 2, NEVER, best_DR), pace_DR


@lru_cache(maxsize=256)
def transition(k: int, points: int) -> NDArray[np.float64]:
    """The matrix that takes values on the grid before bar k + 1 to their expectation before bar k."""
    d_D = np.linspace(-WIDTH, WIDTH, points)
    nodes_Q, weights_Q = np.polynomial.hermite_e.hermegauss(_NODES)
    variance = 1 + 1 / (3 * (k + 1) ** 2) - 1 / (k + 1)
    next_DQ = k * d_D[:, None] / (k + 1) + math.sqrt(variance) * nodes_Q
    place_DQ = (next_DQ - d_D[0]) / (d_D[1] - d_D[0])
    below_DQ = np.clip(np.floor(place_DQ).astype(int), 0, len(d_D) - 2)
    share_DQ = place_DQ - below_DQ
    weight_DQ = np.broadcast_to(weights_Q / weights_Q.sum(), next_DQ.shape)
    matrix = np.zeros((len(d_D), len(d_D)))
    rows_DQ = np.broadcast_to(np.arange(len(d_D))[:, None], next_DQ.shape)
    np.add.at(matrix, (rows_DQ, below_DQ), weight_DQ * (1 - share_DQ))
    np.add.at(matrix, (rows_DQ, below_DQ + 1), weight_DQ * share_DQ)
    return matrix
