"""What is in the lake of every table, what is missing there, out of date or quarantined."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from lem.lake import Lake
from lem.lineage.keys import PartitionKey
from lem.lineage.quarantine import quarantined
from lem.lineage.stages import DECISION, Stage, tables
from lem.lineage.tables import missing_partitions
from lem.lineage.versions import Versioned, assets_of, traded_by
from lem.registry import Registry
from lem.universe import Universe


@dataclass(frozen=True)
class TableState:
    """The partitions of a table.

    Args:
        table: its stage.
        present: how many there are.
        first: the first date that has some.
        last: the last date that has some.
        missing: keys of those between `first` and `last` that are not there.
        stale: keys of those that were made from something else than what is there now, or by other code.
        quarantined: keys whose raw bars break a rule; of the table `bars` only, and neither missing nor stale.
    """

    table: str
    present: int
    first: dt.date | None
    last: dt.date | None
    missing: list[PartitionKey]
    stale: list[PartitionKey]
    quarantined: list[PartitionKey]


def states(lake: Lake, registry: Registry, universe: Universe, dates: Sequence[dt.date]) -> list[TableState]:
    """The state of each table over these dates, in the order of the stages.

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


def traders(
    registry: Registry, universe: Universe, stage: Stage, dates: Sequence[dt.date]
) -> dict[dt.date, dict[str, str]]:
    """What a table that a decision goes into was made from beside the lake: by date, who trades; else nothing."""
    if all(read.stage != DECISION for read in stage.reads):
        return {}
    return {date: traded_by(registry.champion_on(universe.name, date)) for date in dates}
