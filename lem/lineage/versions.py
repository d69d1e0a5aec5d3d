"""What the partitions in the lake were made from, and whether that is what is there now.

A partition is out of date when the versions of what it was made from, recorded in it, are not those of today: other
partitions, the settings and the code of its stage, the model that traded. This is told from the lake alone.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping

from lem.lake import Lake, Versions, inputs_version
from lem.lineage.keys import Partition, PartitionKey
from lem.lineage.stages import FIRST_VERSION, Stage, stage_named
from lem.registry.records import InputVersion, ModelRecord
from lem.universe import Universe


def named(inputs: Iterable[InputVersion]) -> dict[str, str]:
    """Data versions by name, as the lake records what a partition was made from."""
    return {f"{read.table_name}/{read.partition_key}": read.data_version for read in inputs}


def traded_by(champion: ModelRecord | None) -> dict[str, str]:
    """The input of a backtest that is not in the lake: the model that traded."""
    return {"champion": champion.id if champion else "none"}


def made_with(universe: Universe, stage: Stage) -> dict[str, str]:
    """The input that every partition of a stage has: its settings, its columns, and the version of its code.

    The first version is left out: what was made before stages had versions was made by it.
    """
    settings = stage.settings(universe)
    if stage.schema is not None and stage.reads:
        settings["columns"] = stage.schema.names
    if stage.version != FIRST_VERSION:
        settings["code"] = stage.version
    return {"settings": json.dumps(settings, sort_keys=True)} if settings else {}


def inputs_of(universe: Universe, stage: Stage, key: PartitionKey) -> list[Partition]:
    """The partitions of the lake that a partition is made from."""
    found = list[Partition]()
    for read in stage.reads:
        other = stage_named(read.stage)
        if other.schema is None or other is stage:
            continue
        assets = [key.asset] if stage.per_asset else assets_of(universe, other)
        asset_keys = [asset if other.per_asset else None for asset in assets]
        dates = read.dates(universe, key.date)
        found += [Partition(other.name, PartitionKey(asset, date)) for asset in asset_keys for date in dates]
    return found


def assets_of(universe: Universe, stage: Stage) -> list[str | None]:
    """The assets that have partitions of a stage: all of the universe, or None alone where it has none by asset."""
    return list(universe.symbols) if stage.per_asset else [None]


class Versioned:
    """Data versions of the partitions in the lake, each footer read once.

    Args:
        lake: read when a table's versions are first asked for, and not again.
        universe: whose tables they are.
    """

    def __init__(self, lake: Lake, universe: Universe) -> None:
        self._lake, self._universe = lake, universe
        self._found: dict[str, Versions | None] = {}

    def path(self, partition: Partition) -> str:
        """Where a partition lies in the lake."""
        return self._lake.path(self._universe.name, partition.table, partition.key.date, partition.key.asset)

    def read(self, partitions: Iterable[Partition]) -> dict[Partition, Versions]:
        """The versions of those of the partitions that are there.

        Raises:
            LakeError: the lake cannot be read.
        """
        paths = {partition: self.path(partition) for partition in partitions}
        new = [path for path in paths.values() if path not in self._found]
        self._found |= dict.fromkeys(new) | self._lake.versions_of(new)
        return {partition: found for partition, path in paths.items() if (found := self._found[path])}

    def version(self, inputs: Iterable[Partition], more: Mapping[str, str]) -> str | None:
        """One version of these partitions as they are now and of what is named in `more`; None if one is missing."""
        wanted = list(inputs)
        there = self.read(wanted)
        if len(there) < len(wanted):
            return None
        names = {f"{table}/{key}": there[Partition(table, key)].data for table, key in wanted}
        return inputs_version(names | dict(more))

    def stale(
        self, table: str, dates: Iterable[dt.date], more: Mapping[dt.date, Mapping[str, str]] | None = None
    ) -> dict[dt.date, list[PartitionKey]]:
        """Keys of the partitions that are there and were made from something else than what is there now, by date.

        A partition that lacks an input cannot be judged. One that has no record of its inputs was made by an earlier
        version and is out of date, but for tables that are made from nothing in the lake: their first version has none.

        Args:
            table: name of its stage.
            dates: that are looked at.
            more: inputs from outside of the lake, by date and name.

        Raises:
            LakeError: the lake cannot be read.
        """
        universe, stage = self._universe, stage_named(table)
        assets = assets_of(universe, stage)
        there = self.read([Partition(table, PartitionKey(asset, date)) for date in dates for asset in assets])
        needs = {partition: inputs_of(universe, stage, partition.key) for partition in there}
        self.read({upstream for inputs in needs.values() for upstream in inputs})
        settings, found = made_with(universe, stage), dict[dt.date, list[PartitionKey]]()
        for partition, inputs in needs.items():
            key, made_from = partition.key, there[partition].inputs
            known = settings | dict((more or {}).get(key.date, {}))
            now = self.version(inputs, known) if inputs or known else ""
            if now is not None and now != made_from:
                found.setdefault(key.date, []).append(key)
        return found
