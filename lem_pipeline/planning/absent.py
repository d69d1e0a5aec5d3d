"""Which partitions are not in the lake, by asset, and which raw bars a run fetches."""

from __future__ import annotations

import datetime as dt

from lem.lake import Lake
from lem.lineage.quarantine import quarantined
from lem.lineage.revisions import Versioned, partition_key
from lem.lineage.tables import missing_partitions
from lem.universe import Universe


def absent_by_asset(lake: Lake, universe: Universe, table: str, dates: list[dt.date]) -> dict[str, set[dt.date]]:
    """By asset, those of the dates whose partitions are not in the lake.

    Raises:
        LakeError: the lake cannot be read.
    """
    found: dict[str, set[dt.date]] = {symbol: set() for symbol in universe.symbols}
    for key in missing_partitions(lake, universe, table, dates, universe.symbols):
        symbol, _, date = key.rpartition("|")
        found[symbol].add(dt.date.fromisoformat(date))
    return found


def to_fetch(lake: Lake, versioned: Versioned, universe: Universe, dates: list[dt.date]) -> dict[str, set[dt.date]]:
    """By asset, those of the dates whose raw bars are to be fetched: absent ones, and those that broke a rule.

    What a run has fetched that was killed later is not fetched again. What broke a rule the source may have corrected.

    Raises:
        LakeError: the lake cannot be read.
    """
    fetched, without_bars = (absent_by_asset(lake, universe, table, dates) for table in ("raw_bars", "bars"))
    stale = versioned.stale("bars", dates)
    for symbol, date in quarantined(lake, universe):
        # A bad day whose bars are as they should be was repaired by a run that was killed before it could say so.
        if date in without_bars[symbol] or partition_key(date, symbol) in stale.get(date, []):
            fetched[symbol].add(date)
    return fetched
