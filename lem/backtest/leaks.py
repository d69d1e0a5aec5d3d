"""The leak panel: what shows that a model's gains are no look-ahead, made once for each champion.

On a simulated driftless market nothing can be known: what the model gains there is the random-walk control of the gate
(`lem.backtest.random_walk`), on the clock of the same bars. On real bars the model then trades as it does, and with all
that it sees (contexts and last prices) one bar early and one bar late. Early shows what a peek into the bar that is
being traded would be worth, late what the last bar is worth. The model is the same in all three, trained on what it
may see.

Shapes: A = arrivals, K = bars of the horizon, T = bars, M = limits, H = context, as in `lem.backtest.market`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as arrow
import torch
from numpy.typing import NDArray

from lem.backtest.bootstrap import Interval, block_mean
from lem.backtest.market import context_of, contexts_at, market_of, spread
from lem.backtest.random_walk import random_walk
from lem.backtest.simulator import Market, simulate
from lem.data.panel import Panel
from lem.execution.costs import BPS
from lem.execution.terms import terms_for
from lem.model.lem import LEM
from lem.strategies.learned import Learned
from lem.universe import Universe

LEAK_SCHEMA = arrow.schema(
    [
        ("market", arrow.string()),
        ("sees", arrow.string()),
        ("against", arrow.string()),
        ("min_bars", arrow.int64()),
        ("unit", arrow.string()),
        ("mean", arrow.float64()),
        ("low", arrow.float64()),
        ("high", arrow.float64()),
        ("orders", arrow.int64()),
        ("blocks", arrow.int64()),
        ("bound", arrow.float64()),
        ("verdict", arrow.string()),
    ]
)
SHIPPED, EARLY, LATE = "as it trades", "one bar early", "one bar late"
SHIFTS = {SHIPPED: 0, EARLY: 1, LATE: -1}
WITHIN, ABOVE, ZERO, NOT_ZERO = "within the bound", "above the bound", "zero", "not zero"
MOST = 1000
"""Most real arrivals that are traded, spread evenly over all of them."""


def leak_panel(panel: Panel, first: np.datetime64, universe: Universe, model: LEM) -> pd.DataFrame:
    """Gains of the model on a driftless market, and on real bars with what it sees shifted by a bar.

    Args:
        panel: real bars that the model was not trained on.
        first: the date from which its bars are arrivals; those before are warm-up.
        universe: its horizon, limits and features.
        model: what decides.

    Returns:
        Rows of `LEAK_SCHEMA`; none if no order fits into the panel. On the market `driftless` one row for each m and
        one for N: the random-walk control (`lem.backtest.random_walk`), in sigma, with the bound and the verdict;
        `low` and `high` are as far from the mean as the control tolerates, blocks are independent assets. On the market
        `real` rows for each of SHIFTS and each m: the mean gain of all scenarios in bps, and with `against` the paired
        difference to the model as it trades; `low` and `high` are NaN with too few blocks of days.
    """
    rows = [*_driftless_rows(panel, first, universe, model), *_real_rows(panel, first, universe, model)]
    return pd.DataFrame(rows, columns=LEAK_SCHEMA.names)


def leaks_found(leaks: pd.DataFrame) -> list[str]:
    """What a leak panel finds wrong, in sentences; empty if nothing speaks of a look-ahead."""
    bad = leaks[leaks["verdict"].isin([ABOVE, NOT_ZERO])]
    return [
        f"On a driftless market the model gained {row['mean']:.3f} sigma with m = {row['min_bars']} "
        f"({row['low']:.3f} to {row['high']:.3f}), the bound is {row['bound']:.3f}: it may see the future."
        for row in bad.to_dict("records")
    ]


def _driftless_rows(panel: Panel, first: np.datetime64, universe: Universe, model: LEM) -> list[dict[str, object]]:
    rows = []
    for found in random_walk(panel.ts_T, panel.date_T >= first, model, universe):
        low, high = found.gain - found.tolerance, found.gain + found.tolerance
        mean = Interval(found.gain, low, high, found.arrivals * found.scenarios, found.assets)
        within, beyond = (ZERO, NOT_ZERO) if found.fixed else (WITHIN, ABOVE)
        verdict = within if found.passed else beyond
        rows.append(_row("driftless", SHIPPED, "", found.min_bars, "sigma", mean, found.bound, verdict))
    return rows


def _real_rows(panel: Panel, first: np.datetime64, universe: Universe, model: LEM) -> list[dict[str, object]]:
    horizon = universe.horizon
    asset_A, bar_A = np.nonzero(panel.accepted(horizon) & (panel.date_T >= first))
    if not len(bar_A):
        return []
    chosen = spread(len(bar_A), MOST)
    asset_A, bar_A = asset_A[chosen], bar_A[chosen]
    terms = terms_for(universe.backtest.min_bars, horizon, universe.backtest.risk_aversion)
    context_NTH = context_of(panel, model)
    plain = market_of(panel, asset_A, bar_A, horizon)
    gains = {
        name: simulate(
            Learned(model), shifted_market(plain, panel, context_NTH, asset_A, bar_A, bars), terms
        ).gain_O.numpy()
        * BPS
        for name, bars in SHIFTS.items()
    }
    rows = []
    for name, gain_AMS in gains.items():
        for against in [""] if name == SHIPPED else ["", SHIPPED]:
            for i, m in enumerate(universe.backtest.min_bars):
                gain_AS = gain_AMS[:, i] - (gains[against][:, i] if against else 0.0)
                mean = block_mean(
                    gain_AS.ravel(),
                    np.repeat(panel.date_T[bar_A], gain_AS.shape[1]),
                    block_days=universe.purge_days,
                    seed=universe.training.seed,
                )
                rows.append(_row("real", name, against, m, "bps", mean, np.nan, ""))
    return rows


def shifted_market(
    market: Market, panel: Panel, context_NTH: torch.Tensor, asset_A: NDArray, bar_A: NDArray, bars: int
) -> Market:
    """The market with contexts and last prices shifted by some bars. Fills, benchmarks and limits stay.

    Args:
        market: of the arrivals, without contexts.
        panel: of the arrivals.
        context_NTH: of every bar, from `lem.backtest.market.context_of`.
        asset_A: asset row of each arrival.
        bar_A: bar 0 of each arrival.
        bars: 1 shows the bar that is being traded, with its VWAP as last price; -1 hides the last bar.
    """
    horizon = market.price_AK.shape[1]
    at_AK = (bar_A[:, None] + np.arange(horizon) - 1 + bars).clip(0, panel.bars - 1)
    arrival_A1 = panel.close_NT[asset_A, bar_A - 1][:, None]
    seen_NT = panel.vwap_NT if bars > 0 else panel.close_NT
    close_AK = seen_NT[asset_A[:, None], at_AK] / arrival_A1
    return replace(
        market,
        context_AKH=contexts_at(context_NTH, asset_A, bar_A + bars, horizon),
        last_close_AK=torch.from_numpy(np.where(np.isfinite(close_AK), close_AK, 1.0)),
    )


def _row(
    market: str, sees: str, against: str, m: int, unit: str, mean: Interval, most: float, verdict: str
) -> dict[str, object]:
    return {
        "market": market,
        "sees": sees,
        "against": against,
        "min_bars": m,
        "unit": unit,
        "mean": mean.mean,
        "low": mean.low,
        "high": mean.high,
        "orders": mean.orders,
        "blocks": mean.blocks,
        "bound": most,
        "verdict": verdict,
    }
