"""The asset graph of a universe: one asset a stage, the same for every universe, all of it from the table of stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date as Date
from functools import lru_cache
from importlib import import_module
from typing import Any

import dagster as dg
import pandas as pd

from assets.catalogue import column_schema, describe
from assets.failing import told
from assets.partitions import Partitions, mapping_of
from assets.resource_names import prefixed
from lem.dictionary.entries import entry_of
from lem.lake import Lake
from lem.lineage import stages
from lem.lineage.keys import PartitionKey
from lem.lineage.stages import Stage, stage_named
from lem.lineage.tables import refuse_missing
from lem.lineage.versions import made_with
from lem.registry.records import InputVersion
from lem.universe import Universe

OWNER = "team:execution"


@dataclass(frozen=True)
class UniverseGraph:
    """A universe and its partitions, handed to the body of every stage and to every check.

    Args:
        universe: whose graph it is.
        partitions: of its assets.
        prefix: of the names of the resources that its steps ask for.
    """

    universe: Universe
    partitions: Partitions
    prefix: str = ""

    @classmethod
    def of(cls, universe: Universe, prefix: str = "") -> UniverseGraph:
        """The graph of a universe."""
        return cls(universe, Partitions(universe), prefix)

    def key(self, stage: str) -> dg.AssetKey:
        """`<universe>/<stage>`."""
        return dg.AssetKey([self.universe.name, stage])

    def partitions_of(self, stage: str) -> dg.PartitionsDefinition:
        """The partitions of a stage, for its checks."""
        return self.partitions.of(stage_named(stage))

    def asset(self, name: str, **more: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
        """A decorator that makes a stage's body its asset.

        Args:
            name: of the stage.
            **more: arguments of `dg.asset` that only this stage has.
        """
        return lambda body: dg.asset(**self.options(name), **more)(self.body(body))

    def body(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """A decorator for the body of an asset or a check: its errors are told, its resources are this graph's."""
        return prefixed(told(body), self.prefix)

    def options(self, name: str) -> dict[str, Any]:
        """The arguments of `dg.asset` for a stage: everything but its body and its pool."""
        stage = stage_named(name)
        entry = entry_of(name)
        return {
            "key": self.key(name),
            "group_name": self.universe.name,
            "description": describe(entry, stage.description, self.universe.description),
            "kinds": {"python", *stage.kinds},
            "owners": [OWNER],
            "code_version": stage.version,
            "metadata": {"dagster/column_schema": column_schema(entry), "lies at": entry.place},
            "partitions_def": self.partitions.of(stage),
            "backfill_policy": dg.BackfillPolicy.single_run() if stage.ranges else None,
            "deps": self._deps(stage),
        }

    def _deps(self, stage: Stage) -> list[dg.AssetDep]:
        return [
            dg.AssetDep(self.key(read.stage), partition_mapping=mapping_of(self.universe, stage, read))
            for read in stage.reads
        ]

    def made_with(self, name: str, key: PartitionKey | None = None) -> dict[str, str]:
        """What a partition of a stage records of its settings and its code, beside the partitions that it read.

        Args:
            name: of the stage.
            key: of the partition; without one, what all partitions of the stage have in common.
        """
        return made_with(self.universe, stage_named(name), key)

    def reader(
        self, lake: Lake, table: str, wanted: dict[str, set[Date]], keep: int = 4096
    ) -> Callable[[str, Date], tuple[pd.DataFrame, InputVersion]]:
        """A function (asset, date) -> partition and its version, for a step that reads partitions many times.

        Args:
            lake: where they are.
            table: their stage.
            wanted: dates by asset.
            keep: how many partitions, the last used ones, stay in memory.

        Raises:
            LakeError: partitions of `wanted` are not in the lake. It names all of them, before any is read.
        """
        refuse_missing(lake, self.universe, table, wanted)

        @lru_cache(maxsize=keep)
        def read(asset: str, date: Date) -> tuple[pd.DataFrame, InputVersion]:
            frame, version = lake.read_versioned(lake.path(self.universe.name, table, date, asset))
            return frame, InputVersion(table, str(PartitionKey(asset, date)), version)

        return read


def assets_of(graph: UniverseGraph) -> list[dg.AssetsDefinition]:
    """The asset of each stage, as `stages/<name>.py` here defines it."""
    return [import_module(f"{__package__}.stages.{stage.name}").asset_of(graph) for stage in stages.STAGES]
