"""The number of the rule `optimal_with_risk`, chosen on the training window: what a desk without a model would do.

Shapes: A = arrivals, O = (A, M, S) as in `lem.backtest.simulator`.
"""

from __future__ import annotations

import numpy as np

from lem.backtest.market import market_of, spread
from lem.backtest.simulator import simulate
from lem.data.panel import Panel
from lem.execution.costs_config import CostsConfig
from lem.execution.terms import terms_for
from lem.execution.worth import worth
from lem.strategies.optimal_with_risk import RISKS, OptimalWithRisk

ARRIVALS = 1000
"""Arrivals that are tried, spread over the window."""
RISK_AVERSION = 1.0
"""lambda of the choice: that of an order which does not say."""


def fit_rule_risk(panel: Panel, horizon: int, costs: CostsConfig) -> float:
    """The member of the family `RISKS` whose gains after costs are worth most (`lem.execution.worth`).

    Args:
        panel: the training window, with at least one accepted arrival.
        horizon: N.
        costs: of the orders.
    """
    asset_A, bar_A = np.nonzero(panel.accepted(horizon))
    chosen = spread(len(asset_A), ARRIVALS)
    market = market_of(panel, asset_A[chosen], bar_A[chosen], horizon)
    terms = terms_for(sorted({max(1, horizon * part // 4) for part in range(1, 4)} | {1}), horizon, RISK_AVERSION)
    found = []
    for risk in RISKS:
        gain_O = simulate(OptimalWithRisk(risk), market, terms, costs).net_gain_O / market.sigma_A[:, None, None]
        found.append(float(worth(gain_O, RISK_AVERSION).mean()))
    return RISKS[int(np.argmax(found))]
