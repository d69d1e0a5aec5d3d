"""The random-walk control: on a driftless market a model gains no more than the bound, and nothing where m = N.

A larger gain is a look-ahead, in the model or in what evaluates it. There is one such control: the promotion gate
(`lem.gate.sanity`) judges by it, and the leak panel (`lem.backtest.leaks`) shows the same orders with the same verdict.

The excess over the bound is measured as the model's gain minus that of a rule on the same orders: optimal stopping with
the true volatility, whose expectation is the bound, or TWAP where m = N, whose expectation is zero. It has the same
expectation with a fraction of the noise. Standard errors are over independent assets.

Shapes: A = arrivals, M = limits, S = scenarios, O = (A, M, S), T = bars.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lem.backtest.bootstrap import clustered_mean
from lem.backtest.driftless import SIGMA, driftless_market
from lem.backtest.market import market_of, spread
from lem.backtest.simulator import simulate
from lem.execution.orders import SCENARIOS, Benchmark
from lem.execution.terms import terms_for
from lem.model.lem import LEM
from lem.strategies.bounds import bound
from lem.strategies.learned import Learned
from lem.strategies.optimal_stopping import OptimalStopping
from lem.strategies.twap import Twap
from lem.universe import Universe

WALKS = 40
"""Independent assets of the driftless market."""
ARRIVALS = 2000
"""Arrivals that are executed, spread over the window."""
ERRORS = 3.0
"""Standard errors by which a gain may miss what is allowed."""
NOTHING_SIGMA = 0.005
"""What counts as nothing, in sigma: a notional order is worth not quite as much as one of a quantity."""


@dataclass(frozen=True)
class WalkGain:
    """What a model gained on the random walk with orders of one m, in sigma.

    Args:
        min_bars: m.
        fixed: whether m = N, so that nothing can be timed.
        bound: the most that can be gained; 0 where nothing can be timed.
        excess: mean gain beyond the bound.
        error: standard error of the excess.
        assets: number of independent assets of the market.
        arrivals: number of arrivals that were executed.
        scenarios: number of scenarios that enter the mean.
    """

    min_bars: int
    fixed: bool
    bound: float
    excess: float
    error: float
    assets: int
    arrivals: int
    scenarios: int

    @property
    def gain(self) -> float:
        """The mean gain."""
        return self.bound + self.excess

    @property
    def tolerance(self) -> float:
        """By how much the gain may miss what is allowed."""
        return ERRORS * self.error + NOTHING_SIGMA

    @property
    def passed(self) -> bool:
        """Whether the gain is within the bound, or nothing where nothing can be timed; either up to the tolerance."""
        return (abs(self.excess) if self.fixed else self.excess) <= self.tolerance


def random_walk(ts_T: NDArray, inside_T: NDArray, model: LEM, universe: Universe) -> list[WalkGain]:
    """The gains for every m of the universe's backtest and for N; none where no order fits into the window.

    Args:
        ts_T: bar opens of a panel of the universe; the market has the same clock.
        inside_T: bool, the bars of the window; those before it are warm-up.
        model: what decides.
        universe: its horizon, features and seed make the market, its limits the orders.
    """
    horizon = universe.horizon
    history = universe.features.history(universe.bars_per_day)
    clock = pd.DatetimeIndex(ts_T).tz_localize("UTC")
    before = pd.date_range(end=clock[0], periods=history + 1, freq=universe.bar_length, unit="us")[:-1]
    grid = pd.DatetimeIndex([*before, *clock])
    panel = driftless_market(grid, universe.features, universe.bars_per_day, WALKS, universe.training.seed)
    asset_A, bar_A = np.nonzero(panel.accepted(horizon) & inside_T)
    if not len(bar_A):
        return []
    chosen = spread(len(asset_A), ARRIVALS)
    asset_A, bar_A = asset_A[chosen], bar_A[chosen]
    min_bars = tuple(sorted({*universe.backtest.min_bars, horizon}))
    terms = terms_for(min_bars, horizon, universe.backtest.risk_aversion)
    market = market_of(panel, asset_A, bar_A, horizon, model)
    exact = replace(market, sigma_A=torch.full_like(market.sigma_A, SIGMA), context_AKH=None)
    twap_S = np.array([s.benchmark is Benchmark.TWAP for s in SCENARIOS])
    own = simulate(Learned(model), market, terms)
    beside = {m: Twap() if m == horizon else OptimalStopping() for m in min_bars}
    gain_O = own.gain_O.numpy() / SIGMA
    rule_O = {rule.name: simulate(rule, exact, terms).gain_O.numpy() / SIGMA for rule in beside.values()}
    gains = []
    for i, m in enumerate(min_bars):
        # The bound is that of TWAP orders; where nothing can be timed every scenario's expectation is zero.
        columns_S = twap_S | (m == horizon)
        excess_A = (gain_O - rule_O[beside[m].name])[:, i, columns_S].mean(axis=1)
        excess, error, _ = clustered_mean(excess_A, asset_A)
        most = bound(m, horizon) if m < horizon else 0.0
        counts = WALKS, len(asset_A), int(columns_S.sum())
        gains.append(WalkGain(m, m == horizon, most, excess, error, *counts))
    return gains
