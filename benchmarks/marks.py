"""What an order paid against the arrival price, and where the market went after it ended.

Of each arrival only means over the scenarios are kept, so that the figures of many strategies stay small.

Shapes: A = arrivals, M = marked values of m, S = scenarios, J = mark-outs, O = (A, M, S).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lem.backtest.simulator import Executions
from lem.data.panel import Panel
from lem.execution.costs import BPS
from lem.execution.terms import Terms

MARK_OUTS = (1, 3, 6, 12)
"""Bars after the order's last."""


@dataclass(frozen=True)
class Marks:
    """Means over the scenarios of each arrival, bps, float32.

    Args:
        shortfall_AM: average price after costs against the arrival price, in the order's direction: positive is paid.
        square_AM: of its square, for the standard deviation of single orders.
        markout_AMJ: the market's move from the close of the order's last bar to closes after it, in the order's
            direction; NaN where there is no such bar.
    """

    shortfall_AM: NDArray
    square_AM: NDArray
    markout_AMJ: NDArray


def marks_of(
    panel: Panel, asset_A: NDArray, bar_A: NDArray, terms: Terms, done: Executions, places: Sequence[int]
) -> Marks:
    """The marks of executed orders.

    Args:
        panel: with the bars of the orders and those after them.
        asset_A: asset row of each arrival.
        bar_A: position of each arrival's bar 0.
        terms: of the orders.
        done: the orders, executed with costs.
        places: of the values of m that are marked, among those of `terms`.
    """
    chosen = list(places)
    sign_S = terms.sign_O.expand(done.gain_O.shape[1:]).numpy()[0]
    benchmark_O, net_O, end_O = (x_O.numpy()[:, chosen] for x_O in (done.benchmark_O, done.net_gain_O, done.end_bar_O))
    # The gain is sign (B - A) / B, so the average price A after costs is B (1 - sign gain).
    shortfall_O = BPS * (sign_S * (benchmark_O - 1.0) - benchmark_O * net_O)
    last_O = bar_A[:, None, None] + end_O - 1
    row_A11 = asset_A[:, None, None]
    close_O = panel.close_NT[row_A11, last_O]
    outs = []
    for bars in MARK_OUTS:
        later_O = panel.close_NT[row_A11, np.minimum(last_O + bars, panel.bars - 1)]
        move_O = np.where(last_O + bars < panel.bars, later_O / close_O - 1.0, np.nan)
        outs.append((BPS * sign_S * move_O).mean(axis=2))
    figures = shortfall_O.mean(axis=2), (shortfall_O**2).mean(axis=2), np.stack(outs, axis=2)
    return Marks(*(figure.astype(np.float32) for figure in figures))


def joined(parts: Sequence[Marks]) -> Marks:
    """The marks of all arrivals, from those of parts of them."""
    return Marks(
        np.concatenate([part.shortfall_AM for part in parts]),
        np.concatenate([part.square_AM for part in parts]),
        np.concatenate([part.markout_AMJ for part in parts]),
    )


def over_seeds(runs: Sequence[Marks]) -> Marks:
    """Means over seeds, arrival by arrival."""
    shortfall_AM, square_AM, markout_AMJ = (
        np.stack([getattr(run, name) for run in runs]).mean(axis=0, dtype=np.float64)
        for name in ("shortfall_AM", "square_AM", "markout_AMJ")
    )
    return Marks(shortfall_AM, square_AM, markout_AMJ)
