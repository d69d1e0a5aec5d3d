"""Verdicts on many differences at once: p-values from errors clustered by block, and Holm's adjustment of them.

Of twenty differences that are zero, one has a 95 % interval clear of zero by chance. Holm ("A simple sequentially
rejective multiple test procedure", Scandinavian Journal of Statistics 6(2), 1979) keeps the chance of even one wrong
verdict in a table below the level, however its differences depend on each other.

The p-values are Student's, with one degree of freedom fewer than there are blocks: with few blocks the quantiles of a
bootstrap end too early for the small p-values that many comparisons ask for.

Shapes: O orders, G groups (series), B blocks, C comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lem.backtest.bootstrap import MIN_BLOCKS
from lem.errors import EvaluationError

LEVEL = 0.05
"""Largest chance that a table without any difference has a verdict."""


def student_p(t: float, degrees: int) -> float:
    """Chance that Student's t with so many degrees of freedom lies further from zero than `t`.

    Finite sums for whole degrees of freedom: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and
    26.7.4.

    Raises:
        EvaluationError: `degrees` is below 1, or `t` is NaN.
    """
    if degrees < 1 or math.isnan(t):
        raise EvaluationError(f"student_p: t {t} with {degrees} degrees of freedom; allowed: a number, and 1 or more")
    angle = math.atan2(abs(t), math.sqrt(degrees))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    odd = degrees % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for j in range(1, degrees // 2 + 1):
        total += term
        term *= square * ((2 * j) / (2 * j + 1) if odd else (2 * j - 1) / (2 * j))
    inside = (angle + sine * total) * 2 / math.pi if odd else sine * total
    return min(1.0, max(0.0, 1.0 - inside))


def grouped_p_values(values: ArrayLike, blocks: ArrayLike, groups: ArrayLike) -> NDArray[np.float64]:
    """Two-sided p-value of a mean of zero for many series at once, (G,): NaN with fewer than `MIN_BLOCKS` blocks.

    Args:
        values: of the orders, (O,), finite.
        blocks: block number of each order, (O,).
        groups: number of each order's series, (O,).
    """
    values_O = np.asarray(values, dtype=np.float64)
    if not len(values_O):
        return np.empty(0)
    blocks_O, groups_O = np.asarray(blocks, dtype=np.int64), np.asarray(groups, dtype=np.int64)
    shape = int(groups_O.max()) + 1, int(blocks_O.max()) + 1
    cell_O = groups_O * shape[1] + blocks_O
    counts_GB = np.bincount(cell_O, minlength=shape[0] * shape[1]).reshape(shape)
    sums_GB = np.bincount(cell_O, weights=values_O, minlength=shape[0] * shape[1]).reshape(shape)
    found_G = np.full(shape[0], np.nan)
    for g, (sums_B, counts_B) in enumerate(zip(sums_GB, counts_GB, strict=True)):
        count = int((counts_B > 0).sum())
        if count < MIN_BLOCKS:
            continue
        mean = sums_B.sum() / counts_B.sum()
        apart_B = sums_B - mean * counts_B
        error = math.sqrt((apart_B**2).sum() * count / (count - 1)) / counts_B.sum()
        t = mean / error if error > 0.0 else math.copysign(math.inf, mean) if mean else 0.0
        found_G[g] = student_p(t, count - 1)
    return found_G


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values, each adjusted for all comparisons of the list; NaN stays, and counts as no comparison.

    Args:
        p_values: one a comparison, (C,).
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    adjusted = [math.nan] * len(p_values)
    largest = 0.0
    for done, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - done)))
        adjusted[place] = largest
    return adjusted
