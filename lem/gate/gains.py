"""What the gate judges by: the gains of its orders under the contenders and every rule, a column each.

An asset is executed at a time: what lies in memory at once are the gains, not the orders' bars and slices.

Shapes: T = bars, A = arrivals of an asset, O = orders (arrivals, values of m, scenarios).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lem.backtest.market import market_of
from lem.backtest.orders_table import executions
from lem.data.panel import Panel
from lem.execution.costs import BPS
from lem.execution.orders import SCENARIOS
from lem.execution.worth import shortfall
from lem.model.contender import Contender
from lem.universe import Universe

Bps = TypeVar("Bps", pd.Series, pd.DataFrame)


def worth(net_bps: Bps, sigma_bps: pd.Series | NDArray | float, risk_aversion: float) -> Bps:
    """What gains after costs are worth to the orders (`lem.execution.worth`), bps.

    A loss weighs more than a gain by what the orders' risk aversion says, so strategies of different risk can be
    compared by the mean of this.

    Args:
        net_bps: the gains.
        sigma_bps: volatility of a bar when each order arrived.
        risk_aversion: lambda of the orders.
    """
    sigma_O = np.asarray(sigma_bps, dtype=np.float64)
    sigma_O = sigma_O[:, None] if net_bps.ndim == 2 and sigma_O.ndim else sigma_O
    lost = shortfall(torch.from_numpy(net_bps.to_numpy(dtype=np.float64) / sigma_O)).numpy() * sigma_O
    return net_bps - risk_aversion / 2 * lost


@dataclass(frozen=True)
class GateOrders:
    """The gate's orders, a row each; gains have a column for each strategy.

    Args:
        arrival: of each order, UTC.
        gross: gains before costs, bps.
        net: gains after costs, bps.
        worth: what the gains after costs are worth (`worth`), bps.
    """

    arrival: pd.Series
    gross: pd.DataFrame
    net: pd.DataFrame
    worth: pd.DataFrame


def gate_orders(
    panel: Panel, universe: Universe, gate_start: dt.date, contenders: Mapping[str, Contender]
) -> GateOrders:
    """The orders of the gate's window, executed by the contenders and every rule.

    Args:
        panel: the window with the warm-up before it.
        universe: its orders and costs.
        gate_start: first date of the window.
        contenders: the models, by the name of their column.
    """
    accepted_NT = panel.accepted(universe.horizon) & (panel.date_T >= np.datetime64(gate_start))
    per_arrival = len(universe.backtest.min_bars) * len(SCENARIOS)
    count = int(accepted_NT.sum()) * per_arrival
    # One asset behind the other, into columns of their final length: joined afterwards, all would be there twice.
    tables = [dict[str, NDArray]() for _ in range(3)]
    ts_O, done = np.empty(count, dtype="datetime64[us]"), 0
    for symbol, accepted_T in zip(panel.assets, accepted_NT, strict=True):
        if not accepted_T.any():
            continue
        bar_A = np.flatnonzero(accepted_T)
        rows = slice(done, done + len(bar_A) * per_arrival)
        ts_O[rows] = np.repeat(panel.ts_T[bar_A], per_arrival)
        for name, *bps in _of_asset(panel.of([symbol]), bar_A, universe, contenders):
            for table, bps_O in zip(tables, bps, strict=True):
                table.setdefault(name, np.empty(count))[rows] = bps_O
        done = rows.stop
    arrival = pd.Series(pd.DatetimeIndex(ts_O).tz_localize("UTC"), name="arrival")
    gross, net, worth_ = (pd.DataFrame(table, copy=False) for table in tables)
    return GateOrders(arrival, gross, net, worth_)


def _of_asset(
    panel: Panel, bar_A: NDArray, universe: Universe, contenders: Mapping[str, Contender]
) -> Iterator[tuple[str, NDArray, NDArray, NDArray]]:
    """Each strategy's name with the gains of one asset's orders: before costs, after them, and what these are worth."""
    horizon, config = universe.horizon, universe.backtest
    models = {name: (one.model_id, one.model) for name, one in contenders.items()}
    asset_A = np.zeros_like(bar_A)
    market = market_of(panel, asset_A, bar_A, horizon)
    sigma_O = np.repeat(market.sigma_A.numpy() * BPS, len(config.min_bars) * len(SCENARIOS))
    for ran in executions(panel, asset_A, bar_A, market, config, universe.costs, models):
        net = pd.Series(ran.net.net_gain_O.numpy().ravel() * BPS)
        valued = worth(net, sigma_O, config.risk_aversion)
        yield ran.strategy, ran.done.gain_O.numpy().ravel() * BPS, net.to_numpy(), valued.to_numpy()
