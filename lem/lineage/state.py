"""Which partitions of every table are in the lake, missing, out of date or quarantined."""

from __future__ import annotations

import datetime as dt
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from lem.lake import Lake
from lem.lineage.keys import PartitionKey
from lem.lineage.quarantine import quarantined
from lem.lineage.stages import DECISION, Stage, tables
from lem.lineage.tables import dates_in, missing_partitions
from lem.lineage.versions import Versioned, assets_of, traded_by
from lem.registry import Registry
from lem.universe import Universe


@dataclass(frozen=True)
class TableState:
    """The partitions of a table.

    Args:
        table: name of its stage.
        present: number of partitions in the lake.
        first: the first date with a partition in the lake.
        last: the last date with a partition in the lake.
        missing: keys between `first` and `last` that are not in the lake.
        stale: keys of partitions that were made from something else than what is there now, or by other code.
        quarantined: keys whose raw bars break a rule, only of the table `bars`; they are neither `missing` nor `stale`.
    """

    table: str
    present: int
    first: dt.date | None
    last: dt.date | None
    missing: list[PartitionKey]
    stale: list[PartitionKey]
    quarantined: list[PartitionKey]


def states(lake: Lake, registry: Registry, universe: Universe, dates: Sequence[dt.date]) -> list[TableState]:
    """The state of each table, in the order of the stages.

    Args:
        lake: that is looked at.
        registry: says which model traded.
        universe: whose tables they are.
        dates: partition dates that are looked at, ascending.

    Raises:
        LakeError: the lake cannot be read.
    """
    versioned = Versioned(lake, universe)
    refused = {PartitionKey(asset, date) for asset, date in quarantined(lake, universe)}
    return [_state(lake, registry, universe, versioned, stage, dates, refused) for stage in tables()]


def _state(
    lake: Lake,
    registry: Registry,
    universe: Universe,
    versioned: Versioned,
    stage: Stage,
    dates: Sequence[dt.date],
    refused: set[PartitionKey],
) -> TableState:
    assets = assets_of(universe, stage)
    absent = set(missing_partitions(lake, universe, stage.name, dates, assets))
    keys = {date: [PartitionKey(asset, date) for asset in assets] for date in dates}
    there = [date for date in dates if set(keys[date]) - absent]
    holes = {key for date in dates if there and there[0] <= date <= there[-1] for key in keys[date]} & absent
    found = versioned.stale(stage.name, there, traders(registry, universe, stage, there))
    stale = {key for keys in found.values() for key in keys}
    # A bad day whose bars are as they should be was repaired by a run that was killed before it could say so.
    bad = refused & (absent | stale) if stage.name == "bars" else set()
    present = sum(len(keys[date]) for date in dates) - len(absent)
    first, last = (there[0], there[-1]) if there else (None, None)
    return TableState(stage.name, present, first, last, sorted(holes - bad), sorted(stale - bad), sorted(bad))


def orphans(lake: Lake, universe: Universe) -> dict[str, dict[str, int]]:
    """Partitions by table of each asset that is in the lake and not in the universe file, as after a renaming.

    Raises:
        LakeError: the lake cannot be read.
    """
    found: dict[str, dict[str, int]] = {}
    for stage in (stage for stage in tables() if stage.per_asset):
        folder = f"{universe.name}/{stage.name}"
        for asset in (name.removeprefix("asset=") for name in lake.names(folder) if name.startswith("asset=")):
            if asset not in universe.symbols:
                found.setdefault(asset, {})[stage.name] = len(dates_in(lake, f"{folder}/asset={asset}", ".parquet"))
    return found


def traders(
    registry: Registry, universe: Universe, stage: Stage, dates: Sequence[dt.date]
) -> dict[dt.date, dict[str, str]]:
    """By date, which model trades, as the input of a stage that reads decisions; nothing for any other stage.

    Args:
        registry: with the decisions.
        universe: whose stage it is.
        stage: that is looked at.
        dates: that are looked at.
    """
    if all(read.stage != DECISION for read in stage.reads):
        return {}
    decided = registry.champion_ids(universe.name)
    days, champions = list(decided), [None, *decided.values()]
    return {date: traded_by(champions[bisect(days, date)]) for date in dates}
