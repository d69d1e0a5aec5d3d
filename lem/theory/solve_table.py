"""Solving the table of programmes, and writing its file: `python -m lem.theory.solve_table`.

Shapes: those of `lem.theory.table`, and X = even grid of what remains, Y = even grid of d, Z = steps of a slice,
W = bars to wait, F = the part of V up to 1.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from lem.theory.programme import NEVER, WIDTH, benchmark_ahead, transition
from lem.theory.table import BARS, FAR, FEWEST, FILE, POINTS, SHAPES, STEPS, C, D, P, U, V, grids_hash, state

_FITS = int((V <= 1.0).sum())


def solve_bars(n: int) -> dict[str, NDArray[np.integer]]:
    """The part of the table that is for one N of `BARS`: rows of `margin` and `pace`, in the order of the file."""
    margin = np.full((n, *SHAPES["margin"][1:]), -FAR)
    pace = np.full((n * (n + 1) // 2, *SHAPES["pace"][1:]), 0.5)
    for c, impact in enumerate(C.tolist()):
        for u, cap in enumerate(U.tolist()):
            most = max(1.0 / U[max(u - 1, 0)].item(), 1.0 / cap)
            for k, margin_PFD, pace_PWVD in _solve(n, impact, max(cap, 1.0 / n), most):
                margin[k, c, u, :, :_FITS] = margin_PFD.clip(-FAR, FAR)
                at = state(k, 0, n)
                pace[at : at + n - k, c, u] = pace_PWVD.swapaxes(0, 1)
    return {"margin": np.rint(127 * margin / FAR).astype(np.int8), "pace": np.rint(255 * pace).astype(np.uint8)}


def write_table() -> None:
    """Solve for all of `BARS`, which takes some minutes, and replace the file."""
    parts = [solve_bars(n) for n in BARS]
    margin, pace = (np.concatenate([part[name] for part in parts]) for name in ("margin", "pace"))
    new = FILE.with_suffix(".new")
    with new.open("wb") as file:
        np.savez_compressed(file, grids=np.array(grids_hash()), margin=margin, pace=pace)
    os.replace(new, FILE)


def _solve(
    n: int, impact: float, cap: float, most: float
) -> list[tuple[int, NDArray[np.float64], NDArray[np.float64]]]:
    """One N, impact and cap: (k, margin (P, F, D), pace (P, W, V, D)) of every bar, for all prices of risk.

    Solved for up to `most` largest slices, so many as an order has whose cap is that of the point below: orders between
    the two points are read from both. There what remains may be more than the whole order.
    """
    steps = max(FEWEST, round(STEPS * cap))
    r_X = np.arange(int(np.ceil(steps * most - 1e-9)) + 1) * cap / steps
    d_Y = np.linspace(-WIDTH, WIDTH, POINTS)
    cost_X, may_X = impact * r_X**1.5, np.arange(len(r_X)) <= steps
    price_P111 = P.numpy().astype(np.float64)[:, None, None, None]
    stored_V = np.minimum(V.numpy().astype(np.float64), most) * cap
    found, later_PWYX = [], np.zeros((len(P), 0, POINTS, len(r_X)))
    for k in range(n - 1, -1, -1):
        finish_YX = np.where(may_X, -k * d_Y[:, None] / (k + 1) - cost_X, NEVER)
        go_PWYX = np.full((len(P), n - k, POINTS, len(r_X)), NEVER)
        pace_PWVD = np.full((len(P), n - k, len(V), len(D)), 0.5)
        if k < n - 1:
            # Whoever may end now or has one bar to wait for may end in the next.
            next_W = np.maximum(np.arange(n - k) - 1, 0)
            after_PWYX = transition(k, POINTS) @ later_PWYX[:, np.minimum(next_W, n - k - 2)]
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
    place = ((taken - low_X) / np.maximum(high_X - low_X, 1e-9)).clip(0.0, 1.0)
    # Where the largest slice is the only one, any place means it; a little less to trade asks for nearly the largest.
    return np.where(high_X > low_X, place, 1.0)


def _at(
    values: NDArray[np.float64], d_Y: NDArray[np.float64], r_X: NDArray[np.float64], stored_R: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Values (..., Y, X) at some of what remains, which is never 0, and at `D`: (..., R, D)."""
    row_D = (D.numpy() - d_Y[0]) / (d_Y[1] - d_Y[0])
    column_R = (stored_R / r_X[1]).clip(1.0, len(r_X) - 1)
    i_D, j_R = np.minimum(row_D.astype(int), len(d_Y) - 2), np.minimum(column_R.astype(int), len(r_X) - 2)
    u_D, v_R1 = row_D - i_D, (column_R - j_R)[:, None]
    # Where only one of both is allowed, margins are without bounds: no line is drawn from them.
    values = values.clip(-FAR, 1.0)

    def rows(j_R: NDArray[np.int64]) -> NDArray[np.float64]:
        low, high = (values[..., i, :][..., j_R].swapaxes(-1, -2) for i in (i_D, i_D + 1))
        return low + u_D * (high - low)

    return rows(j_R) * (1 - v_R1) + rows(j_R + 1) * v_R1


if __name__ == "__main__":
    write_table()
    print(f"{FILE}: {FILE.stat().st_size / 1e6:.2f} MB, grids {grids_hash()}")
