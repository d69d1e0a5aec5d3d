"""A source that is asked only for what the universe expects of it, whatever kind it is.

A venue drops the market of an asset that it has delisted, and a file may be gone. Nothing is expected of such a day, so
nothing is asked, and the answer has no rows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal

from lem.late import pd
from lem.sources.base import RAW_DTYPES, RawBars, Source, check_window, rules_from
from lem.universe import Universe
from lem.universe.calendars import is_listed, partition_window


class OnlyExpected:
    """A source that is not asked for days outside of an asset's listing.

    Args:
        universe: says when an asset is listed.
        source: is asked for all other days.
    """

    def __init__(self, universe: Universe, source: Source) -> None:
        self._universe, self._source = universe, source

    def fetch(self, symbol: str, start: dt.datetime, end: dt.datetime) -> RawBars:
        """Rows that open in [start, end), UTC, on days on which the asset is listed, settled and not delisted.

        Raises:
            SourceError: the source cannot be read, or its content is no table of bars.
            UniverseError: the universe has no such symbol.
        """
        check_window(start, end)
        first, last = start.date(), (end - dt.timedelta(microseconds=1)).date()
        days = [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]
        listed = [day for day in days if is_listed(self._universe, symbol, day)]
        if not listed:
            dates = f"{first}" if first == last else f"{first} to {last}"
            nothing = pd.DataFrame({name: [] for name in RAW_DTYPES}).astype(RAW_DTYPES)
            return RawBars(nothing, f"no bars expected: {symbol} is not listed {dates}", dt.datetime.now(dt.UTC))
        since, until = partition_window(listed[0])[0], partition_window(listed[-1])[1]
        return self._source.fetch(symbol, max(start, since), min(end, until))

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
