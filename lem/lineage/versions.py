"""What the partitions in the lake were made from, and whether the same is there now.

A partition records the versions of what it was made from: other partitions, the settings and the code of its stage, the
model that traded. It is out of date when they differ from those of today. The lake alone tells this.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence

from lem.lake import Lake, Versions, inputs_version
from lem.lineage.keys import Partition, PartitionKey
from lem.lineage.origin import Origin
from lem.lineage.stages import Stage, stage_named
from lem.registry.decision_figures import FIRST_VERSION
from lem.registry.records import InputVersion
from lem.universe import Universe
from lem.universe.calendars import partition_window


def named(inputs: Iterable[InputVersion]) -> dict[str, str]:
    """Data versions by name, as the lake records what a partition was made from."""
    return {f"{read.table_name}/{read.partition_key}": read.data_version for read in inputs}


def traded_by(champion_id: str | None) -> dict[str, str]:
    """The one input of a backtest that is not in the lake: the model that traded, by its id."""
    return {"champion": champion_id or "none"}


def made_with(universe: Universe, stage: Stage, key: PartitionKey | None = None) -> dict[str, str]:
    """The input that a partition has beside those that it read: its settings, its columns, and the version of its code.

    The first version of the code is left out: it made everything from before stages had versions.

    Args:
        universe: whose stage it is.
        stage: of the partition.
        key: of the partition; without one, what all partitions of the stage have in common.
    """
    settings = stage.settings(universe)
    if key is not None and key.asset is not None:
        settings |= stage.of_partition(universe, key.asset, key.date)
    if stage.schema is not None and stage.reads:
        settings["columns"] = stage.schema.names
    if stage.version != FIRST_VERSION:
        settings["code"] = stage.version
    return {"settings": json.dumps(settings, sort_keys=True)} if settings else {}


def outages_over(universe: Universe, stage: Stage, key: PartitionKey) -> dict[str, str]:
    """The input of a partition that leaves out what lies in listed outages: those that reach into it.

    Nothing where no outage does, so that a new one makes only its own days out of date.
    """
    if not stage.outages:
        return {}
    start, end = partition_window(key.date)
    found = [
        [f"{outage.start:%Y-%m-%dT%H:%M:%S.%f}", f"{outage.end:%Y-%m-%dT%H:%M:%S.%f}"]
        for outage in universe.outages
        if outage.start < end and outage.end > start and (outage.assets is None or key.asset in outage.assets)
    ]
    return {"outages": json.dumps(sorted(found))} if found else {}


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
    """The assets that have partitions of a stage: all of the universe, or only None if a partition is of all assets."""
    return list(universe.symbols) if stage.per_asset else [None]


class Versioned:
    """Data versions of the partitions in the lake, each footer read once.

    Args:
        lake: read when the version of a partition is first asked for, and not again.
        universe: whose tables they are.
    """

    def __init__(self, lake: Lake, universe: Universe) -> None:
        self._lake, self._universe = lake, universe
        self._found: dict[str, Versions | None] = {}
        self._origins: dict[str, Origin | None] = {}

    def path(self, partition: Partition) -> str:
        """Where a partition lies in the lake."""
        return self._lake.path(self._universe.name, partition.table, partition.key.date, partition.key.asset)

    def read(self, partitions: Iterable[Partition]) -> dict[Partition, Versions]:
        """The versions of some partitions; those that are not in the lake are left out.

        Raises:
            LakeError: the lake cannot be read.
        """
        paths = {partition: self.path(partition) for partition in partitions}
        new = [path for path in paths.values() if path not in self._found]
        self._found |= dict.fromkeys(new) | self._lake.versions_of(new)
        return {partition: found for partition, path in paths.items() if (found := self._found[path])}

    def version(self, inputs: Iterable[Partition], more: Mapping[str, str]) -> str | None:
        """One version of everything that a partition is made from, as it is now; None if a partition is missing.

        Args:
            inputs: partitions of the lake.
            more: versions of other inputs, by name.
        """
        wanted = list(inputs)
        there = self.read(wanted)
        if len(there) < len(wanted):
            return None
        names = {f"{table}/{key}": there[Partition(table, key)].data for table, key in wanted}
        return inputs_version(names | dict(more))

    def stale(
        self,
        table: str,
        dates: Iterable[dt.date],
        more: Mapping[dt.date, Mapping[str, str]] | None = None,
        assets: Sequence[str | None] | None = None,
    ) -> dict[dt.date, list[PartitionKey]]:
        """By date, keys of the partitions that were made from something else than what is there now.

        A partition one of whose inputs is missing cannot be judged, and is left out. One without a record of its inputs
        was made by an earlier version, and is out of date; but raw bars without a record count as those of the source
        that is noted beside them (`lem.lineage.origin`), and are not where none is.

        Args:
            table: name of its stage.
            dates: that are looked at.
            more: versions of inputs from outside of the lake, by date and name.
            assets: that are looked at; if left out, all.

        Raises:
            LakeError: the lake cannot be read.
        """
        universe, stage = self._universe, stage_named(table)
        chosen = assets_of(universe, stage) if assets is None else assets
        there = self.read([Partition(table, PartitionKey(asset, date)) for date in dates for asset in chosen])
        needs = {partition: inputs_of(universe, stage, partition.key) for partition in there}
        self.read({upstream for inputs in needs.values() for upstream in inputs})
        found = dict[dt.date, list[PartitionKey]]()
        for partition, inputs in needs.items():
            key, made_from = partition.key, there[partition].inputs
            if not made_from and not stage.reads and key.asset is not None and stage.version == FIRST_VERSION:
                made_from = self._assumed(stage, key)
            known = made_with(universe, stage, key) | outages_over(universe, stage, key)
            known |= dict((more or {}).get(key.date, {}))
            now = self.version(inputs, known) if inputs or known else ""
            if now is not None and now != made_from:
                found.setdefault(key.date, []).append(key)
        return found

    def _assumed(self, stage: Stage, key: PartitionKey) -> str:
        """The version of the inputs of a partition that was stored without a record of them."""
        now = made_with(self._universe, stage, key)
        noted = self._noted(key.asset or "")
        same = noted is None or noted.has(self._universe, key.date)
        return inputs_version(now) if now and same else ""

    def _noted(self, asset: str) -> Origin | None:
        if asset not in self._origins:
            self._origins[asset] = Origin.read(self._lake, self._universe.name, asset)
        return self._origins[asset]
