"""Proof by perturbation that no feature looks ahead: all later bars change, and all earlier features keep their bits.

The asset checks run it on real partitions, the tests on random ones. The same for models is `lem.gate.causality`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from lem.data.features import features_of_days
from lem.data.tape import NUMBERS, Tape
from lem.universe.bar_clock import BarClock
from lem.universe.features_config import FeatureConfig

TOGETHER = 16
"""Perturbed days whose features are computed at once. One by one, most of the time is the making of small tables; a
hundred at once take no less time, and 0.1 GB more where bars are minutes."""


def perturbed_bars(bars: Tape, first: int, seed: int = 0) -> Tape:
    """The bars with all prices and volumes changed from position `first` on; they are still valid bars."""
    rng = np.random.default_rng(seed)
    later_T = np.arange(len(bars)) >= first
    price_T = np.where(later_T, np.exp(rng.normal(0.0, 0.05, len(bars))), 1.0)
    volume_T = np.where(later_T, np.exp(rng.normal(0.0, 1.0, len(bars))), 1.0)
    factors = {f"{name}_T": volume_T if name == "volume" else price_T for name in NUMBERS}
    return replace(bars, **{name: getattr(bars, name) * factor_T for name, factor_T in factors.items()})


def features_are_causal(history: pd.DataFrame, day: pd.DataFrame, config: FeatureConfig, clock: BarClock) -> list[int]:
    """Positions of bars whose features change when only later bars change: empty for causal features."""
    past, own = [Tape.of(history)], Tape.of(day)
    (before,) = features_of_days([(past, own)], config, clock)
    leaks = list[int]()
    for start in range(0, len(own), TOGETHER):
        rows = range(start, min(start + TOGETHER, len(own)))
        days = [(past, perturbed_bars(own, row + 1, seed=row)) for row in rows]
        for row, after in zip(rows, features_of_days(days, config, clock), strict=True):
            if not before.iloc[: row + 1].equals(after.iloc[: row + 1]):
                leaks.append(row)
    return leaks
