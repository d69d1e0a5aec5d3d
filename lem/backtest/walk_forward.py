"""The walk-forward backtest of one asset and date: the orders that arrived on it, executed by that date's champion."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lem.backtest.orders_table import execute
from lem.backtest.schema import BACKTEST_SCHEMA
from lem.data.panel import Panel, panel_table
from lem.model.contender import Contender
from lem.universe import Universe


def day_arrivals(panel: Panel, symbol: str, date: dt.date) -> tuple[NDArray, NDArray]:
    """The arrivals of an asset on a date, (asset row, bar): every bar that it has; none on a holiday."""
    if symbol not in panel.assets:
        return np.empty(0, dtype=int), np.empty(0, dtype=int)
    row = panel.assets.index(symbol)
    bar_A = np.flatnonzero((panel.date_T == np.datetime64(date)) & panel.present_NT[row])
    return np.full(len(bar_A), row), bar_A


def backtest_day(
    features: pd.DataFrame, universe: Universe, symbol: str, date: dt.date, champion: Contender | None
) -> pd.DataFrame:
    """Execute the orders of one date with every rule and, if there is one, the champion.

    Args:
        features: feature table of `symbol` from the warm-up before `date` to the end of the last order.
        universe: its horizon, limits and costs.
        symbol: the asset.
        date: on which the orders arrive, UTC.
        champion: of that date.

    Returns:
        One row per order and strategy (`lem.backtest.schema.BACKTEST_SCHEMA`), including excluded orders.
    """
    if features.empty:  # the asset is not listed on any of these dates
        return BACKTEST_SCHEMA.empty_table().to_pandas()
    panel = Panel.from_table(panel_table({symbol: features}))
    asset_A, bar_A = day_arrivals(panel, symbol, date)
    models = {"lem": (champion.model_id, champion.model)} if champion else {}
    return execute(panel, asset_A, bar_A, universe.horizon, universe.backtest, universe.costs, models)
