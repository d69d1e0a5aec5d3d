"""A driftless market on which nobody can know anything: the control of whatever claims to earn.

Two draws a bar give exactly the joint law of its increment e and mean y that the bounds assume (over a unit bar
var y = 1/3, cov(e, y) = 1/2; `lem.strategies.bounds`). The simulated source needs many steps inside the bar and only
comes close. The features are those of the pipeline: a look-ahead in them shows here.

Shapes: T = bars.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from lem.data.features import compute_features
from lem.data.panel import Panel, panel_table
from lem.universe.bar_clock import BarClock
from lem.universe.features_config import FeatureConfig

SIGMA = 0.002
"""Per-bar volatility: small, so that a notional order is worth as much as one of a quantity."""
_START = "2024-01-01"


def driftless_market(
    ts: pd.DatetimeIndex, config: FeatureConfig, bars_per_day: int, assets: int, seed: int, sigma: float = SIGMA
) -> Panel:
    """Independent driftless Brownian prices with constant volatility, and volume drawn without a pattern.

    The price itself, not its logarithm, is the martingale.

    Args:
        ts: bar opens (UTC); the first `config.history(bars_per_day)` only serve the features.
        config: of the features.
        bars_per_day: bars of a full day.
        assets: their number; they are called SIM0, SIM1, ...
        seed: of the draws.
        sigma: volatility, log units per bar.
    """
    rng = np.random.default_rng(seed)
    history, bars = config.history(bars_per_day), len(ts)
    close_ts, tables = ts + ts.diff().min(), {}
    for asset in range(assets):
        e_T = rng.standard_normal(bars)
        y_T = e_T / 2 + np.sqrt(1 / 12) * rng.standard_normal(bars)
        close_T = np.exp(np.cumsum(sigma * e_T - sigma**2 / 2))
        open_T = np.concatenate([[1.0], close_T[:-1]])
        vwap_T = open_T * (1.0 + sigma * y_T)
        volume_T = np.exp(0.5 * rng.standard_normal(bars))
        prices = np.stack([open_T, vwap_T, close_T])
        table = pd.DataFrame(
            {
                "ts": ts,
                "close_ts": close_ts,
                "open": open_T,
                "high": prices.max(axis=0),
                "low": prices.min(axis=0),
                "close": close_T,
                "vwap": vwap_T,
                "volume": volume_T,
                "quote_volume": volume_T * vwap_T,
                "flag": "ok",
                "vwap_kind": "exact",
            }
        )
        tables[f"SIM{asset}"] = compute_features(
            table.iloc[:history], table.iloc[history:], config, BarClock(bars_per_day)
        )
    return Panel.from_table(panel_table(tables))


def driftless_panel(
    assets: int,
    days: int,
    seed: int,
    sigma: float = SIGMA,
    *,
    bars_per_day: int = 24,
    features: FeatureConfig | None = None,
) -> Panel:
    """A driftless market in which every bar has its features.

    Args:
        assets: their number.
        days: days of 24 hours, or weekdays where `bars_per_day` is 1.
        seed: of the draws.
        sigma: volatility, log units per bar.
        bars_per_day: bars of a full day.
        features: their settings; the defaults if left out.
    """
    config = features or FeatureConfig()
    step = pd.offsets.BDay() if bars_per_day == 1 else pd.Timedelta("1D") / bars_per_day
    bars = config.history(bars_per_day) + bars_per_day * days
    ts = pd.date_range(_START, periods=bars, freq=step, tz="UTC", unit="us")
    return driftless_market(ts, config, bars_per_day, assets, seed, sigma)
