"""Nights without runs: the deployed conditions, evaluated tick by tick at a frozen time; events stand for runs."""

from __future__ import annotations

import datetime as dt
import hashlib

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent, DagsterEventType
from dagster._core.storage.tags import PARTITION_NAME_TAG
from dagster._core.test_utils import create_run_for_test, freeze_time

from assets.factory import graph_of
from lem.lineage import stages
from lem.lineage.stages import stage_named
from lem.universe.calendars import partition_dates
from lem.universe.windows import is_training_date, training_window
from lem_pipeline.automation import with_automation
from resources.stores import LakeResource, RegistryResource, SourceResource

TICK = dt.timedelta(seconds=30)


def utc(text: str) -> dt.datetime:
    """A UTC time from `2024-01-20 00:30`."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


class Nights:
    """A universe whose automation ticks every thirty seconds while somebody is looking.

    Args:
        broken: (table, key) whose run fails; changed by the test as it goes.
    """

    def __init__(self, universe, start: str) -> None:
        self.instance, self.now = dg.DagsterInstance.ephemeral(), utc(start)
        self.cursor, self.broken, self.content = None, set(), {}
        self.deploy(universe)

    def deploy(self, universe) -> None:
        """Load another version of the universe's file."""
        self.universe = universe
        resources = {"lake": LakeResource(), "registry": RegistryResource(), "source": SourceResource()}
        self.defs = dg.Definitions.merge(
            with_automation(universe, graph_of(universe)), dg.Definitions(resources=resources)
        )

    def key(self, table: str) -> dg.AssetKey:
        return dg.AssetKey([self.universe.name, table])

    def keys(self, table: str, first: str, last: str) -> list[str]:
        """Partition keys of a table, of all assets."""
        dates = partition_dates(self.universe, dt.date.fromisoformat(first), dt.date.fromisoformat(last))
        if not stage_named(table).per_asset:
            return list(map(str, dates))
        return [f"{symbol}|{date}" for symbol in self.universe.symbols for date in dates]

    def make(self, table: str, keys: list[str], content: str = "") -> None:
        """The event of a partition that was made, whose data version is the hash of its content."""
        with freeze_time(self.now):
            for key in keys:
                version = hashlib.sha256(f"{table}|{key}|{content}".encode()).hexdigest()
                event = dg.AssetMaterialization(self.key(table), partition=key, tags={DATA_VERSION_TAG: version})
                self.instance.report_runless_asset_event(event)

    def fail(self, table: str, key: str) -> None:
        """The events of a run that failed on a partition."""
        with freeze_time(self.now):
            run = create_run_for_test(self.instance, "run", tags={PARTITION_NAME_TAG: key})
            planned = AssetMaterializationPlannedData(self.key(table), partition=key)
            self.instance.report_dagster_event(
                DagsterEvent(
                    event_type_value=DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value,
                    job_name="run",
                    event_specific_data=planned,
                ),
                run.run_id,
            )
            self.instance.report_run_failed(run)

    def history(self, last: str) -> None:
        """What `lem run` and earlier nights have made: data to `last`, models and decisions for the day after it."""
        first = str(self.universe.start)
        for table in ("raw_bars", "bars", "features", "panel"):
            self.make(table, self.keys(table, first, last))
        after = self.keys("panel", last, str(dt.date.fromisoformat(last) + dt.timedelta(days=4)))[1]
        dates = [dt.date.fromisoformat(key) for key in self.keys("lem_model", first, after)]
        decided = [d for d in dates if training_window(self.universe, d).start >= self.universe.start]
        self.make("lem_model", [str(d) for d in decided if is_training_date(self.universe, d)])
        self.make("champion", list(map(str, decided)))
        ended = [str(d) for d in decided if str(d) < last]
        self.make("backtest", [f"{symbol}|{date}" for symbol in self.universe.symbols for date in ended])
        self.make("execution_report", ended)

    def tick(self) -> dict[str, list[str]]:
        """One evaluation: the keys that are requested, by table."""
        with freeze_time(self.now):
            done = dg.evaluate_automation_conditions(
                self.defs, self.instance, cursor=self.cursor, evaluation_time=self.now
            )
        self.cursor = done.cursor
        names = [stage.name for stage in stages.STAGES]
        found = {table: sorted(done.get_requested_partitions(self.key(table))) for table in names}
        return {table: keys for table, keys in found.items() if keys}

    def work(self, ticks: int = 12) -> list[dict[str, list[str]]]:
        """Tick until nothing is asked for any more and make what is; returns what each tick has asked for."""
        asked = []
        for _ in range(ticks):
            self.now += TICK
            wanted = self.tick()
            self.now += TICK / 3
            for table, keys in wanted.items():
                for key in keys:
                    if (table, key) in self.broken:
                        self.fail(table, key)
                    else:
                        self.make(table, [key], self.content.get((table, key), ""))
            if not wanted:
                return asked
            asked.append(wanted)
        raise AssertionError(f"the automation does not come to rest: {asked}")

    def at(self, time: str) -> list[dict[str, list[str]]]:
        """The clock moves to `time`; what is asked for from then on."""
        assert self.now <= utc(time)
        self.now = utc(time)
        return self.work()


def merged(asked: list[dict[str, list[str]]]) -> dict[str, list[str]]:
    """All that several ticks have asked for, each as often as it was."""
    out: dict[str, list[str]] = {}
    for wanted in asked:
        for table, keys in wanted.items():
            out[table] = sorted([*out.get(table, []), *keys])
    return out
