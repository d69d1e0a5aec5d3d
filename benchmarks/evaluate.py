"""Every bar of a period is an arrival, executed by several strategies: the gains of all orders, as arrays.

Shapes: A = arrivals, M = values of m, S = scenarios, in the order of `lem.execution.orders.SCENARIOS`.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import BenchmarkError, Row
from benchmarks.marks import Marks, joined, marks_of
from lem.backtest.bootstrap import clustered_mean, day_blocks
from lem.backtest.market import context_of, contexts_at, market_of, spread
from lem.backtest.oracle import oracle_gain
from lem.backtest.simulator import simulate
from lem.data.panel import Panel
from lem.execution.costs import BPS
from lem.execution.costs_config import CostsConfig
from lem.execution.terms import terms_for
from lem.model.lem import LEM
from lem.strategies.base import Strategy
from lem.strategies.bounds import FillLaw, bound
from lem.strategies.learned import Learned
from lem.theory.programme import solve
from lem.theory.signs import signs_bound

CHUNK = 2048
MEASURED = ", fills as measured"
"""Added to the name of a rule or bound for the fills of the training window (`lem.strategies.bounds.fill_law`)."""


@dataclass(frozen=True)
class Arrivals:
    """Accepted arrivals of a period.

    Args:
        asset_A: row of the asset in the panel.
        bar_A: position of the order's bar 0.
        day_A: day of the arrival (datetime64[D]).
        sigma_A: per-bar volatility at arrival, in bps.
    """

    asset_A: NDArray
    bar_A: NDArray
    day_A: NDArray
    sigma_A: NDArray


@dataclass(frozen=True)
class Gains:
    """Gains in bps, float32.

    Args:
        gross_AMS: before costs; None if only what is kept was asked for.
        net_AMS: after costs and under the participation cap; gross if costs are off.
        marks: of the orders after costs (`benchmarks.marks`); None if they were not asked for.
    """

    gross_AMS: NDArray | None
    net_AMS: NDArray
    marks: Marks | None = None

    @property
    def before_AMS(self) -> NDArray:
        """Gains before costs, which were asked for."""
        assert self.gross_AMS is not None
        return self.gross_AMS


def arrivals(
    panel: Panel, start: dt.date, end: dt.date, horizon: int, assets: tuple[str, ...] = (), every: int = 1
) -> Arrivals:
    """Every bar of the dates [start, end) at which an order may arrive, of all assets or of some.

    Args:
        panel: with the bars.
        start: first date.
        end: first date after.
        horizon: N.
        assets: all if left out.
        every: 1 takes every such bar, n every n-th.

    Raises:
        BenchmarkError: there is no such bar.
    """
    inside_T = (panel.date_T >= np.datetime64(start)) & (panel.date_T < np.datetime64(end))
    wanted_N = np.isin(panel.assets, assets or panel.assets)
    asset_A, bar_A = np.nonzero(panel.accepted(horizon) & inside_T & wanted_N[:, None])
    if not len(asset_A):
        raise BenchmarkError(f"no order of {horizon} bars may arrive in [{start}, {end}) of {', '.join(panel.assets)}")
    asset_A, bar_A = asset_A[::every], bar_A[::every]
    return Arrivals(asset_A, bar_A, panel.date_T[bar_A], panel.sigma_NT[asset_A, bar_A - 1] * BPS)


@torch.no_grad()
def gains(
    panel: Panel,
    orders: Arrivals,
    strategy: Strategy | LEM,
    min_bars: tuple[int, ...],
    horizon: int,
    risk_aversion: float = 1.0,
    costs: CostsConfig | None = None,
    before_costs: bool = True,
    impact_decay: float = 0.0,
    marked: tuple[int, ...] = (),
) -> Gains:
    """Execute all arrivals for every m and scenario; a model is used as the strategy `Learned`.

    Args:
        panel: with the bars of the orders and the warm-up before them.
        orders: the arrivals.
        strategy: a rule, or a model.
        min_bars: the values of m.
        horizon: N.
        risk_aversion: lambda of the orders.
        costs: none if left out.
        before_costs: whether orders are executed without costs too.
        impact_decay: see `simulate`.
        marked: of `min_bars` those whose orders' marks are kept, after costs.
    """
    context_NTH = context_of(panel, strategy) if isinstance(strategy, LEM) else None
    rule: Strategy = Learned(strategy) if isinstance(strategy, LEM) else strategy
    terms = terms_for(min_bars, horizon, risk_aversion)
    gross, net, marks = [], [], list[Marks]()
    for low in range(0, len(orders.asset_A), CHUNK):
        asset_A, bar_A = orders.asset_A[low : low + CHUNK], orders.bar_A[low : low + CHUNK]
        market = market_of(panel, asset_A, bar_A, horizon)
        if context_NTH is not None:
            market = replace(market, context_AKH=contexts_at(context_NTH, asset_A, bar_A, horizon))
        if before_costs or costs is None:
            gross.append((simulate(rule, market, terms).gain_O * BPS).float().numpy())
        if costs is not None:
            done = simulate(rule, market, terms, costs, impact_decay)
            net.append((done.net_gain_O * BPS).float().numpy())
            if marked:
                marks.append(marks_of(panel, asset_A, bar_A, terms, done, [min_bars.index(m) for m in marked]))
    before = np.concatenate(gross) if gross else None
    after = before if before is not None and costs is None else np.concatenate(net)
    return Gains(before, after, joined(marks) if marks else None)


def bound_gains(
    market: str,
    panel: Panel,
    orders: Arrivals,
    min_bars: tuple[int, ...],
    horizon: int,
    law: FillLaw,
    costs: CostsConfig,
) -> list[Row]:
    """The bounds as rows, means in bps over all scenarios.

    They are the driftless market's at each order's volatility, once for fills at bar averages and once for the law's
    fills; that of who knows every bar's size and not its sign (`lem.theory.signs`), on some of the arrivals; and that
    of perfect foresight. After costs there are the driftless market's, with volumes at their mean, and that of signs.
    """
    impact, fixed = costs.impact * costs.order_size**0.5, costs.fee_bps + costs.half_spread_bps
    cap = min(1.0, costs.largest_rate)
    best: list[NDArray] = []
    for low in range(0, len(orders.asset_A), CHUNK):
        cut = slice(low, low + CHUNK)
        one = market_of(panel, orders.asset_A[cut], orders.bar_A[cut], horizon)
        best.append(oracle_gain(one, terms_for(min_bars, horizon, 1.0)).numpy().mean(-1) * BPS)
    oracle_AM = np.concatenate(best)
    rows = _signs_rows(market, panel, orders, min_bars, horizon, costs)
    for i, m in enumerate(min_bars):
        values = {
            "driftless_bound": bound(m, horizon) * orders.sigma_A,
            f"driftless_bound{MEASURED}": bound(m, horizon, law) * orders.sigma_A,
            "oracle": oracle_AM[:, i],
        }
        after = float((solve(m, horizon, impact, cap).value * orders.sigma_A).mean()) - fixed
        for name, values_A in values.items():
            sigma = float((values_A / orders.sigma_A).mean())
            row: Row = {"market": market, "m": m, "strategy": name, "mean_bps": float(values_A.mean())}
            rows.append(row | {"mean_sigma": sigma} | ({"net_bps": after} if name == "driftless_bound" else {}))
    return rows


SIGNS_ARRIVALS = 1200
"""Arrivals on which the bound over signs is solved, spread over the period."""


def _signs_rows(
    market: str, panel: Panel, orders: Arrivals, min_bars: tuple[int, ...], horizon: int, costs: CostsConfig
) -> list[Row]:
    chosen = spread(len(orders.asset_A), SIGNS_ARRIVALS)
    one = market_of(panel, orders.asset_A[chosen], orders.bar_A[chosen], horizon)
    sigma_A, block_A = orders.sigma_A[chosen], day_blocks(orders.day_A[chosen])
    last_AK, price_AK, volume_AK = (x.numpy() for x in (one.last_close_AK, one.price_AK, one.volume_AK))
    closed_A = panel.close_NT[orders.asset_A[chosen], orders.bar_A[chosen] + horizon - 1]
    closed_A = closed_A / panel.close_NT[orders.asset_A[chosen], orders.bar_A[chosen] - 1]
    close_AK = np.concatenate([last_AK[:, 1:], closed_A[:, None]], axis=1)
    scale_A1 = one.sigma_A.numpy()[:, None]
    moves = (close_AK - last_AK) / scale_A1, (price_AK - last_AK) / scale_A1, volume_AK
    impact, fixed = costs.impact * costs.order_size**0.5, costs.fee_bps + costs.half_spread_bps
    rows: list[Row] = []
    for m in min_bars:
        before, after = (
            sum(signs_bound(*moves, m, vwap, c, cap) for vwap in (False, True)) / 2 * sigma_A
            for c, cap in ((0.0, 1.0), (impact, min(1.0, costs.largest_rate)))
        )
        mean, error, _ = clustered_mean(after - fixed, block_A)
        rows.append(
            {"market": market, "m": m, "strategy": "signs_bound", "mean_bps": float(before.mean()), "net_bps": mean}
            | {"net_error_bps": error, "arrivals": len(chosen)}
        )
    return rows
