"""What every asset of a universe shares: its key, group, partitions, and the settings of the decorator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date as Date
from functools import lru_cache
from typing import Any

import dagster as dg
import pandas as pd

from assets.catalogue import column_schema, describe
from assets.partitions import Partitions, partitions_of
from lem.dictionary.entries import entry_of
from lem.lake import Lake
from lem.lineage.revisions import partition_key
from lem.lineage.tables import refuse_missing
from lem.registry.records import InputVersion
from lem.universe import Universe

OWNER = "team:execution"
CODE_VERSION = "1"
"""Raised when a stage's output changes for the same input: Dagster then marks what was made before as out of date."""


@dataclass(frozen=True)
class Stage:
    """A universe and its partitions, handed to every asset's factory function."""

    universe: Universe
    partitions: Partitions

    @classmethod
    def of(cls, universe: Universe) -> Stage:
        return cls(universe, partitions_of(universe))

    def key(self, table: str) -> dg.AssetKey:
        """`<universe>/<table>`."""
        return dg.AssetKey([self.universe.name, table])

    def options(self, table: str, description: str, kinds: Iterable[str]) -> dict[str, Any]:
        """The arguments of `dg.asset` that are the same for all stages: what the catalogue says of a stage's table.

        Args:
            table: the stage; its columns and their meaning come from `lem.dictionary`.
            description: one sentence. kinds: what it is made with, as the UI's badges.
        """
        entry = entry_of(table)
        return {
            "key": self.key(table),
            "group_name": self.universe.name,
            "description": describe(entry, description, self.universe.description),
            "kinds": {"python", *kinds},
            "owners": [OWNER],
            "code_version": CODE_VERSION,
            "metadata": {"dagster/column_schema": column_schema(entry), "lies at": entry.place},
        }

    def reader(
        self, lake: Lake, table: str, wanted: dict[str, set[Date]], keep: int = 4096
    ) -> Callable[[str, Date], tuple[pd.DataFrame, InputVersion]]:
        """A function (asset, date) -> partition and its version, for a step that needs it many times.

        The last `keep` objects are read once.

        Raises:
            LakeError: at once, with the list of all `wanted` partitions that are not in the lake.
        """
        refuse_missing(lake, self.universe, table, wanted)

        @lru_cache(maxsize=keep)
        def read(asset: str, date: Date) -> tuple[pd.DataFrame, InputVersion]:
            frame, version = lake.read_versioned(lake.path(self.universe.name, table, date, asset))
            return frame, InputVersion(table, partition_key(date, asset), version)

        return read
