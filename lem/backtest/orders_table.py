"""The backtest table: every bar of a day an arrival, in all scenarios and for every m, executed by every strategy.

Orders over a gap are in the table too, as excluded, so that every order is accounted for. Gains are given before costs
and without the participation cap (`gain_bps`), before costs under the cap (`capped_gain_bps`) and after costs under the
cap (`net_gain_bps`). The benchmark of `gain_bps` ends with the order, so it depends on when a strategy ends. Three more
gains measure the same fills against prices that do not: the arrival price (`gain_arrival_bps`), and VWAP and TWAP of
all N bars (`gain_full_vwap_bps`, `gain_full_twap_bps`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from lem.backtest.market import market_of
from lem.backtest.oracle import oracle_gain
from lem.backtest.schema import BACKTEST_SCHEMA
from lem.backtest.simulator import Executions, Market, simulate
from lem.data.panel import Panel
from lem.errors import OrderError
from lem.execution.costs import BPS
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import SCENARIOS
from lem.execution.terms import terms_for
from lem.model.lem import LEM
from lem.strategies.base import Setting, Strategy
from lem.strategies.bounds import bound
from lem.strategies.learned import Learned
from lem.strategies.rules import make_rules
from lem.theory.programme import solve
from lem.universe.backtest_config import BacktestConfig

EXCLUDED = "a gap, a bar without trades or missing features within the order's bars"


def execute(
    panel: Panel,
    asset_A: NDArray,
    bar_A: NDArray,
    horizon: int,
    config: BacktestConfig,
    costs: CostsConfig,
    models: Mapping[str, tuple[str, LEM]],
) -> pd.DataFrame:
    """Execute the arrivals with the rules and with each model, before and after costs.

    Args:
        panel: with the bars of the orders and the warm-up before them.
        asset_A: asset row of each arrival.
        bar_A: bar 0 of each arrival.
        horizon: N of all orders.
        config: the values of m, and the risk aversion.
        costs: charged where costs are on.
        models: {strategy name: (model id, model)}; usually one, `lem`. The volume curve is that of `champion`, or of
            the first model where there is no `champion`; without a model it is flat.

    Returns:
        One row per order and strategy (`BACKTEST_SCHEMA`). `slices` has the shares of an order that a model traded in
        bars 0 to N - 1, before costs; it is null for excluded orders and for rules, whose schedule follows from where
        they end.

    Raises:
        OrderError: the orders are too large for `costs.participation_cap`.
    """
    market = market_of(panel, asset_A, bar_A, horizon)
    oracle_O = oracle_gain(market, terms_for(config.min_bars, horizon, config.risk_aversion)).numpy().ravel()
    orders = _orders(panel, asset_A, bar_A, horizon, config, costs, market)
    orders["oracle_bps"] = np.where(orders["status"] == "done", oracle_O * BPS, np.nan)
    frames = []
    for ran in executions(panel, asset_A, bar_A, market, config, costs, models):
        table = _with_results(orders, market, ran.done, ran.net).assign(strategy=ran.strategy, model_id=ran.model_id)
        table["slices"] = _slices(ran.done, table) if ran.model_id else None
        frames.append(table)
    return pd.concat(frames, ignore_index=True)[BACKTEST_SCHEMA.names]


@dataclass(frozen=True)
class Ran:
    """What a strategy made of all orders.

    Args:
        strategy: its name.
        model_id: of a model; empty for rules.
        done: without costs and without the participation cap.
        net: with both.
    """

    strategy: str
    model_id: str
    done: Executions
    net: Executions


def executions(
    panel: Panel,
    asset_A: NDArray,
    bar_A: NDArray,
    market: Market,
    config: BacktestConfig,
    costs: CostsConfig,
    models: Mapping[str, tuple[str, LEM]],
) -> Iterator[Ran]:
    """The orders under every rule and then each model, one strategy after the other.

    Args:
        panel: as for `execute`, and so are the rest.
        asset_A: asset row of each arrival.
        bar_A: bar 0 of each arrival.
        market: of these arrivals (`market_of`).
        config: the values of m, and the risk aversion.
        costs: charged where costs are on.
        models: {strategy name: (model id, model)}.

    Raises:
        OrderError: the orders are too large for `costs.participation_cap`.
    """
    horizon = market.price_AK.shape[1]
    terms = terms_for(config.min_bars, horizon, config.risk_aversion)
    leading = models.get("champion") or next(iter(models.values()), None)
    setting = Setting.beside(leading[1] if leading else None, horizon, costs)
    runs: list[tuple[str, Strategy, str, LEM | None]] = [(rule.name, rule, "", None) for rule in make_rules(setting)]
    runs += [(name, Learned(model), model_id, model) for name, (model_id, model) in models.items()]
    for name, strategy, model_id, model in runs:
        seen = market if model is None else market_of(panel, asset_A, bar_A, horizon, model)
        yield Ran(name, model_id, simulate(strategy, seen, terms), simulate(strategy, seen, terms, costs))


def _orders(
    panel: Panel,
    asset_A: NDArray,
    bar_A: NDArray,
    horizon: int,
    config: BacktestConfig,
    costs: CostsConfig,
    market: Market,
) -> pd.DataFrame:
    """One row per order: the columns that are the same for every strategy, and the arrival price."""
    arrivals, limits, scenarios = len(asset_A), len(config.min_bars), len(SCENARIOS)
    per_arrival = limits * scenarios
    accepted_O = np.repeat(market.accepted_A.numpy(), per_arrival)
    bound_M = np.array([bound(m, horizon) for m in config.min_bars])
    net_bound_M = np.array([net_bound(m, horizon, costs) for m in config.min_bars])
    sigma_O = np.where(accepted_O, np.repeat(market.sigma_A.numpy(), per_arrival), np.nan)
    return pd.DataFrame(
        {
            "asset": np.repeat(np.array(panel.assets)[asset_A], per_arrival),
            "arrival": pd.DatetimeIndex(np.repeat(panel.ts_T[bar_A], per_arrival)).tz_localize("UTC"),
            "side": np.tile([str(s.side) for s in SCENARIOS], arrivals * limits),
            "benchmark": np.tile([str(s.benchmark) for s in SCENARIOS], arrivals * limits),
            "target": np.tile([str(s.target) for s in SCENARIOS], arrivals * limits),
            "min_bars": np.tile(np.repeat(config.min_bars, scenarios), arrivals),
            "max_bars": horizon,
            "status": np.where(accepted_O, "done", "excluded"),
            "reason": np.where(accepted_O, "", EXCLUDED),
            "sigma_bps": sigma_O * BPS,
            "bound_bps": np.tile(np.repeat(bound_M, scenarios), arrivals) * sigma_O * BPS,
            "net_bound_bps": np.tile(np.repeat(net_bound_M, scenarios), arrivals) * sigma_O * BPS
            - (costs.fee_bps + costs.half_spread_bps),
            "arrival_price": np.repeat(panel.close_NT[asset_A, np.maximum(bar_A - 1, 0)], per_arrival),
        }
    )


def net_bound(m: int, n: int, costs: CostsConfig) -> float:
    """The most that any strategy gains on average on a driftless market after impact, in sigma, under the cap.

    Fee and half spread are left out: they take the same of every order.

    Args:
        m: fewest bars of an order.
        n: N, most bars of an order.
        costs: impact, size of the orders and participation cap; every bar's volume is at its mean.

    Raises:
        OrderError: the orders are too large for the cap.
    """
    if problem := costs.size_problem(n):
        raise OrderError(problem)
    impact = costs.impact * math.sqrt(costs.order_size)
    return solve(m, n, impact, min(1.0, costs.largest_rate)).value


def _slices(done: Executions, table: pd.DataFrame) -> pd.Series:
    """The slices of each executed order, float32 arrays (N,); None where it was excluded."""
    slice_OK = done.slices_KO.flatten(1).T.contiguous().to(torch.float32).numpy()
    executed = pd.Series(list(slice_OK), index=table.index, dtype=object)
    return executed.where(table["status"] == "done", None)


def _with_results(orders: pd.DataFrame, market: Market, done: Executions, net: Executions) -> pd.DataFrame:
    """The orders with what one strategy made of them, before costs (`done`) and with them (`net`)."""
    accepted_O, price_O = (orders["status"] == "done").to_numpy(), orders["arrival_price"].to_numpy()
    sign_O = np.where(orders["side"] == "buy", 1.0, -1.0)
    achieved_O = done.achieved_O.numpy().ravel()

    def numeric(values: NDArray) -> NDArray:
        return np.where(accepted_O, values.ravel(), np.nan)

    def bars(values: NDArray) -> NDArray:
        return np.where(accepted_O, values.ravel(), 0)

    def against_all_bars(weight_AK: Tensor) -> NDArray:
        full_A = (market.price_AK * weight_AK).sum(1) / weight_AK.sum(1)
        full_O = full_A[:, None, None].expand_as(done.achieved_O).numpy().ravel()
        return numeric(sign_O * (1.0 - achieved_O / full_O) * BPS)

    gain_bps = numeric(done.gain_O.numpy() * BPS)
    return orders.assign(
        gain_bps=gain_bps,
        gain_sigma=gain_bps / orders["sigma_bps"],
        gain_arrival_bps=numeric(sign_O * (1.0 - achieved_O) * BPS),
        gain_full_vwap_bps=against_all_bars(market.volume_AK),
        gain_full_twap_bps=against_all_bars(torch.ones_like(market.price_AK)),
        capped_gain_bps=numeric(net.gain_O.numpy() * BPS),
        net_gain_bps=numeric(net.net_gain_O.numpy() * BPS),
        end_bar=bars(done.end_bar_O.numpy()),
        net_end_bar=bars(net.end_bar_O.numpy()),
        achieved=numeric(achieved_O * price_O),
        benchmark_price=numeric(done.benchmark_O.numpy().ravel() * price_O),
    )
