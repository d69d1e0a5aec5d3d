"""All of Dagster that it does not call public, in one place: nothing else here imports its private modules.

Only `resources.dagster_services` does, too, for how the webserver is started, and `resources.sqlite_events`, for how
events are written.

Each use says what Dagster does there, what it is needed for, and which public API would replace it.
tests/resources/test_dagster_internals.py holds a contract for each, which says what breaks in this project when Dagster
changes it: after an upgrade, run that file first.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    DEFAULT_DATA_VERSION,
    NULL_EVENT_POINTER,
    extract_data_version_from_entry,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from dagster._core.definitions.declarative_automation.operators import SinceCondition as SinceCondition
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.events import DagsterEventBatchMetadata, generate_event_batch_id
from dagster._core.launcher import CheckRunHealthResult as CheckRunHealthResult
from dagster._core.launcher import WorkerStatus as WorkerStatus
from dagster._core.scheduler.instigation import InstigatorStatus
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    EXTERNALLY_MANAGED_ASSETS_TAG,
    PARTITION_NAME_TAG,
)
from dagster._record import copy as copy
from dagster._serdes import ConfigurableClassData as ConfigurableClassData
from dagster._serdes import serialize_value as serialize_value
from dagster._serdes import unpack_value
from dagster._utils.error import SerializableErrorInfo

from resources.sqlite_events import write_in_batches

# `lem_pipeline.run_queue` is a run launcher: CeleryRunLauncher is its base; CheckRunHealthResult, WorkerStatus and
# ConfigurableClassData are what Dagster wants from it and gives to it. A public base of launchers would replace them.
if TYPE_CHECKING:
    from dagster._core.definitions.declarative_automation.serialized_objects import (
        AutomationConditionEvaluation as AutomationConditionEvaluation,
    )
    from dagster._core.definitions.sensor_definition import SensorExecutionData as SensorExecutionData
    from dagster._core.execution.backfill import PartitionBackfill
    from dagster_celery.launcher import CeleryRunLauncher as CeleryRunLauncher
else:

    def __getattr__(name: str) -> Any:
        # dagster-celery is an extra, and Celery takes long to import: only who asks for the launcher pays for it.
        if name != "CeleryRunLauncher":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from dagster_celery.launcher import CeleryRunLauncher

        return CeleryRunLauncher


# What the history says of a partition.

DATA_VERSION = DATA_VERSION_TAG
"""Tag of a materialisation: the version of its content. Public code (`dg.DataVersion`) can set it only for a step's
result, which has one version for all partitions of a run."""


def tags_of_event(data_version: str, code_version: str) -> dict[str, str]:
    """The tags that Dagster gives a materialisation whose data version its step has set.

    Dagster's staleness reads them. It writes them for a step's result only, not for the events of single partitions
    that are logged beside it. A public `dg.AssetMaterialization(data_version=..., code_version=...)` would replace
    this.
    """
    return {
        DATA_VERSION_TAG: data_version,
        DATA_VERSION_IS_USER_PROVIDED_TAG: "true",
        CODE_VERSION_TAG: code_version,
    }


def tags_of_step_inputs(context: dg.AssetExecutionContext, upstream: Iterable[dg.AssetKey]) -> dict[str, str]:
    """Dagster's tags of an event for each asset upstream: its last event when the step began, and its version.

    For an asset with partitions Dagster goes by the event: a partition that gets another data version in a later event
    makes what was made from it out of date. The version is one of all partitions that the run reads. Dagster looks both
    up once a step and keeps them. For the step's own asset they are looked up again at each call, since what it reads
    of itself was logged a moment ago. A public way to log a partition's event with its provenance would replace this.

    Args:
        context: of the step.
        upstream: assets that the step reads.
    """
    step, tags = context.get_step_execution_context(), dict[str, str]()
    for key in upstream:
        if key == context.asset_key:
            step.wipe_input_asset_version_info(key)
        found = step.maybe_fetch_and_get_input_asset_version_info(key)
        tags |= _input_tags(key, found.data_version if found else None, found.storage_id if found else None)
    return tags


def tags_of_last_inputs(instance: dg.DagsterInstance, upstream: Iterable[dg.AssetKey]) -> dict[str, str]:
    """The tags of `tags_of_step_inputs` where there is no step: each asset's last event in the history, its version.

    It is for events that are reported in place of a run that died before it could. The same public API would replace
    both.

    Args:
        instance: with the history.
        upstream: assets that were read.
    """
    tags = dict[str, str]()
    for key in upstream:
        last = instance.get_latest_data_version_record(key)
        version = extract_data_version_from_entry(last.event_log_entry) if last else None
        tags |= _input_tags(key, version, last.storage_id if last else None)
    return tags


def _input_tags(key: dg.AssetKey, version: dg.DataVersion | None, storage_id: int | None) -> dict[str, str]:
    return {
        get_input_data_version_tag(key): (version or DEFAULT_DATA_VERSION).value,
        get_input_event_pointer_tag(key): NULL_EVENT_POINTER if storage_id is None else str(storage_id),
    }


def event_log_of(context: dg.AssetExecutionContext) -> Callable[[dg.AssetMaterialization, bool], None]:
    """A function (event, ends) that logs materialisations of a step in a batch; an event with `ends` writes the batch.

    If DAGSTER_EVENT_BATCH_SIZE asks for batches, an event costs a fraction; otherwise each is written at once. The
    public `context.log_event` writes one by one; a public call for many events would replace this.
    """
    write_in_batches(context.instance)
    step, batch = context.get_step_execution_context(), generate_event_batch_id()

    def log(event: dg.AssetMaterialization, ends: bool) -> None:
        # This logs it as well: reporting it once more would leave each partition with two events.
        dg.DagsterEvent.asset_materialization(step, event, DagsterEventBatchMetadata(batch, ends))

    return log


# Runs: what they make, who executes them, how they ended.

DEFER_EVENTS = EXTERNALLY_MANAGED_ASSETS_TAG
"""Run tag: Dagster logs no materialisations of a run's assets, since their code does so itself. Without it every
partition of a range first gets an event with the version of the whole range. No public API does this."""


def range_tags(first: str, last: str) -> dict[str, str]:
    """Run tags by which a run makes all partitions of a range, and logs their events itself.

    Backfills of the UI set the first two on runs of `dg.BackfillPolicy.single_run`. A public way to execute a job over
    a range would replace this.

    Args:
        first: partition key.
        last: partition key.
    """
    return {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last, DEFER_EVENTS: "true"}


def partitions_named(run: dg.DagsterRun) -> tuple[str, str] | None:
    """First and last key of the partitions that a run makes; None where it names none. `dg.DagsterRun` has no such."""
    first = run.tags.get(ASSET_PARTITION_RANGE_START_TAG) or run.tags.get(PARTITION_NAME_TAG)
    return (first, run.tags.get(ASSET_PARTITION_RANGE_END_TAG) or first) if first else None


def pools_of(run: dg.DagsterRun) -> set[str]:
    """The pools that a run takes a slot of while it is executed, as the queue counts them. There is no public field."""
    return set(run.run_op_concurrency.all_pools or ()) if run.run_op_concurrency else set()


def pool_limit(instance: dg.DagsterInstance, pool: str) -> int | None:
    """How many runs may take a slot of a pool at a time; None for any number.

    The queue asks the same of the storage. The public `dagster instance concurrency` prints it.
    """
    storage = instance.event_log_storage
    limits = {one.name: one for one in storage.get_pool_limits()} if storage.supports_global_concurrency_limits else {}
    if pool in limits and not limits[pool].from_default:
        return limits[pool].limit
    return instance.global_op_concurrency_default_limit


def queue_is_served(instance: dg.DagsterInstance) -> bool:
    """Whether a daemon starts queued runs: one was heard of in the last two minutes. No public call tells it."""
    heard = instance.get_daemon_heartbeats().get("QUEUED_RUN_COORDINATOR")
    return heard is not None and time.time() - heard.timestamp < 120


def launch_on_workers(
    instance: dg.DagsterInstance,
    module: str,
    keys: set[dg.AssetKey],
    first: str,
    last: str,
    tags: Mapping[str, str],
) -> str | None:
    """Give a run of these assets to the instance's run launcher, whose workers load the definitions by their address.

    `dagster asset materialize` and the UI do this through a workspace and a code server, which a plan of hundreds of
    runs does not need. A public `submit_run` without a code server would replace this.

    Args:
        instance: keeps the run; its launcher needs no workspace.
        module: has the definitions under the name `defs`.
        keys: assets of one run.
        first: partition key.
        last: partition key; the same for a single partition.
        tags: of the run, beside those of its partitions.

    Returns:
        Id of the run; None where the definitions lack an asset, or the assets do not share their partitions.
    """
    repository = ReconstructableRepository.for_module(module, "defs")
    definitions = repository.get_definition()
    known = definitions.asset_graph.get_all_asset_keys()
    job = definitions.get_implicit_job_def_for_assets(list(keys)) if keys <= set(known) else None
    if job is None:
        return None
    partitions = job.get_tags_for_partition_key(first, keys) if first == last else range_tags(first, last)
    run = instance.create_run_for_job(
        job.get_subset(asset_selection=keys),
        tags={**tags, **partitions},
        asset_selection=keys,
        job_code_origin=repository.get_reconstructable_job(job.name).get_python_origin(),
    )
    return instance.launch_run(run.run_id, None).run_id  # type: ignore[arg-type]  # the queue needs no workspace


def errors_of(events: Iterable[dg.DagsterEvent]) -> Iterator[SerializableErrorInfo]:
    """The errors of failed steps and runs, each followed by its causes.

    Their `message` begins with the class, its module before it. The terminal shows what the library's own error said.
    The public `DagsterEvent.step_failure_data` has the same error without a public type.
    """
    for event in events:
        error = event.step_failure_data.error if event.is_step_failure else None
        if event.event_type == dg.DagsterEventType.RUN_FAILURE:
            error = event.job_failure_data.error if event.event_specific_data else None
        while error is not None:
            yield error
            error = error.cause


def interrupted(events: Iterable[dg.DagsterEvent]) -> bool:
    """Whether a run ended because its process was asked to stop.

    Dagster reports that as a failed step or, between two steps, as a failed run, with its own error among the causes;
    the plan of a night must then end, and not go on as after any failed step. A public status of interrupted runs would
    replace this.
    """
    return any(error.cls_name == dg.DagsterExecutionInterruptedError.__name__ for error in errors_of(events))


_EXECUTES = re.compile(r"Executing steps in process \(pid: (\d+)\)")


def executors(instance: dg.DagsterInstance, run_id: str) -> set[int]:
    """Numbers of the processes in which the in-process executor executed a run, from the text that it logs.

    They tell whether a run died with its process. An event with the number as data would replace the text.
    """
    logs = instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    return {int(match[1]) for entry in logs if (match := _EXECUTES.search(entry.message))}


def last_heard(instance: dg.DagsterInstance, run_id: str) -> float | None:
    """When a run logged its last event (seconds since 1970); None if it logged none.

    Public code reads all events of a run (`instance.all_logs`) to get the last.
    """
    last = instance.event_log_storage.get_logs_for_run(run_id, limit=1, ascending=False)
    return last[0].timestamp if last else None


# Automation: what its sensors store of each tick.


def turned_on(instance: dg.DagsterInstance, name: str) -> float | None:
    """Since when a sensor or schedule of this name is on (seconds since 1970); None if it is off or was never on.

    What was missed is missed only if somebody waited for it. A public state of sensors and schedules on the instance,
    with a typed moment of their start, would replace this.
    """
    for state in instance.all_instigator_state():
        if state.instigator_name == name and state.status in (
            InstigatorStatus.RUNNING,
            InstigatorStatus.DECLARED_IN_CODE,
        ):
            data = state.instigator_data
            start = getattr(data, "last_sensor_start_timestamp", None) or getattr(data, "start_timestamp", None)
            return float(start or 0.0)
    return None


def clear_evaluations(instance: dg.DagsterInstance, before: float) -> None:
    """Delete the evaluations of automation conditions that are older than `before` (seconds since 1970).

    Dagster keeps those for ever that it evaluates in the code location. A retention in dagster.yaml would replace this.
    """
    if instance.schedule_storage:
        instance.schedule_storage.purge_asset_evaluations(before=before)


# What killed processes leave behind.


def runs_with_slots(instance: dg.DagsterInstance) -> set[str]:
    """Ids of the runs that hold a slot of a pool, or wait for one.

    Dagster keeps a slot until its run reports its end, so the slot of a killed run holds up all other runs. The public
    `dagster instance concurrency` knows pools, but no runs.
    """
    storage = instance.event_log_storage
    return set(storage.get_concurrency_run_ids()) if storage.supports_global_concurrency_limits else set()


def free_slots(instance: dg.DagsterInstance, run_id: str) -> None:
    """Free the slots of a run, and its place among those that wait; the UI's button does the same."""
    instance.event_log_storage.free_concurrency_slots_for_run(run_id)


def open_backfills(instance: dg.DagsterInstance) -> list[PartitionBackfill]:
    """The backfills on which the daemon still works. The public API lists runs of a backfill, but no backfills."""
    # Imported here and below: that takes longer than the rest of this file, and only `lem reap` needs it.
    from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus

    statuses = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
    return list(instance.get_backfills(filters=BulkActionsFilter(statuses=statuses)))


def end_backfill(instance: dg.DagsterInstance, backfill: PartitionBackfill) -> None:
    """End a backfill that has no running process: as cancelled if that was asked for, else as failed.

    The UI's button first has a daemon cancel the backfill's runs; no public call only ends it.
    """
    from dagster._core.execution.backfill import BulkActionStatus

    canceled = backfill.status == BulkActionStatus.CANCELING
    ended = backfill.with_status(BulkActionStatus.CANCELED if canceled else BulkActionStatus.FAILED)
    instance.update_backfill(ended.with_end_timestamp(time.time()))


# Workers: what is public of dagster-celery is its executor of steps, not its launcher of runs and its tasks.


def celery_defaults() -> dict[str, Any]:
    """The settings that dagster-celery gives a Celery app; ours are added to them."""
    from dagster_celery.config import DEFAULT_CONFIG

    return dict(DEFAULT_CONFIG)


def worker_app(broker: str, settings: Mapping[str, Any]) -> Any:
    """A Celery app that knows the queues to which dagster-celery's launcher writes.

    Args:
        broker: URL, in Celery's form.
        settings: those of the launcher (`celery_defaults` and our own).
    """
    from dagster_celery.make_app import make_app

    return make_app({"broker": broker, "config_source": dict(settings)})


def run_task(app: Any, **options: Any) -> Any:
    """Register in an app the task that executes a run from the launcher's queue, and return it.

    Args:
        app: of `worker_app`.
        **options: of Celery's task; `base` is its class.
    """
    from dagster_celery.tasks import create_execute_job_task

    return create_execute_job_task(app, **options)


def run_id_of(arguments: Mapping[str, Any]) -> str:
    """Id of the run that a queued task is to execute.

    Args:
        arguments: keyword arguments of the call, as the launcher has packed them.
    """
    from dagster._grpc.types import ExecuteRunArgs

    return unpack_value(arguments["execute_job_args_packed"], as_type=ExecuteRunArgs).run_id
