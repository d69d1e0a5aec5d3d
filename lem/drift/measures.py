"""Drift: is the market still as in the champion's training, and does the champion gain what the gate measured?

Inputs are compared by the population stability index (PSI): the values of a feature fall into bins that hold equal
shares of the training window, and with p and q the shares of training and of the last days

    PSI = sum over bins of (q - p) ln(q / p),

which is J of Jeffreys, "An invariant form for the prior probability in estimation problems" (Proc. R. Soc. A 186,
1946), and known under this name from credit scoring (Siddiqi, "Credit Risk Scorecards", Wiley, 2006, with its rule of
thumb: below 0.1 no shift, from 0.25 on a large one). Two samples of n and m independent values of one distribution
have a PSI of about (bins - 1) (1 / n + 1 / m) (Yurdakul and Naranjo, "Statistical properties of the population
stability index", Journal of Risk Model Validation 14(4), 2020). Bars are not independent: a few days of a slow feature
have a far larger PSI. So the index is also compared with the index of equally many days of the training window itself.

Shapes: B = bins, E = edges between bins (B - 1), O = orders.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lem.backtest.bootstrap import Interval, block_mean
from lem.data.features import FEATURES
from lem.errors import EvaluationError
from lem.universe import Universe
from lem.universe.calendars import partition_dates

BINS = 10
"""Number of bins of equal shares of the training window; there are fewer if values repeat."""
MIN_BARS = 100
"""Fewest valid bars in each window; with fewer, chance alone comes near the thresholds."""
CLOCK = ("day_sin", "day_cos", "week_sin", "week_cos")
"""Features that the calendar sets. Their index is shown, but never counts as drift.

It only says which hours and weekdays are in the windows, and when summer time began.
"""


@dataclass(frozen=True)
class InputDrift:
    """PSI of every feature, pooled over assets.

    Args:
        psi: by feature; all of FEATURES, or none.
        usual: by feature, the largest PSI of equally many consecutive days of the training window against the whole of
            it; 0 if the window is shorter than two such stretches. For a slow feature, such as momentum over a day, a
            few days never look like a year.
        training_bars: valid bars of the training window.
        recent_bars: valid bars of the last days.
    """

    psi: dict[str, float]
    usual: dict[str, float]
    training_bars: int
    recent_bars: int

    @property
    def known(self) -> bool:
        """Whether both windows hold `MIN_BARS` valid bars."""
        return bool(self.psi)

    def drifted(self, threshold: float) -> list[str]:
        """Features, without `CLOCK`, with a PSI of `threshold` or more and above the usual one, the largest first."""
        found = [
            name
            for name, value in self.psi.items()
            if value >= threshold and value > self.usual[name] and name not in CLOCK
        ]
        return sorted(found, key=lambda name: -self.psi[name])


@dataclass(frozen=True)
class GainDrift:
    """Gains of executed orders against the mean that the gate measured for each order's model.

    Args:
        realised_bps: mean gain of the orders.
        expected_bps: mean of the gate's figures over the same orders.
        shortfall: realised minus expected, in bps, with its day-block interval.
        unjudged: orders left out because the gate has no figure for their model.
    """

    realised_bps: float
    expected_bps: float
    shortfall: Interval
    unjudged: int

    def drifted(self, tolerance_bps: float) -> bool:
        """Whether the whole interval lies below -tolerance_bps; False with too few blocks for an interval."""
        return self.shortfall.known and self.shortfall.high < -tolerance_bps


def quantile_edges(values: ArrayLike, bins: int = BINS) -> NDArray[np.float64]:
    """Edges between bins of equal shares of the values, (E,), ascending; bin k holds edge[k-1] <= value < edge[k].

    If a value is so frequent that two or more edges fall on it, it has a bin of its own. So a constant feature that
    changes is noticed in either direction.

    Args:
        values: the sample.
        bins: wanted number of bins, 2 or more.

    Raises:
        EvaluationError: there is no value, a value is not finite, or fewer than two bins are wanted.
    """
    values_O = np.asarray(values, dtype=np.float64).ravel()
    if not len(values_O) or not np.isfinite(values_O).all() or bins < 2:
        raise EvaluationError(
            f"drift: {len(values_O)} values, {int((~np.isfinite(values_O)).sum())} of them not finite, in {bins} bins; "
            "allowed: one finite value or more (leave masked bars out), in 2 bins or more"
        )
    shares = np.linspace(0, 1, bins + 1)[1:-1]
    edge_E, count_E = np.unique(np.quantile(values_O, shares, method="inverted_cdf"), return_counts=True)
    return np.unique(np.concatenate([edge_E, np.nextafter(edge_E[count_E > 1], np.inf)]))


def bin_counts(values: ArrayLike, edge_E: NDArray[np.float64]) -> NDArray[np.int64]:
    """Number of values in each of the bins between `edge_E`, (B,)."""
    bins = np.searchsorted(edge_E, np.asarray(values, dtype=np.float64).ravel(), side="right")
    return np.bincount(bins, minlength=len(edge_E) + 1).astype(np.int64)


def stability_index(expected: ArrayLike, actual: ArrayLike) -> float:
    """PSI of two samples: 0 if both have the same shares in the bins, otherwise positive.

    An empty bin counts as half a value of its sample, so that the index is finite. Swapping the samples changes
    nothing.

    Args:
        expected: one sample's counts in the bins, (B,).
        actual: the other sample's counts in the same bins, (B,).

    Raises:
        EvaluationError: the bins differ in number, a count is negative, or a sample is empty.
    """
    expected_B, actual_B = np.asarray(expected, dtype=np.float64), np.asarray(actual, dtype=np.float64)
    good = expected_B.shape == actual_B.shape and expected_B.ndim == 1
    if not good or not all((n >= 0).all() and n.sum() > 0 for n in (expected_B, actual_B)):
        raise EvaluationError(
            f"drift: counts {expected_B.tolist()} and {actual_B.tolist()}; allowed: counts of two samples that are not "
            "empty, in the same bins"
        )
    return float(_index(expected_B, actual_B))


def _index(expected_B: NDArray, actual_WB: NDArray) -> NDArray[np.float64]:
    """PSI of each of many samples, (..., B), against one, (B,)."""
    p_B = np.maximum(expected_B, 0.5) / expected_B.sum()
    q_WB = np.maximum(actual_WB, 0.5) / actual_WB.sum(axis=-1, keepdims=True)
    return ((q_WB - p_B) * np.log(q_WB / p_B)).sum(axis=-1)


def population_stability(training: ArrayLike, recent: ArrayLike, bins: int = BINS) -> float:
    """PSI of two samples of one feature, in bins of equal shares of the first.

    Raises:
        EvaluationError: a sample is empty, or the first has a value that is not finite.
    """
    edge_E = quantile_edges(training, bins)
    return stability_index(bin_counts(training, edge_E), bin_counts(recent, edge_E))


def _usual(values_O: NDArray, day_O: NDArray, edge_E: NDArray, length: int) -> float:
    """The largest PSI of `length` consecutive days against all days; `day_O` numbers the days from 0."""
    days, bins = int(day_O.max()) + 1, len(edge_E) + 1
    if days < 2 * length:
        return 0.0
    cell_O = day_O * bins + np.searchsorted(edge_E, values_O, side="right")
    counts_DB = np.bincount(cell_O, minlength=days * bins).reshape(days, bins)
    before_DB = np.vstack([np.zeros((1, bins), dtype=np.int64), counts_DB.cumsum(axis=0)])
    return float(_index(before_DB[-1], before_DB[length:] - before_DB[:-length]).max())


def input_drift(training: pd.DataFrame, recent: pd.DataFrame) -> InputDrift:
    """PSI of every feature, on valid bars, all assets pooled.

    Args:
        training: panel or feature table (columns `ts`, `valid` and FEATURES) of the champion's training window.
        recent: the same columns of the last days.

    Returns:
        No index for any feature if one of the tables has fewer than `MIN_BARS` valid bars.
    """
    before, after = training[training["valid"]], recent[recent["valid"]]
    psi, usual = dict[str, float](), dict[str, float]()
    if min(len(before), len(after)) >= MIN_BARS:
        day_O, _ = pd.factorize(before["ts"].dt.floor("D"), sort=True)
        length = after["ts"].dt.floor("D").nunique()
        for name in FEATURES:
            values_O = before[name].to_numpy(float)
            edge_E = quantile_edges(values_O)
            psi[name] = stability_index(bin_counts(values_O, edge_E), bin_counts(after[name], edge_E))
            usual[name] = _usual(values_O, day_O, edge_E, length)
    return InputDrift(psi, usual, len(before), len(after))


def gain_drift(orders: pd.DataFrame, expected_bps: Mapping[str, float], **options: Any) -> GainDrift:
    """Realised against expected gain of the models' executed orders.

    Each order is compared with the gate's mean for its own model, so that nights with different champions count
    together. The interval does not hold the gate's own uncertainty; the tolerance allows for that.

    Args:
        orders: backtests (columns `status`, `model_id`, `arrival`, `gain_bps`). Orders that were excluded, or traded by
            a rule (no model id), are left out.
        expected_bps: the gate's mean gain by model id.
        **options: of `lem.backtest.bootstrap.block_mean`.

    Raises:
        EvaluationError: the gain of an executed order is not finite.
    """
    traded = orders[(orders["status"] == "done") & (orders["model_id"] != "")]
    judged = traded[traded["model_id"].isin(expected_bps)]
    expected_O = judged["model_id"].map(expected_bps).to_numpy(float)
    realised_O = judged["gain_bps"].to_numpy(float)
    return GainDrift(
        realised_bps=float(realised_O.mean()) if len(judged) else math.nan,
        expected_bps=float(expected_O.mean()) if len(judged) else math.nan,
        shortfall=block_mean(realised_O - expected_O, judged["arrival"].dt.normalize(), **options),
        unjudged=len(traded) - len(judged),
    )


def model_age(universe: Universe, train_end: dt.date, date: dt.date) -> int:
    """Age of the model that trades on `date`: number of partitions in [train_end, date)."""
    return len([d for d in partition_dates(universe, train_end, date) if d < date])
