"""Which partitions are not in the lake, by asset, and which a run fetches from the source."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from lem.lake import Lake
from lem.lineage.keys import PartitionKey
from lem.lineage.quarantine import quarantined
from lem.lineage.stages import Stage
from lem.lineage.tables import missing_partitions
from lem.lineage.versions import Versioned
from lem.universe import Universe


def absent_by_asset(lake: Lake, universe: Universe, table: str, dates: Sequence[dt.date]) -> dict[str, set[dt.date]]:
    """By asset, those of the dates whose partitions are not in the lake.

    Raises:
        LakeError: the lake cannot be read.
    """
    found: dict[str, set[dt.date]] = {symbol: set() for symbol in universe.symbols}
    for key in missing_partitions(lake, universe, table, dates, universe.symbols):
        found[key.symbol].add(key.date)
    return found


def to_fetch(
    lake: Lake, versioned: Versioned, universe: Universe, stage: Stage, dates: Sequence[dt.date]
) -> dict[str, set[dt.date]]:
    """By asset, those of the dates that are to be fetched: absent, made by older code, or with bars that broke a rule.

    What a run fetched before it was killed is not fetched again. Bars that broke a rule are, as the source may have
    corrected them.

    Raises:
        LakeError: the lake cannot be read.
    """
    wanted = absent_by_asset(lake, universe, stage.name, dates)
    for keys in versioned.stale(stage.name, dates).values():
        for key in keys:
            wanted[key.symbol].add(key.date)
    if stage.name != "raw_bars":
        return wanted
    without_bars, stale = absent_by_asset(lake, universe, "bars", dates), versioned.stale("bars", dates)
    for symbol, date in quarantined(lake, universe):
        # A bad day whose bars are as they should be was repaired by a run that was killed before it could say so.
        if date in without_bars[symbol] or PartitionKey(symbol, date) in stale.get(date, []):
            wanted[symbol].add(date)
    return wanted
