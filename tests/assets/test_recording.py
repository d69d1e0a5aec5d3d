"""What the UI says of partitions that a run over a range has made: fresh, or out of date, and by which one upstream."""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

import contextlib

import dagster as dg
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG as DATA_VERSION
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster._core.test_utils import instance_for_test

from assets import recording
from assets.partitions import days
from assets.recording import Wrote, record, recorded
from lem.errors import FencedError, LakeError
from resources.dagster_internals import DEFER_EVENTS

KEYS = [f"2024-01-{day:02d}" for day in range(1, 8)]
DAILY = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-08")
STAGES = ("raw", "bars", "window", "own")
WINDOWS = {"bars": (-2, 0), "own": (-1, -1)}
NEW = "has a new dependency data version"
WAYS = pytest.mark.parametrize("tags", [{}, {DEFER_EVENTS: "true"}], ids=["together", "one by one"])


class Chain:
    """raw -> bars -> window (the day and two before it), and own (the day before, of itself), with their history.

    Args:
        content: data version of each raw partition; what is downstream has that of what it reads.
    """

    def __init__(self, code_version: str = "1", instance: dg.DagsterInstance | None = None) -> None:
        self.instance = instance or dg.DagsterInstance.ephemeral()
        self.content = {key: "first" for key in KEYS}
        self.code_version = code_version

    @property
    def defs(self) -> dg.Definitions:
        def asset(name: str, *deps: dg.AssetDep) -> dg.AssetsDefinition:
            @dg.asset(
                name=name,
                partitions_def=DAILY,
                deps=deps,
                backfill_policy=dg.BackfillPolicy.single_run(),
                code_version=self.code_version,
            )
            def made(context: dg.AssetExecutionContext):
                wrote = {key: Wrote(f"{name} {self.content[key]}") for key in context.partition_keys}
                yield from record(context, wrote)

            return made

        window, before = (dg.AssetDep(name, partition_mapping=days(*span)) for name, span in WINDOWS.items())
        return dg.Definitions(
            [asset("raw"), asset("bars", dg.AssetDep("raw")), asset("window", window), asset("own", before)]
        )

    def run(self, *names: str, first: str = KEYS[0], last: str = KEYS[-1], **tags: str) -> None:
        keys = [dg.AssetKey(name) for name in names]
        job = self.defs.get_repository_def().get_implicit_job_def_for_assets(keys)
        if first != last:
            tags |= {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}
        result = job.get_subset(asset_selection=set(keys)).execute_in_process(
            instance=self.instance,
            partition_key=first if first == last else None,
            tags=tags,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        assert result.success

    def events(self, name: str) -> dict[str, list[str]]:
        """The data versions of each partition's events, in their order."""
        found: dict[str, list[str]] = {key: [] for key in KEYS}
        for event in self.instance.fetch_materializations(dg.AssetKey(name), limit=100, ascending=True).records:
            found[event.partition_key].append(event.asset_materialization.tags[DATA_VERSION])
        return found

    def stale(self, name: str) -> dict[str, list[str]]:
        """Partitions that are out of date, and why; one that is missing fails."""
        graph = self.defs.get_repository_def().asset_graph
        resolver = CachingStaleStatusResolver(self.instance, graph, LoadingContextForTest(self.instance))
        key = dg.AssetKey(name)
        assert "MISSING" not in {resolver.get_status(key, partition).name for partition in KEYS}
        causes = {partition: resolver.get_stale_causes(key, partition) for partition in KEYS}
        return {partition: [cause.reason for cause in found] for partition, found in causes.items() if found}


@pytest.fixture
def chain():
    return Chain()


@WAYS
def test_after_a_run_over_a_range_everything_is_fresh(tags, chain):
    for name in STAGES:
        chain.run(name, **tags)
    assert {name: chain.stale(name) for name in STAGES} == {name: {} for name in STAGES}


@pytest.mark.parametrize("history", ["memory", "SQLite", "PostgreSQL"])
@pytest.mark.parametrize("batch", ["0", "3"])
def test_a_run_over_a_range_leaves_each_partition_one_event(history, batch, request, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", batch)
    with contextlib.ExitStack() as stack:
        overrides = {}
        if history == "PostgreSQL":
            pytest.importorskip("dagster_postgres")
            url = stack.enter_context(request.getfixturevalue("postgresql").database())
            overrides = {"storage": {"postgres": {"postgres_url": url}}}
        opened = None
        if history != "memory":
            opened = stack.enter_context(instance_for_test(overrides, temp_dir=f"{tmp_path}"))
        chain = Chain(instance=opened)
        for name in ("raw", "own"):
            chain.run(name, **{DEFER_EVENTS: "true"})
            assert chain.events(name) == {key: [f"{name} first"] for key in KEYS}
        chain.run("raw", **{DEFER_EVENTS: "true"})
        assert chain.events("raw") == {key: ["raw first"] * 2 for key in KEYS}


@WAYS
def test_two_stages_of_one_run_are_fresh(tags, chain):
    chain.run("raw", "bars", **tags)
    assert chain.stale("bars") == {}


@WAYS
@pytest.mark.parametrize("again", [(KEYS[3], KEYS[3]), (KEYS[2], KEYS[5])], ids=["one partition", "a range"])
def test_what_is_made_again_unchanged_leaves_everything_fresh_and_what_has_changed_does_not(again, tags, chain):
    first, last = again
    for name in ("raw", "bars", "window"):
        chain.run(name, **tags)
    chain.run("raw", first=first, last=last, **tags)
    assert chain.stale("bars") == {}
    chain.content[KEYS[3]] = "second"
    chain.run("raw", first=first, last=last, **tags)
    assert chain.stale("bars") == {KEYS[3]: [NEW]}
    assert chain.stale("window") == {}
    chain.run("bars", first=first, last=last, **tags)
    assert chain.stale("bars") == {}
    assert chain.stale("window") == {KEYS[day]: [NEW] for day in (3, 4, 5)}
    chain.run("window", **tags)
    assert chain.stale("window") == {}


@WAYS
def test_an_asset_that_reads_its_own_last_partition_is_out_of_date_when_that_changes(tags, chain):
    chain.run("own", **tags)
    chain.run("own", first=KEYS[2], last=KEYS[4], **tags)
    assert chain.stale("own") == {}
    chain.content[KEYS[4]] = "second"
    chain.run("own", first=KEYS[2], last=KEYS[4], **tags)
    assert chain.stale("own") == {KEYS[5]: [NEW]}


@WAYS
def test_another_code_version_is_told(tags, chain):
    chain.run("raw", **tags)
    chain.code_version = "2"
    assert chain.stale("raw") == {key: ["has a new code version"] for key in KEYS}
    chain.run("raw", **tags)
    assert chain.stale("raw") == {}


@pytest.mark.parametrize(
    ("stop", "left"),
    [(LakeError("disk full"), 3), (DagsterExecutionInterruptedError(), 3), (FencedError("too late"), 0)],
    ids=["a failure", "Ctrl-C", "a later step"],
)
def test_what_a_body_wrote_before_it_was_stopped_is_recorded_unless_it_came_too_late(stop, left):
    @dg.asset(partitions_def=DAILY, backfill_policy=dg.BackfillPolicy.single_run(), code_version="1")
    def raw(context: dg.AssetExecutionContext):
        with recorded(context) as wrote:
            for number, key in enumerate(context.partition_keys):
                if number == 3:
                    raise stop
                wrote[key] = Wrote(f"content of {key}")
        yield from record(context, wrote)

    instance = dg.DagsterInstance.ephemeral()
    tags = {ASSET_PARTITION_RANGE_START_TAG: KEYS[0], ASSET_PARTITION_RANGE_END_TAG: KEYS[-1], DEFER_EVENTS: "true"}
    job = dg.Definitions([raw]).get_repository_def().get_implicit_job_def_for_assets([raw.key])
    result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
    assert not result.success
    assert instance.get_materialized_partitions(raw.key) == set(KEYS[:left])


def test_a_record_that_fails_hides_no_error(monkeypatch):
    def broken(*given):
        raise OSError("no database")

    monkeypatch.setattr(recording, "record_partitions", broken)
    with pytest.raises(LakeError, match="disk full") as found, recorded(None):
        raise LakeError("disk full")
    assert found.value.__notes__ == [
        "what was written before could not be recorded (no database); record it with: lem reap --yes"
    ]
