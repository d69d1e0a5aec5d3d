"""Proof by perturbation that no feature looks ahead: all later bars change, and all earlier features keep their bits.

The asset checks run it on real partitions, the tests on random ones. The same for models is `lem.gate.causality`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from lem.data.features import compute_features
from lem.universe.bar_clock import BarClock
from lem.universe.features_config import FeatureConfig


def perturbed_bars(bars: pd.DataFrame, first: int, seed: int = 0) -> pd.DataFrame:
    """The bars with all prices and volumes changed from row `first` on; they are still valid bars."""
    rng = np.random.default_rng(seed)
    later = np.arange(len(bars)) >= first
    price = np.where(later, np.exp(rng.normal(0.0, 0.05, len(bars))), 1.0)
    volume = np.where(later, np.exp(rng.normal(0.0, 1.0, len(bars))), 1.0)
    prices = {name: bars[name] * price for name in ("open", "high", "low", "close", "vwap")}
    return bars.assign(**prices, volume=bars["volume"] * volume)


def features_are_causal(history: pd.DataFrame, day: pd.DataFrame, config: FeatureConfig, clock: BarClock) -> list[int]:
    """Positions of bars whose features change when only later bars change: empty for causal features."""
    before = compute_features(history, day, config, clock)
    leaks = []
    for row in range(len(day)):
        after = compute_features(history, perturbed_bars(day, row + 1, seed=row), config, clock)
        if not before.iloc[: row + 1].equals(after.iloc[: row + 1]):
            leaks.append(row)
    return leaks
