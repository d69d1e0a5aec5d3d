"""How two models' manifests differ: in keys, and in the partitions that they read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lem.registry.records import ModelRecord, canonical_json


@dataclass(frozen=True)
class ManifestDifference:
    """What differs between one model and another.

    Args:
        keys: by dotted path, each key that differs: its value as JSON in the one and in the other, "" where it lacks
            the key.
        only_in_one: partitions that only the one read, each as `table date`, in order.
        only_in_other: partitions that only the other read, likewise.
        other_version: partitions that both read with different contents, likewise.
    """

    keys: dict[str, tuple[str, str]]
    only_in_one: list[str]
    only_in_other: list[str]
    other_version: list[str]

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not (self.keys or self.only_in_one or self.only_in_other or self.other_version)


def manifest_difference(one: ModelRecord, other: ModelRecord) -> ManifestDifference:
    """How the manifests of two models differ, and the partitions that they read."""
    mine, theirs = _leaves(one.manifest), _leaves(other.manifest)
    read, read_by_other = _versions(one), _versions(other)
    return ManifestDifference(
        keys={
            key: (mine.get(key, ""), theirs.get(key, ""))
            for key in [*mine, *(key for key in theirs if key not in mine)]
            if mine.get(key) != theirs.get(key)
        },
        only_in_one=[name for name in read if name not in read_by_other],
        only_in_other=[name for name in read_by_other if name not in read],
        other_version=[name for name in read if read_by_other.get(name, read[name]) != read[name]],
    )


def _leaves(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= _leaves(value, f"{prefix}{key}.")
        elif f"{prefix}{key}" != "inputs":
            found[f"{prefix}{key}"] = canonical_json(value)
    return found


def _versions(record: ModelRecord) -> dict[str, str]:
    return {f"{read.table_name} {read.partition_key}": read.data_version for read in record.inputs}
