"""What this project takes for granted of Dagster's private modules. A failure says what breaks here: after an upgrade,
mend `resources/dagster_internals.py` until this file passes."""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

import logging
import os
import signal
import time

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.loader import LoadingContextForTest
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData
from dagster._core.test_utils import create_run_for_test, instance_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.monitoring.run_monitoring import monitor_started_run

from lem.errors import LakeError
from resources.dagster_internals import (
    DATA_VERSION,
    end_backfill,
    errors_of,
    event_log_of,
    executors,
    free_slots,
    interrupted,
    last_heard,
    launch_on_workers,
    open_backfills,
    range_tags,
    run_id_of,
    run_task,
    runs_with_slots,
    tags_of_event,
    tags_of_last_inputs,
    tags_of_step_inputs,
    turned_on,
    worker_app,
)

KEYS = [f"2024-01-{day:02d}" for day in range(1, 8)]
DAILY = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-08")
YESTERDAY = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1, allow_nonexistent_upstream_partitions=True)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
VERSION_OF_RAW = "dagster/input_data_version/raw"
RAW, BARS, OWN = (dg.AssetKey(name) for name in ("raw", "bars", "own"))


def daily(name, body, *deps):
    """An asset of daily partitions whose body gets the context."""

    @dg.asset(
        name=name, partitions_def=DAILY, deps=deps, code_version="7", backfill_policy=dg.BackfillPolicy.single_run()
    )
    def made(context: dg.AssetExecutionContext):
        return body(context)

    return made


def execute(instance, assets, *keys, **options):
    """Run these assets of the definitions."""
    job = dg.Definitions(assets).get_repository_def().get_implicit_job_def_for_assets(list(keys))
    subset = job.get_subset(asset_selection=set(keys))
    return subset.execute_in_process(instance=instance, run_config=QUIET, raise_on_error=False, **options)


def logs_each(context):
    """Log an event for each partition of the run, by ourselves."""
    log, keys = event_log_of(context), context.partition_keys
    for number, key in enumerate(keys, 1):
        log(
            dg.AssetMaterialization(context.asset_key, partition=key, tags=tags_of_event(f"of {key}", "7")),
            number == len(keys),
        )
    return dg.MaterializeResult(data_version=dg.DataVersion("of them all"))


def events(instance, key):
    """Partition and data version of an asset's events, in their order."""
    found = instance.fetch_materializations(key, limit=100, ascending=True).records
    return [(one.partition_key, one.asset_materialization.tags[DATA_VERSION]) for one in found]


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """An instance with files: only such a one knows pools, and batches of events."""
    with instance_for_test(temp_dir=str(tmp_path_factory.mktemp("history"))) as made:
        yield made


def test_a_run_with_range_tags_makes_the_range_and_has_our_events_alone(instance):
    seen = []

    def body(context):
        seen.extend(context.partition_keys)
        return logs_each(context)

    assert execute(instance, [daily("raw", body)], RAW, tags=range_tags(KEYS[1], KEYS[4])).success
    assert seen == KEYS[1:5], "a run over a range makes other partitions than were planned: lem backfill leaves holes"
    assert events(instance, RAW) == [(key, f"of {key}") for key in KEYS[1:5]], (
        "a partition of a range run has other events than the one that we log: the UI shows what was made again with "
        "the same content, or what is made from it, as out of date"
    )


def test_events_of_a_range_run_are_written_in_batches(kept, monkeypatch):
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "3")
    storage, sizes = kept.event_log_storage, []
    whole = storage.store_event_batch
    monkeypatch.setattr(storage, "store_event_batch", lambda batch: sizes.append(len(batch)) or whole(batch))
    assert execute(kept, [daily("raw", logs_each)], RAW, tags=range_tags(KEYS[0], KEYS[5])).success
    assert sizes == [3, 3], "events of a range run are no longer batched: a backfill gets slower"
    assert [key for key, _ in events(kept, RAW)] == KEYS[:6], "events of a batch are lost, or written twice"


def provenance(tags):
    """Those of the tags that staleness reads."""
    parts = ("data_version", "code_version", "input_")
    return {name: value for name, value in tags.items() if name.startswith(tuple(f"dagster/{part}" for part in parts))}


def test_our_events_say_of_their_origin_what_those_of_dagster_say(instance):
    ours = {}

    def body(context):
        ours.update(tags_of_event("one", "7") | tags_of_step_inputs(context, {RAW}))
        return dg.MaterializeResult(data_version=dg.DataVersion("one"))

    assets = [daily("raw", logs_each), daily("bars", body, RAW)]
    assert execute(instance, assets, RAW, tags=range_tags(KEYS[0], KEYS[2])).success
    assert execute(instance, assets, BARS, partition_key=KEYS[2]).success
    theirs = instance.get_latest_materialization_event(BARS).asset_materialization.tags
    assert ours == provenance(theirs), (
        "an event that we log for a partition says other things of its origin than one of Dagster: partitions of range "
        "runs are shown as out of date, and the automation makes them again"
    )
    # Of an input with partitions only the event counts: without a step nobody knows which of them were read.
    last = tags_of_last_inputs(instance, {RAW})
    assert ours.items() >= (last | {VERSION_OF_RAW: ours[VERSION_OF_RAW]}).items(), (
        "an event that lem reap records names another input than one of a step: it is shown as out of date"
    )
    assert last[VERSION_OF_RAW] == f"of {KEYS[2]}"


def test_partitions_reported_without_a_run_are_fresh(instance):
    assets = [daily("raw", logs_each), daily("bars", logs_each, RAW)]
    for key, upstream in ((RAW, set()), (BARS, {RAW})):
        for partition in KEYS:
            tags = tags_of_last_inputs(instance, upstream) | tags_of_event("one", "7")
            instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition, tags=tags))
    graph = dg.Definitions(assets).get_repository_def().asset_graph
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    found = {resolver.get_status(key, partition).name for key in (RAW, BARS) for partition in KEYS}
    assert found == {"FRESH"}, "partitions written by a stopped run are shown as missing, or as out of date"


def test_what_a_step_reads_of_its_own_asset_is_looked_up_again(instance):
    pointers = []

    def body(context):
        log = event_log_of(context)
        for key in context.partition_keys:
            tags = tags_of_step_inputs(context, {OWN})
            pointers.append(tags["dagster/input_event_pointer/own"])
            log(dg.AssetMaterialization(OWN, partition=key, tags=tags | tags_of_event(key, "7")), True)
        return dg.MaterializeResult()

    own = daily("own", body, dg.AssetDep(OWN, partition_mapping=YESTERDAY))
    ended = execute(instance, [own], OWN, tags=range_tags(KEYS[0], KEYS[3]))
    assert ended.success, list(errors_of(ended.all_events))
    assert pointers[0] == "NULL"
    assert len(set(pointers)) == 4, (
        "a partition that reads the one before it (champion) does not name the event of that: it is out of date from "
        "the first moment"
    )


def test_the_error_that_stopped_a_run_is_in_our_own_words(instance):
    def body(context):
        try:
            raise OSError("no space left")
        except OSError as error:
            raise LakeError("disk full; allowed: a disk with space") from error

    told = [
        error.message.strip()
        for error in errors_of(execute(instance, [daily("raw", body)], RAW, partition_key=KEYS[0]).all_events)
    ]
    assert "lem.errors.LakeError: disk full; allowed: a disk with space" in told, (
        "the terminal shows Dagster's words in place of the error's own, which names the remedy"
    )
    assert told[-1] == "OSError: no space left", "causes of an error are no longer told"


@pytest.mark.parametrize("stop", [signal.SIGTERM, None], ids=["stopped", "failed"])
def test_a_run_that_was_stopped_is_told_from_one_that_failed(stop, instance):
    def body(context):
        if stop:
            os.kill(os.getpid(), stop)
            time.sleep(60)
        raise LakeError("disk full")

    ended = execute(instance, [daily("raw", body)], RAW, partition_key=KEYS[0])
    assert interrupted(ended.all_events) == bool(stop), (
        "Ctrl-C counts as a step that failed: a night goes on after it; or a failure as Ctrl-C: a night ends in silence"
    )


def test_a_run_in_one_process_logs_its_number_and_when_it_was_heard_of(kept):
    ended = execute(kept, [daily("raw", logs_each)], RAW, partition_key=KEYS[0])
    assert executors(kept, ended.run_id) == {os.getpid()}, (
        "lem reap cannot tell any more that a run died with its process"
    )
    newest = max(entry.timestamp for entry in kept.all_logs(ended.run_id))
    assert last_heard(kept, ended.run_id) == newest, "lem reap --older-than takes runs for silent that are not"
    unheard = create_run_for_test(kept, job_name="night").run_id
    assert (executors(kept, unheard), last_heard(kept, unheard)) == (set(), None)


def test_slots_are_held_by_runs_and_can_be_freed(kept):
    storage = kept.event_log_storage
    storage.set_concurrency_slots("training", 1)
    assert storage.claim_concurrency_slot("training", "killed", "step").is_claimed
    assert not storage.claim_concurrency_slot("training", "waits", "step").is_claimed
    assert runs_with_slots(kept) == {"killed", "waits"}, "lem reap does not find the pool slots of killed runs"
    for run_id in ("killed", "waits"):
        free_slots(kept, run_id)
    assert runs_with_slots(kept) == set(), "the slot of a killed run is held for ever: nothing is trained any more"
    assert storage.claim_concurrency_slot("training", "next", "step").is_claimed
    free_slots(kept, "next")


def test_an_instance_without_pools_has_no_slots(instance):
    assert runs_with_slots(instance) == set()


@pytest.mark.parametrize(("status", "end"), [("REQUESTED", "FAILED"), ("CANCELING", "CANCELED"), ("FAILING", "FAILED")])
def test_a_backfill_that_is_open_is_found_and_can_be_ended(status, end, kept):
    made = PartitionBackfill(status, BulkActionStatus(status), False, {}, time.time(), asset_selection=[RAW])
    kept.add_backfill(made)
    found = open_backfills(kept)
    assert [one.backfill_id for one in found] == [status], "lem reap does not find backfills that hang"
    end_backfill(kept, found[0])
    assert open_backfills(kept) == [], "a backfill whose daemon was killed goes on for ever"
    assert kept.get_backfill(status).status.value == end, "the UI shows a backfill that was cancelled as failed"
    assert kept.get_backfill(status).backfill_end_timestamp


DEPLOYED = """
import dagster as dg
from resources.dagster_internals import CeleryRunLauncher, CheckRunHealthResult, WorkerStatus

class Launcher(CeleryRunLauncher):
    '''That of many machines, with a broker in memory; it says of every run that its worker is gone.'''

    def __init__(self, inst_data=None):
        super().__init__(default_queue="dagster", broker="memory://", inst_data=inst_data)

    @classmethod
    def config_type(cls):
        return {}

    @classmethod
    def from_config_value(cls, inst_data, config_value):
        return cls(inst_data)

    @property
    def supports_resume_run(self):
        return False

    def check_run_worker_health(self, run):
        return CheckRunHealthResult(WorkerStatus.FAILED, "worker1 no longer executes the run")

days = dg.DailyPartitionsDefinition("2024-01-01")
options = {"partitions_def": days, "backfill_policy": dg.BackfillPolicy.single_run()}

@dg.asset(**options)
def raw(context): ...

@dg.asset(**options, deps=[raw])
def bars(context): ...

defs = dg.Definitions([raw, bars])
"""


@pytest.fixture
def queued(tmp_path, monkeypatch):
    """An instance whose launcher puts runs into a queue in memory, and whose workers would load `deployed`."""
    pytest.importorskip("dagster_celery")
    (tmp_path / "deployed_somewhere.py").write_text(DEPLOYED)
    # Dagster loads modules without the first of the paths, which is the folder of a script.
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "script")
    launcher = {"module": "deployed_somewhere", "class": "Launcher", "config": {}}
    with instance_for_test({"run_launcher": launcher, "run_monitoring": {"enabled": True}}) as made:
        made.run_launcher.celery.control.purge()  # the queue outlives an instance
        yield made


def launch(instance, first, last):
    return launch_on_workers(instance, "deployed_somewhere", {RAW, BARS}, first, last, {"lem/universe": "tiny"})


@pytest.mark.parametrize("last", [KEYS[0], KEYS[3]], ids=["one partition", "a range"])
def test_a_run_for_workers_is_queued_with_the_address_of_its_definitions(last, queued):
    run = queued.get_run_by_id(launch(queued, KEYS[0], last))
    assert run.status == dg.DagsterRunStatus.STARTING, "the queue needs a workspace now: --on-workers starts nothing"
    assert run.asset_selection == {RAW, BARS}
    wanted = {"dagster/partition": KEYS[0]} if last == KEYS[0] else range_tags(KEYS[0], last)
    assert run.tags.items() >= {"lem/universe": "tiny", **wanted}.items(), (
        "a worker makes other partitions than planned"
    )
    assert "deployed_somewhere" in run.job_code_origin.repository_origin.code_pointer.describe(), (
        "a worker does not know which definitions to load"
    )
    absent = launch_on_workers(queued, "deployed_somewhere", {dg.AssetKey("nosuch")}, KEYS[0], KEYS[0], {})
    assert absent is None, "assets that are not deployed are no longer told by name"


def test_a_worker_is_given_the_run_by_the_name_and_the_arguments_that_it_expects(queued):
    run_id = launch(queued, KEYS[0], KEYS[0])
    app = worker_app("memory://", {})
    task = run_task(app)
    with queued.run_launcher.celery.connection_for_write() as connection:
        message = connection.SimpleQueue(app.conf.task_queues[0]).get(timeout=5)
    assert message.headers["task"] == task.name, "a worker does not know the task that the launcher queues"
    _, arguments, _ = message.payload
    lost = "a worker cannot tell which run it is given: two may execute the same one"
    assert list(arguments) == ["execute_job_args_packed"], lost
    assert run_id_of(arguments) == run_id, lost


def test_a_run_whose_launcher_says_that_its_worker_is_gone_is_ended_by_the_daemon(queued):
    run = create_run_for_test(queued, job_name="night", status=dg.DagsterRunStatus.STARTED)
    (record,) = queued.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
    monitor_started_run(queued, None, record, logging.getLogger("monitoring"))
    assert queued.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE, (
        "a run whose worker was killed stays STARTED, and its slot is held, until its longest time is over"
    )


def test_it_is_known_since_when_a_sensor_is_on(tmp_path):
    """Else `lem_pipeline/running/watch.py` calls a night missed that nobody waited for, or none."""
    location = ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name="none"), "here")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), "watch")
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        assert turned_on(instance, "watch") is None
        state = InstigatorState(
            origin,
            InstigatorType.SENSOR,
            InstigatorStatus.RUNNING,
            SensorInstigatorData(last_sensor_start_timestamp=1705.0),
        )
        instance.add_instigator_state(state)
        assert turned_on(instance, "watch") == 1705.0
        assert turned_on(instance, "other") is None
        instance.update_instigator_state(state.with_status(InstigatorStatus.STOPPED))
        assert turned_on(instance, "watch") is None
