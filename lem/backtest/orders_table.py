"""The backtest table: every bar of a day an arrival, in all scenarios and for every m, executed by every strategy.

Orders over a gap are in the table too, as excluded, so that every order is accounted for.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as arrow
from numpy.typing import NDArray

from lem.backtest.bounds import bound
from lem.backtest.config import BacktestConfig
from lem.backtest.market import market_of, terms_for
from lem.backtest.simulator import Executions, Market, simulate
from lem.model.lem import LEM
from lem.orders import SCENARIOS
from lem.panel import Panel
from lem.strategies.base import Strategy
from lem.strategies.learned import Learned
from lem.strategies.optimal_stopping import OptimalStopping
from lem.strategies.twap import Twap

BPS = 1e4
RULES: tuple[Strategy, ...] = (Twap(), OptimalStopping())

BACKTEST_SCHEMA = arrow.schema(
    [
        ("asset", arrow.string()),
        ("arrival", arrow.timestamp("us", tz="UTC")),
        ("side", arrow.string()),
        ("benchmark", arrow.string()),
        ("target", arrow.string()),
        ("min_bars", arrow.int64()),
        ("max_bars", arrow.int64()),
        ("strategy", arrow.string()),
        ("model_id", arrow.string()),
        ("status", arrow.string()),
        ("reason", arrow.string()),
        ("sigma_bps", arrow.float64()),
        ("gain_bps", arrow.float64()),
        ("gain_sigma", arrow.float64()),
        ("gain_arrival_bps", arrow.float64()),
        ("bound_bps", arrow.float64()),
        ("end_bar", arrow.int64()),
        ("achieved", arrow.float64()),
        ("benchmark_price", arrow.float64()),
    ]
)
EXCLUDED = "a gap, a bar without trades or missing features within the order's bars"


def execute(
    panel: Panel,
    asset_A: NDArray,
    bar_A: NDArray,
    horizon: int,
    config: BacktestConfig,
    models: dict[str, tuple[str, LEM]],
) -> pd.DataFrame:
    """Execute the arrivals with the rules and with each model.

    Args:
        asset_A, bar_A: places of the arrivals in the panel.
        models: {strategy name: (model id, model)}; usually one, `lem`.

    Returns:
        One row per order and strategy (`BACKTEST_SCHEMA`).
    """
    terms = terms_for(config.min_bars, horizon, config.risk_aversion)
    runs: list[tuple[str, str, Strategy, LEM | None]] = [(rule.name, "", rule, None) for rule in RULES]
    runs += [(name, model_id, Learned(model), model) for name, (model_id, model) in models.items()]
    frames = []
    for name, model_id, strategy, model in runs:
        market = market_of(panel, asset_A, bar_A, horizon, model)
        done = simulate(strategy, market, terms)
        frames.append(_rows(panel, asset_A, bar_A, horizon, config, market, done, name, model_id))
    return pd.concat(frames, ignore_index=True)


def _rows(
    panel: Panel,
    asset_A: NDArray,
    bar_A: NDArray,
    horizon: int,
    config: BacktestConfig,
    market: Market,
    done: Executions,
    name: str,
    model_id: str,
) -> pd.DataFrame:
    arrivals, limits, scenarios = done.gain_O.shape
    per_arrival = limits * scenarios
    accepted_O = np.repeat(market.accepted_A.numpy(), per_arrival)
    sigma_O = np.repeat(market.sigma_A.numpy(), per_arrival)
    price_O = np.repeat(panel.close_NT[asset_A, np.maximum(bar_A - 1, 0)], per_arrival)
    sign_O = np.tile([scenario.side.sign for scenario in SCENARIOS], arrivals * limits)
    gain_O, achieved_O, benchmark_O = (x.numpy().ravel() for x in (done.gain_O, done.achieved_O, done.benchmark_O))
    bound_M = np.array([bound(m, horizon) for m in config.min_bars])

    def numeric(values: NDArray) -> NDArray:
        return np.where(accepted_O, values, np.nan)

    return pd.DataFrame(
        {
            "asset": np.repeat(np.array(panel.assets)[asset_A], per_arrival),
            "arrival": pd.DatetimeIndex(np.repeat(panel.ts_T[bar_A], per_arrival)).tz_localize("UTC"),
            "side": np.tile([str(s.side) for s in SCENARIOS], arrivals * limits),
            "benchmark": np.tile([str(s.benchmark) for s in SCENARIOS], arrivals * limits),
            "target": np.tile([str(s.target) for s in SCENARIOS], arrivals * limits),
            "min_bars": np.tile(np.repeat(config.min_bars, scenarios), arrivals),
            "max_bars": horizon,
            "strategy": name,
            "model_id": model_id,
            "status": np.where(accepted_O, "done", "excluded"),
            "reason": np.where(accepted_O, "", EXCLUDED),
            "sigma_bps": numeric(sigma_O * BPS),
            "gain_bps": numeric(gain_O * BPS),
            "gain_sigma": numeric(gain_O / sigma_O),
            "gain_arrival_bps": numeric(sign_O * (1.0 - achieved_O) * BPS),
            "bound_bps": numeric(np.tile(np.repeat(bound_M, scenarios), arrivals) * sigma_O * BPS),
            "end_bar": np.where(accepted_O, done.end_bar_O.numpy().ravel(), 0),
            "achieved": numeric(achieved_O * price_O),
            "benchmark_price": numeric(benchmark_O * price_O),
        }
    )
