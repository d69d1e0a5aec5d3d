"""The bars in which a paper venue trades: read as live advice reads them, and not before they have closed."""

from __future__ import annotations

import datetime as dt

import pandas as pd

from lem.advice.clock import moment
from lem.advice.feed import Feed
from lem.errors import AdviceError
from lem.paper.filling import Child, TradedBar
from lem.universe import Universe


class ClosedBars:
    """Bars of a universe.

    Args:
        universe: whose bars they are.
        feed: of the universe; one of its own, for it goes forward with what is asked for.
    """

    def __init__(self, universe: Universe, feed: Feed) -> None:
        self._universe, self._feed = universe, feed
        self._days: dict[tuple[str, dt.date], tuple[dt.datetime, pd.DataFrame]] = {}

    def of(self, child: Child, now: dt.datetime) -> TradedBar:
        """The bar in which a slice trades; one without volume where nobody traded or an outage is listed.

        Args:
            child: the slice.
            now: the desk's clock (UTC).

        Raises:
            AdviceError: it has not closed, or the source does not have it yet, or it breaks a rule.
        """
        if now < child.bar_end:
            raise AdviceError(f"{child.asset}: the bar of {child.bar:%Y-%m-%d %H:%M} UTC has not closed")
        at, key = moment(self._universe, now), (child.asset, child.bar.date())
        until, table = self._days.get(key, (None, None))
        if until is None or table is None or until < child.bar_end:
            until, table = at.as_of, self._feed.bars(*key, at)
            self._days = {own: read for own, read in self._days.items() if own[0] != child.asset} | {
                key: (until, table)
            }
        rows = table[table["ts"] == pd.Timestamp(child.bar)]
        if rows.empty:
            raise AdviceError(f"{child.asset}: there is no bar of {child.bar:%Y-%m-%d %H:%M} UTC")
        row = rows.iloc[0]
        if row["flag"] != "ok":
            return TradedBar(0.0, 0.0, 0.0, 0.0)
        return TradedBar(*(float(row[name]) for name in ("high", "low", "vwap", "volume")))
