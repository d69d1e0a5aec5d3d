"""Recording what a run wrote: one data version and one set of figures for each partition, also in a run over a range.

Dagster gives all partitions of a range run the one data version of the step's result. Every partition therefore gets an
event of its own behind it, with its own content hash; `DEFER_EVENTS`, a run tag, leaves the common ones out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster._core.storage.tags import EXTERNALLY_MANAGED_ASSETS_TAG as DEFER_EVENTS

DATA_VERSION = "dagster/data_version"
DATA_VERSION_IS_USERS = "dagster/data_version_is_user_provided"


@dataclass(frozen=True)
class Wrote:
    """What was written for one partition: data version (content hash) and metadata for the UI."""

    data_version: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


def record(context: dg.AssetExecutionContext, wrote: Mapping[str, Wrote]) -> Iterator[dg.MaterializeResult]:
    """Yield the step's result, then log an event for each partition where the run has several.

    Args:
        wrote: by partition key.
    """
    deferred = context.run.tags.get(DEFER_EVENTS) == "true"
    if len(wrote) == 1 and not deferred:
        ((_, only),) = wrote.items()
        yield dg.MaterializeResult(data_version=dg.DataVersion(only.data_version), metadata=only.metadata)
        return
    everything = hashlib.sha256("".join(sorted(w.data_version for w in wrote.values())).encode()).hexdigest()
    yield dg.MaterializeResult(data_version=dg.DataVersion(everything), metadata={"partitions": len(wrote)})
    for key, partition in sorted(wrote.items()):
        context.log_event(
            dg.AssetMaterialization(
                asset_key=context.asset_key,
                partition=key,
                metadata=partition.metadata,
                tags={DATA_VERSION: partition.data_version, DATA_VERSION_IS_USERS: "true"},
            )
        )
