"""A driftless market: prices that nobody can foretell, on which the bounds of `lem.backtest.bounds` hold exactly."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lem.features import FeatureConfig, compute_features
from lem.panel import Panel, panel_table

SIGMA = 0.002
"""Per-bar volatility of the driftless market: small, so that a notional order is worth what a quantity is."""
_START = "2024-01-01"
_SESSION = pd.Timedelta("6h30min")


def driftless_panel(
    assets: int,
    days: int,
    seed: int,
    sigma: float = SIGMA,
    *,
    bars_per_day: int = 24,
    features: FeatureConfig | None = None,
) -> Panel:
    """Bars of independent driftless Brownian prices with constant volatility, volume drawn without a pattern.

    This is not the simulated source because two draws a bar give exactly the joint law of its increment e and mean y
    that the bounds assume (over a unit bar var y = 1/3, cov(e, y) = 1/2), where that source pays for many steps inside
    the bar and only comes close. The price itself, not its logarithm, is the martingale.

    Args:
        days: of 24 hours, or sessions where `bars_per_day` is 1 (weekdays). sigma: per bar. features: their trailing
            windows, in bars; every bar of the panel has them.
    """
    rng = np.random.default_rng(seed)
    config, bars = features or FeatureConfig(), bars_per_day * days
    history = config.history(bars_per_day)
    count, tables = history + bars, {}
    length = _SESSION if bars_per_day == 1 else pd.Timedelta("1D") / bars_per_day
    step = pd.offsets.BDay() if bars_per_day == 1 else length
    ts = pd.date_range(_START, periods=count, freq=step, tz="UTC", unit="us")
    if bars_per_day == 1:
        ts += pd.Timedelta("14h30min")
    for asset in range(assets):
        e_T = rng.standard_normal(count)
        y_T = e_T / 2 + np.sqrt(1 / 12) * rng.standard_normal(count)
        close_T = np.exp(np.cumsum(sigma * e_T - sigma**2 / 2))
        open_T = np.concatenate([[1.0], close_T[:-1]])
        vwap_T = open_T * (1.0 + sigma * y_T)
        volume_T = np.exp(0.5 * rng.standard_normal(count))
        prices = np.stack([open_T, vwap_T, close_T])
        table = pd.DataFrame(
            {
                "ts": ts,
                "close_ts": ts + length,
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
        tables[f"SIM{asset}"] = compute_features(table.iloc[:history], table.iloc[history:], config, bars_per_day)
    return Panel.from_table(panel_table(tables))
