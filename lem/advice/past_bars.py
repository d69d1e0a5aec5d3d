"""The universe's bars of the days before an order, on which orders of the theory are simulated.

What a market does is in them - heavy tails, calm and rough times, volume that comes with moves, where in a bar trades
take place. Their direction is to be of no matter: on each stretch of bars an order buys and another one sells. Days
from an order's first on are never read.

Shapes: A = stretches of bars, each of an asset; K = bars of a stretch.
"""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pandas as pd

from lem.backtest.market import market_of, spread
from lem.backtest.simulator import Market
from lem.data.panel import Panel
from lem.lake import Lake
from lem.lineage.tables import dates_in
from lem.universe import Universe

MOST, FEWEST = 200, 20
"""Bars of an asset that are read, and that are needed at least, in longest orders of the universe."""
STRETCHES = 1024
"""Stretches on which orders are simulated; of orders longer than 12 bars fewer, and a quarter at least."""
MOST_DAYS = 365
"""Days that are looked at."""
MOST_ROWS = 200_000
"""Bars of all assets that are read at most, but for the last day's."""


class PastBars:
    """Bars of the days before an order.

    Args:
        panel: the bars.
        days: first and last date, in words.
    """

    def __init__(self, panel: Panel, days: str) -> None:
        self.days = days
        self._panel = panel
        self._markets: dict[int, Market | None] = {}

    def market(self, bars: int) -> Market | None:
        """Stretches that begin evenly over the past; None where too few may begin.

        Args:
            bars: K.
        """
        if bars not in self._markets:
            self._markets[bars] = self._stretches(bars)
        return self._markets[bars]

    def orders(self, bars: int) -> int:
        """How many orders are simulated on stretches of so many bars."""
        market = self.market(bars)
        return 2 * len(market.sigma_A) if market else 0

    def _stretches(self, bars: int) -> Market | None:
        asset_A, bar_A = np.nonzero(self._panel.accepted(bars))
        if len(asset_A) < FEWEST * bars:
            return None
        in_time = np.lexsort((asset_A, bar_A))
        chosen = in_time[spread(len(in_time), max(STRETCHES // 4, min(STRETCHES, 12 * STRETCHES // bars)))]
        return market_of(self._panel, asset_A[chosen], bar_A[chosen], bars)


def read_past_bars(lake: Lake, universe: Universe, date: dt.date) -> PastBars | None:
    """The newest bars of the days before a date; None where they are too few.

    Args:
        lake: has the panels.
        universe: whose bars they are.
        date: the first that is not read (UTC).

    Raises:
        LakeError: the lake cannot be read.
        BarsError: an earlier version made the panels.
    """
    a_day = universe.bars_per_day
    days = min(math.ceil(MOST * universe.horizon / a_day), max(1, MOST_ROWS // (a_day * len(universe.assets))))
    earliest = date - dt.timedelta(days=MOST_DAYS)
    there = [day for day in dates_in(lake, f"{universe.name}/panel", ".parquet") if earliest <= day < date][-days:]
    if len(there) * a_day < FEWEST * universe.horizon:
        return None
    read = lake.read_batch(lake.path(universe.name, "panel", day) for day in there)
    panel = Panel.from_table(pd.concat([table for table, _ in read], ignore_index=True))
    return PastBars(panel, f"{there[0]} to {there[-1]}")
