"""The theoretical bound of a driftless market, and the optimal-stopping thresholds that reach it.

For a driftless Brownian price the mean gain depends only on the stopping rule: the bound is sup E[B_tau] - P_0 over
rules that end between bar m and bar N (setting: Guéant, Pu, Royer, arXiv 1312.5617). Dynamic programming over
d = (close - running TWAP) / sigma gives it exactly. If d is known after k bars, bar k (0-based) moves the running mean
by d / (k + 1) on average, both if the order ends in it and if it goes on. Then d' = d k / (k + 1) + z with
z = e - y / (k + 1), where e is the bar's increment and y its mean minus the last close. So
V_k(d) = d / (k + 1) + max(0, E V_{k+1}(d')), with the 0 only in bars where the order may end. The order ends when
going on is worth nothing: when side * d is low, that is, when the price is good.

There are three markets: `bar` (fills at bar averages, var y = 1/3, cov(e, y) = 1/2: ours), `point` (one price a bar),
and `peek` (one price a bar, seen before it is traded: the value of a look-ahead of one bar). Real bars lie between the
first two: volume comes when the price moves, and over night the price moves without volume. `fill_law` measures where
they lie; the bound of that law is the lower one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lem.data.panel import Panel
from lem.errors import OrderError

_GRID, _NODES = 1201, 241
_JUMP_SIGMA = 8.0
"""Moves are cut off here, so that a handful of bars does not make the second moments."""


@dataclass(frozen=True)
class FillLaw:
    """How a bar's average price moves with its close, both measured from the last close.

    Args:
        variance: of the average price, in variances of the close.
        covariance: of the average price and the close, in variances of the close.

    Raises:
        OrderError: no two random numbers can have these moments.
    """

    variance: float
    covariance: float

    def __post_init__(self) -> None:
        if not (0 <= self.variance < np.inf and self.covariance**2 <= self.variance * (1 + 1e-9)):
            raise OrderError(
                f"fill law with variance {self.variance:g} and covariance {self.covariance:g}; "
                "allowed: variance >= 0 and covariance^2 <= variance"
            )


FILL_LAWS = {"bar": FillLaw(1 / 3, 1 / 2), "point": FillLaw(1.0, 1.0)}
Fills = Literal["bar", "point"] | FillLaw


def fill_law(panel: Panel) -> FillLaw:
    """The fill law of a panel's bars, with each bar's moves in units of its sigma.

    Args:
        panel: bars up to the moment at which the law must be known; later bars would be a look-ahead.

    Raises:
        OrderError: the panel has no two bars with features that follow each other.
    """
    last_NT, sigma_NT = panel.close_NT[:, :-1], panel.sigma_NT[:, :-1]
    move_NT = np.log(panel.close_NT[:, 1:] / last_NT) / sigma_NT
    average_NT = np.log(panel.vwap_NT[:, 1:] / last_NT) / sigma_NT
    known_NT = panel.valid_NT[:, :-1] & panel.valid_NT[:, 1:]
    if not known_NT.any():
        raise OrderError("fill law: no two bars with features that follow each other in this panel")
    move_X, average_X = (np.clip(x[known_NT], -_JUMP_SIGMA, _JUMP_SIGMA) for x in (move_NT, average_NT))
    variance = (move_X**2).mean()
    return FillLaw(float((average_X**2).mean() / variance), float((move_X * average_X).mean() / variance))


@dataclass(frozen=True)
class StoppingRule:
    """Optimal stopping for one (m, N).

    Args:
        value: the bound, in sigma per bar.
        threshold: the order ends in bar k if side * d <= threshold[k], with d = (last close - running benchmark) /
            sigma; -inf in bars where it may not end yet, +inf in the last bar.
    """

    value: float
    threshold: tuple[float, ...]


def _check(m: int, n: int) -> None:
    if not 1 <= m <= n:
        raise OrderError(f"optimal stopping with min_bars {m} and max_bars {n}; allowed: 1 <= min_bars <= max_bars")


def _grid(n: int) -> NDArray:
    """The grid of states d, out to eight standard deviations of the widest d, which are below sqrt(n / 3) + 1."""
    end = 8 * (np.sqrt(n / 3) + 1)
    return np.linspace(-end, end, _GRID)


def _expect(value_G: NDArray, grid_G: NDArray, mean_G: NDArray, sd: float) -> NDArray:
    """E value(mean + sd * N(0, 1)), by trapezoid nodes: Gauss-Hermite misses the kinks of the value."""
    nodes_Q = np.linspace(-8, 8, _NODES)
    weights_Q = np.exp(-(nodes_Q**2) / 2)
    return np.interp(mean_G[:, None] + sd * nodes_Q, grid_G, value_G) @ (weights_Q / weights_Q.sum())


@cache
def stopping_rule(m: int, n: int, fills: Fills = "bar") -> StoppingRule:
    """Solve the stopping problem backwards on a grid.

    Args:
        m: fewest bars of an order.
        n: N, most bars of an order.
        fills: the market, by name or as a measured law.

    Raises:
        OrderError: not 1 <= m <= N.
    """
    _check(m, n)
    law = fills if isinstance(fills, FillLaw) else FILL_LAWS[fills]
    grid_G = _grid(n)
    threshold = [np.inf] * n
    value_G = grid_G / n
    for k in range(n - 2, -1, -1):
        sd = np.sqrt(max(0.0, 1 - 2 * law.covariance / (k + 1) + law.variance / (k + 1) ** 2))
        going_G = _expect(value_G, grid_G, grid_G * k / (k + 1), sd)
        if k + 1 >= m:
            ends_G = going_G <= 0.0
            threshold[k] = float(grid_G[ends_G].max()) if ends_G.any() else -np.inf
            going_G = np.where(ends_G, 0.0, going_G)
        else:
            threshold[k] = -np.inf
        value_G = grid_G / (k + 1) + going_G
    return StoppingRule(float(np.interp(0.0, grid_G, value_G)), tuple(threshold))


@cache
def bound(m: int, n: int, fills: Fills | Literal["peek"] = "bar") -> float:
    """The most that any strategy gains on average over TWAP on a driftless market, in sigma per bar.

    Args:
        m: fewest bars of an order.
        n: N, most bars of an order.
        fills: the market, by name or as a measured law.

    Raises:
        OrderError: not 1 <= m <= N.
    """
    if fills != "peek":
        return stopping_rule(m, n, fills).value
    _check(m, n)
    grid_G = _grid(n)
    value_G = np.zeros_like(grid_G)
    # c prices seen, the current one among them: ending costs nothing, going on moves the mean by (d + e) / (c + 1).
    for c in range(n - 1, 0, -1):
        going_G = grid_G / (c + 1) + _expect(value_G, grid_G, grid_G * c / (c + 1), c / (c + 1))
        value_G = np.maximum(going_G, 0.0) if c >= m else going_G
    return float(np.interp(0.0, grid_G, value_G))
