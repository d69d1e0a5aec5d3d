"""Recording what a run wrote: one data version and one set of figures for each partition, also in a run over a range.

Dagster gives all partitions of a range run the one data version of the step's result. Every partition therefore gets an
event of its own behind it, with its own content hash; `DEFER_EVENTS`, a run tag, leaves the common ones out. Each event
says what it was made from as those of Dagster do, so that in the UI what is downstream of a changed partition is out
of date, and what is downstream of one that was made again with the same content is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DEFAULT_DATA_VERSION,
    NULL_EVENT_POINTER,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from dagster._core.definitions.data_version import DATA_VERSION_TAG as DATA_VERSION
from dagster._core.events import DagsterEvent, DagsterEventBatchMetadata, generate_event_batch_id
from dagster._core.storage.tags import EXTERNALLY_MANAGED_ASSETS_TAG as DEFER_EVENTS

from lem.errors import FencedError


@dataclass(frozen=True)
class Wrote:
    """What was written for one partition: data version (content hash) and metadata for the UI."""

    data_version: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def recorded(context: dg.AssetExecutionContext) -> Iterator[dict[str, Wrote]]:
    """What a body has written so far, by partition key: recorded also where the body is stopped or fails.

    The next try leaves alone what is there, so nobody else would record it. A step that came too late (`FencedError`)
    records nothing: the one that began later has, or will.
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
            stop.add_note(f"what was written before could not be recorded ({error}); lem reap --yes does that")
        raise


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
    record_partitions(context, wrote)


def record_partitions(context: dg.AssetExecutionContext, wrote: Mapping[str, Wrote]) -> None:
    """Log an event for each partition: all that a step leaves which does not end well."""
    own, upstream = context.asset_key, context.assets_def.asset_deps[context.asset_key]
    made_from = _code_version(context) | _inputs(context, upstream - {own})
    step, batch, last = context.get_step_execution_context(), generate_event_batch_id(), len(wrote) - 1
    for number, (key, partition) in enumerate(sorted(wrote.items())):
        # What an asset reads of itself was logged a moment ago: it has another event in each turn.
        made_from |= _inputs(context, upstream & {own})
        event = dg.AssetMaterialization(
            asset_key=own,
            partition=key,
            metadata=partition.metadata,
            tags=made_from | {DATA_VERSION: partition.data_version, DATA_VERSION_IS_USER_PROVIDED_TAG: "true"},
        )
        # Dagster's own `log_event` writes one by one; in batches, where DAGSTER_EVENT_BATCH_SIZE asks for them and the
        # storage can, an event costs a fraction. What reads itself needs each event before the next.
        ends = number == last or own in upstream
        # This logs it as well: reporting it once more would leave each partition with two events.
        DagsterEvent.asset_materialization(step, event, DagsterEventBatchMetadata(batch, ends))


def _code_version(context: dg.AssetExecutionContext) -> dict[str, str]:
    return {CODE_VERSION_TAG: context.assets_def.code_versions_by_key[context.asset_key] or context.run.run_id}


def _inputs(context: dg.AssetExecutionContext, upstream: Iterable[dg.AssetKey]) -> dict[str, str]:
    """What Dagster tags an event with for each asset upstream: its last event when the step began, and its version.

    The event is what counts where the asset has partitions: one that got another data version in a later event makes
    what was made from it out of date. The version is that of all partitions which the run reads, together.
    """
    step, tags = context.get_step_execution_context(), {}
    for key in upstream:
        if key == context.asset_key:
            step.wipe_input_asset_version_info(key)
        found = step.maybe_fetch_and_get_input_asset_version_info(key)
        version = (found and found.data_version) or DEFAULT_DATA_VERSION
        tags[get_input_data_version_tag(key)] = version.value
        tags[get_input_event_pointer_tag(key)] = str(found.storage_id) if found else NULL_EVENT_POINTER
    return tags
