"""Small markets, models and orders that the tests of the library share."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import torch
from hypothesis import settings

from lem.backtest.simulator import Market
from lem.data.features import compute_features
from lem.data.panel import Panel, panel_table
from lem.execution.orders import SCENARIOS, Order
from lem.execution.terms import Terms, make_terms
from lem.model.lem import LEM
from lem.strategies.base import Decision, View
from lem.universe.bar_clock import BarClock
from lem.universe.features_config import FeatureConfig
from lem.universe.model_config import ModelConfig
from lem.universe.training_config import TrainingConfig

START = dt.date(2024, 1, 1)
PROPERTY = settings(deadline=None, max_examples=25)
SIGMA = 0.01
"""Per-bar volatility of the Brownian bars, unless a test asks for another one."""

FEATURE_CONFIG = FeatureConfig(volatility=48, short_volatility=6, volume=24, seasons=2)
"""Short windows: 49 bars of history for hourly bars."""

TINY = ModelConfig(hidden=8, embedding=2, kan_layers=2, kan_width=3, heads=2, lookback=4, head_hidden=8, warmup=6)
TINY_TRAINING = TrainingConfig(window_days=8, holdout_days=2, steps=4, batch=2, sequence=24, learning_rate=1e-2, seed=3)


def brownian_steps(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Increment e ~ N(0, 1) of each unit bar and its mean y over the bar: var y = 1/3, cov(e, y) = 1/2."""
    e = rng.standard_normal(shape)
    return e, e / 2 + np.sqrt(1 / 12) * rng.standard_normal(shape)


def brownian_bars(
    days: int, seed: int = 0, sigma: float = SIGMA, start: dt.date = START, momentum: float = 0.0
) -> pd.DataFrame:
    """Hourly bars (table `bars`) of a driftless log price, or of one whose returns have an AR(1) `momentum`."""
    rng = np.random.default_rng(seed)
    count = 24 * days
    e, y = brownian_steps(rng, (count,))
    if momentum:
        carried = np.zeros(count)
        for t in range(1, count):
            carried[t] = momentum * (carried[t - 1] + e[t - 1])
        e, y = e + carried, y + carried / 2
    log_close = np.log(100.0) + sigma * np.cumsum(e)
    log_open = log_close - sigma * e
    prices = np.exp(np.stack([log_open, log_open + sigma * y, log_close]))
    ts = pd.date_range(start, periods=count, freq="h", tz="UTC", unit="us", name="ts")
    volume = np.exp(rng.normal(0.0, 0.5, count)) * (2 + np.sin(2 * np.pi * ts.hour / 24))
    return pd.DataFrame(
        {
            "ts": ts,
            "close_ts": ts + pd.Timedelta("1h"),
            "open": prices[0],
            "high": prices.max(axis=0) * 1.0001,
            "low": prices.min(axis=0) / 1.0001,
            "close": prices[2],
            "volume": volume,
            "quote_volume": volume * prices[1],
            "vwap": prices[1],
            "flag": "ok",
            "vwap_kind": "exact",
        }
    )


def without_values(bars: pd.DataFrame, rows: list[int], flag: str) -> pd.DataFrame:
    """The bars with some rows turned into outages or into bars without trades."""
    out = bars.copy()
    if flag == "outage":
        lost = ["open", "high", "low", "close", "volume", "quote_volume", "vwap"]
    else:
        lost = ["vwap"]
        out.loc[rows, ["volume", "quote_volume"]] = 0.0
    out.loc[rows, lost] = np.nan
    out.loc[rows, "flag"] = flag
    return out


def features_of(bars: pd.DataFrame, config: FeatureConfig = FEATURE_CONFIG) -> pd.DataFrame:
    """Features of all the bars, as if they were one day without history."""
    return compute_features(bars.iloc[:0], bars, config, BarClock(24))


def brownian_panel(days: int = 6, assets: int = 1, seed: int = 0, **options: Any) -> Panel:
    """A panel of independent assets AAA, BBB, ... on Brownian bars; the first 48 bars have no features yet."""
    names = [letter * 3 for letter in "ABCDEFGH"[:assets]]
    tables = {name: features_of(brownian_bars(days, seed + i, **options)) for i, name in enumerate(names)}
    return Panel.from_table(panel_table(tables))


def lively_model(config: ModelConfig = TINY, seed: int = 0, scale: float = 0.5) -> LEM:
    """A model with random weights everywhere: the heads' last layer, zero in a new model, included."""
    model = LEM(config, seed=seed).eval()
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("heads.out") or "bias" in name:
                parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return model


def timing_model(sign: float, config: ModelConfig = TINY, strength: float = 12.0) -> LEM:
    """An even pace that finishes when side * (last close - benchmark) is low (sign -1) or high (sign +1)."""
    model = LEM(config).eval()
    with torch.no_grad():
        for parameter in model.heads.parameters():
            parameter.zero_()
        model.heads.state_SJD[:, 1, 0] = sign * 4.0
        model.heads.out_SD2[:, 0, 1] = strength
        model.heads.out_bias_S2[:, 1] = -strength
    return model


def terms_of(m: Any, n: Any, low: Any = 0.0, high: Any = 1.0, risk: Any = 1.0) -> Terms:
    """Orders in all eight scenarios, float64; each limit a number or a tensor broadcastable to (A, M, 8)."""

    def column(value: Any) -> torch.Tensor:
        tensor = torch.as_tensor(value, dtype=torch.float64)
        return tensor if tensor.dim() == 3 else tensor.reshape(-1, 1, 1)

    return make_terms(SCENARIOS, column(m), column(n), column(low), column(high), column(risk))


def random_limits(rng: np.random.Generator, orders: int, horizon: int) -> Terms:
    """Feasible orders with random m, N, smallest and largest rate, one an arrival: shape (A, 1, 8)."""
    n = rng.integers(1, horizon + 1, orders)
    m = rng.integers(1, n + 1)
    high = np.where(rng.random(orders) < 0.3, 1 / n, 1 / n + (1 - 1 / n) * rng.random(orders) ** 2)
    low = np.minimum(high, 1 / m) * np.where(rng.random(orders) < 0.3, 0.0, rng.random(orders))
    return terms_of(m, n, low, high, rng.random(orders) * 3)


def random_order(rng: np.random.Generator, horizon: int) -> Order:
    """Any feasible order of at most `horizon` bars; its cap binds tightly in one of three."""
    n = int(rng.integers(1, horizon + 1))
    m = int(rng.integers(1, n + 1))
    high = 1 / n if rng.random() < 1 / 3 else 1 / n + (1 - 1 / n) * rng.random() ** 2
    low = min(high, 1 / m) * (rng.random() if rng.random() < 0.7 else 1.0)
    return Order(SCENARIOS[rng.integers(8)], m, n, low, high, 3 * rng.random())


def random_market(rng: np.random.Generator, arrivals: int, horizon: int, sigma: float = SIGMA) -> Market:
    """Prices relative to the arrival price, without contexts; the clock has 24 slots, arrival a begins in slot a."""
    e, y = brownian_steps(rng, (arrivals, horizon))
    close = np.exp(sigma * np.cumsum(e, axis=1))
    before = np.concatenate([np.ones((arrivals, 1)), close[:, :-1]], axis=1)
    return Market(
        price_AK=torch.from_numpy(before * np.exp(sigma * y)),
        volume_AK=torch.from_numpy(np.exp(rng.normal(0.0, 0.7, (arrivals, horizon)))),
        last_close_AK=torch.from_numpy(before),
        sigma_A=torch.full((arrivals,), sigma, dtype=torch.float64),
        accepted_A=torch.ones(arrivals, dtype=torch.bool),
        slot_AK=(torch.arange(arrivals)[:, None] + torch.arange(horizon)) % 24,
    )


class Erratic:
    """Asks for random slices, many of them impossible, and to finish at random times."""

    name = "erratic"

    def __init__(self, seed: int, eagerness: float = 0.3) -> None:
        self.generator, self.eagerness = torch.Generator().manual_seed(seed), eagerness

    def decide(self, view: View) -> Decision:
        shape = view.ledger.remaining_O.shape
        asked = torch.randn(shape, generator=self.generator, dtype=torch.float64)
        return Decision(asked, torch.rand(shape, generator=self.generator) < self.eagerness)
