"""The nearest bars outside of a window, where the source leaves out bars in which nobody traded.

A bar that is not there can be told from one that is lost only between two bars that are. Where a window's first or last
expected bars are not there, its answer also has the nearest bar before or after it, as the source gives it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal

import numpy as np

from lem.errors import SourceError
from lem.late import pd
from lem.sources.base import RAW_DTYPES, RawBars, Source, rules_from
from lem.universe import Universe
from lem.universe.calendars import expected_bars, is_listed

LOOK = dt.timedelta(days=1)
"""How far a neighbour is looked for: a market in which nobody trades for longer is not taken for alive."""


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class WithNeighbours:
    """A source whose answers also have the nearest bar outside, where bars at an end of the window are absent.

    Args:
        universe: gives the grid and the listing.
        source: that is asked.
        now: this machine's clock. It says only how far after the window it is worth asking; the source decides which
            bars are final.
    """

    def __init__(self, universe: Universe, source: Source, now: Callable[[], dt.datetime] = _now) -> None:
        self._universe = universe.model_copy(update={"bar": universe.source_bar})
        self._source, self._now = source, now

    def fetch(self, symbol: str, start: dt.datetime, end: dt.datetime) -> RawBars:
        """Rows that open in [start, end), UTC, and at most one before and one after.

        Raises:
            SourceError: the source cannot be read, or its content is no table of bars.
            UniverseError: the universe has no such symbol.
        """
        answer = self._source.fetch(symbol, start, end)
        ts = answer.table["ts"]
        grid = self._grid(symbol, start, end)
        if grid.empty or ts.empty:
            # An answer without any bar does not show that the market was open.
            return answer
        parts = [answer.table]
        if ts.min() > grid[0] and (start - LOOK).date() >= self._universe.start:
            parts.insert(0, self._beside(symbol, start - LOOK, start).tail(1))
        if ts.max() < grid[-1]:
            parts.append(self._after(symbol, end).head(1))
        return replace(answer, table=pd.concat(parts, ignore_index=True).astype(RAW_DTYPES))

    def trading_rules(self, symbol: str) -> Mapping[str, Decimal]:
        """What the source knows of what its venue takes.

        Raises:
            SourceError: the venue did not answer, or has no such market.
            UniverseError: the universe has no such symbol.
        """
        return rules_from(self._source, symbol)

    def forget(self, symbol: str) -> None:
        """Drop what is in memory of the asset.

        Raises:
            UniverseError: the universe has no such symbol.
        """
        self._source.forget(symbol)

    def _grid(self, symbol: str, start: dt.datetime, end: dt.datetime) -> pd.DatetimeIndex:
        """Opens of the bars that are expected in the window."""
        last = (end - dt.timedelta(microseconds=1)).date()
        days = [start.date() + dt.timedelta(days=n) for n in range((last - start.date()).days + 1)]
        parts = [expected_bars(self._universe, symbol, day).tz_localize(None) for day in days]
        opens = pd.DatetimeIndex(np.concatenate(parts)).tz_localize("UTC")
        return opens[(opens >= pd.Timestamp(start)) & (opens < pd.Timestamp(end))]

    def _closed(self) -> dt.datetime:
        """Until when bars can be final by now: the start of the bar in which the grace began."""
        length = self._universe.bar_length.to_pytimedelta()
        now = self._now() - dt.timedelta(seconds=self._universe.source.capabilities.grace_seconds)
        return now - (now - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) % length

    def _after(self, symbol: str, start: dt.datetime) -> pd.DataFrame:
        """Rows after the window, as far as there are any by now."""
        try:
            return self._beside(symbol, start, min(start + LOOK, self._closed()))
        except SourceError:
            # These bars were not asked for, and may come later: until then the bars before them are missing.
            return self._beside(symbol, start, start)

    def _beside(self, symbol: str, start: dt.datetime, end: dt.datetime) -> pd.DataFrame:
        """Rows of a window beside the one that is asked for, in time order; none where the asset is not listed."""
        days = [start.date(), (end - dt.timedelta(microseconds=1)).date()]
        if start >= end or not all(is_listed(self._universe, symbol, day) for day in days):
            return pd.DataFrame({name: [] for name in RAW_DTYPES}).astype(RAW_DTYPES)
        return self._source.fetch(symbol, start, end).table.sort_values("ts", kind="stable")
