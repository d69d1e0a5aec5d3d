"""Recording what a run wrote: one data version and one set of figures for each partition, also in a run over a range.

In a run over a range Dagster gives every partition the same data version, that of the step's result. So each partition
gets an event of its own after Dagster's, with the hash of its own content. The run tag `DEFER_EVENTS` leaves Dagster's
events out. Each event names the versions that its partition was made from, as Dagster's do. The UI therefore shows what
is downstream as out of date where a partition's content changed, and not where it was made again with the same content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from lem.errors import FencedError
from resources.dagster_internals import DEFER_EVENTS, event_log_of, tags_of_event, tags_of_step_inputs


@dataclass(frozen=True)
class Wrote:
    """What was written for one partition.

    Args:
        data_version: hash of its content.
        metadata: what the UI shows of it.
    """

    data_version: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def recorded(context: dg.AssetExecutionContext) -> Iterator[dict[str, Wrote]]:
    """What a body has written so far, by partition key: recorded also where the body is stopped or fails.

    The next try leaves alone what is there, so nothing else would record it.

    Raises:
        FencedError: the step came too late. Nothing is recorded then: the step that began later does it.
    """
    wrote: dict[str, Wrote] = {}
    try:
        yield wrote
    except FencedError:
        raise
    except BaseException as stop:
        try:
            record_partitions(context, wrote)
        except Exception as error:
            stop.add_note(f"what was written before could not be recorded ({error}); record it with: lem reap --yes")
        raise


def record(context: dg.AssetExecutionContext, wrote: Mapping[str, Wrote]) -> Iterator[dg.MaterializeResult]:
    """Yield the step's result, then log an event for each partition where the run has several.

    Args:
        context: of the step.
        wrote: what it has written, by partition key.
    """
    deferred = context.run.tags.get(DEFER_EVENTS) == "true"
    if len(wrote) == 1 and not deferred:
        ((_, only),) = wrote.items()
        yield dg.MaterializeResult(data_version=dg.DataVersion(only.data_version), metadata=only.metadata)
        return
    everything = hashlib.sha256("".join(sorted(w.data_version for w in wrote.values())).encode()).hexdigest()
    yield dg.MaterializeResult(data_version=dg.DataVersion(everything), metadata={"partitions": len(wrote)})
    record_partitions(context, wrote)


def record_partitions(context: dg.AssetExecutionContext, wrote: Mapping[str, Wrote]) -> None:
    """Log an event for each partition; a step that fails leaves no other events."""
    own, upstream = context.asset_key, context.assets_def.asset_deps[context.asset_key]
    code_version = context.assets_def.code_versions_by_key[own] or context.run.run_id
    made_from = tags_of_step_inputs(context, upstream - {own})
    log, last = event_log_of(context), len(wrote) - 1
    for number, (key, partition) in enumerate(sorted(wrote.items())):
        # What an asset reads of itself was logged a moment ago: it has another event in each turn.
        made_from |= tags_of_step_inputs(context, upstream & {own})
        event = dg.AssetMaterialization(
            asset_key=own,
            partition=key,
            metadata=partition.metadata,
            tags=made_from | tags_of_event(partition.data_version, code_version),
        )
        # What reads itself needs each event before the next.
        log(event, number == last or own in upstream)
