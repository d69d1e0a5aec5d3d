"""The bound of who knows how far each bar will move and what will trade in it, but not which way.

The bound of a driftless market with one volatility says little of real bars, whose moves are of unequal size.
Here each order's own path is taken, and only the sign of each bar's move is left to chance: up and down are as likely,
and independent. What the best strategy then earns, knowing all sizes and volumes beforehand, nobody earns who does not
foresee signs. Dynamic programming over the distance d and what remains R gives it for each path:

- finish in bar k: -w d - c R^1.5 / sqrt(volume), with w the weight of the bars before it in the benchmark after it,
- go on: -c x^1.5 / sqrt(volume) + the mean of V_{k+1}(w d + z, R - x) and V_{k+1}(w d - z, R - x), where z is the
  bar's move less what it moves the benchmark.

V is convex in d, and between grid points it is read along straight lines, which lie above it: what comes out is a
bound. Slices come in steps of the grid, which takes next to nothing off it.

Shapes: X = paths, K = bars, D = grid of d (own width for each path), R = grid of what remains.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lem.errors import OrderError

POINTS, SHARES = 81, 24
"""Points of d, and steps of what remains."""
_NEVER = -1e9


def signs_bound(
    close_XK: NDArray[np.float64],
    average_XK: NDArray[np.float64],
    volume_XK: NDArray[np.float64],
    min_bars: int,
    vwap: bool,
    impact: float = 0.0,
    cap: float = 1.0,
    points: int = POINTS,
) -> NDArray[np.float64]:
    """The bound of each path, in sigma, (X,).

    Args:
        close_XK: move of each bar from the last close to its close, in sigma; N bars.
        average_XK: move from the last close to its volume-weighted price, in sigma.
        volume_XK: volume of each bar, relative to the mean at arrival.
        min_bars: m.
        vwap: whether the benchmark is VWAP; else TWAP.
        impact: c, in sigma.
        cap: most that is traded in one bar, as a share of the order.
        points: of the grid of d.

    Raises:
        OrderError: m is not between 1 and N, c is negative, or N bars cannot trade the order under the cap.
    """
    paths, bars = close_XK.shape
    if not 1 <= min_bars <= bars or impact < 0 or cap * bars < 1 - 1e-9:
        raise OrderError(
            f"bound over signs of m {min_bars}, N {bars}, impact {impact:g}, cap {cap:g}; allowed: m from 1 to N, an "
            "impact of 0 or more, a cap under which N bars trade the whole order"
        )
    shares = SHARES if impact or cap < 1.0 else 1
    most = max(int(np.floor(min(cap, 1.0) * shares + 1e-9)), -(-shares // bars))
    remaining_R = np.arange(shares + 1) / shares
    weight_XK = volume_XK if vwap else np.ones_like(volume_XK)
    before_XK = weight_XK.cumsum(axis=1) - weight_XK
    share_XK = weight_XK / (before_XK + weight_XK)
    step_XK = np.abs(close_XK - share_XK * average_XK)
    width_X = np.maximum(step_XK.sum(axis=1), 1e-9)
    grid_D = np.linspace(-1.0, 1.0, points)
    d_XD = width_X[:, None] * grid_D
    value_XDR = np.full((paths, points, shares + 1), _NEVER)
    for k in range(bars - 1, -1, -1):
        keep_X11 = (1.0 - share_XK[:, k])[:, None, None]
        cost_XR = impact * remaining_R**1.5 / np.sqrt(volume_XK[:, k, None])
        may_R = (np.arange(shares + 1) <= most) & (k + 1 >= min_bars)
        best_XDR = np.where(may_R, -keep_X11 * d_XD[:, :, None] - cost_XR[:, None, :], _NEVER)
        if k < bars - 1:
            ahead_XD = keep_X11[:, :, 0] * d_XD
            up, down = (_read(value_XDR, ahead_XD + sign * step_XK[:, k, None], width_X) for sign in (1.0, -1.0))
            after_XDR = (up + down) / 2
            after_XDR[:, :, most * (bars - 1 - k) + 1 :] = _NEVER
            after_XDR[:, :, 0] = _NEVER  # something must be left: an order that has nothing left is over
            for taken in range(min(most, shares) + 1):
                went_XDR = after_XDR[:, :, : shares + 1 - taken] - cost_XR[:, None, taken, None]
                np.maximum(best_XDR[:, :, taken:], went_XDR, out=best_XDR[:, :, taken:])
        value_XDR = best_XDR
    middle = points // 2
    return value_XDR[:, middle, -1]


def _read(
    value_XDR: NDArray[np.float64], d_XD: NDArray[np.float64], width_X: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The value at other distances, along straight lines."""
    points = value_XDR.shape[1]
    place_XD = (d_XD / width_X[:, None] + 1.0) / 2 * (points - 1)
    below_XD = np.clip(place_XD.astype(np.int64), 0, points - 2)
    share_XD1 = (place_XD - below_XD)[:, :, None]
    rows_X1 = np.arange(len(value_XDR))[:, None]
    return value_XDR[rows_X1, below_XD] * (1 - share_XD1) + value_XDR[rows_X1, below_XD + 1] * share_XD1
