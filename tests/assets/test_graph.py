"""The asset graph, executed from raw bars to report, with an instance, lake and registry of its own."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from assets.factory import graph_of
from lem.data.bars import TABLE_SCHEMA
from lem.lake import Lake
from lem.lineage.stages import STAGES, tables
from lem.registry import Registry
from lem.universe import Universe
from resources.dagster_internals import DATA_VERSION, DEFER_EVENTS
from resources.stores import LakeResource, RegistryResource, SourceResource

pytestmark = pytest.mark.usefixtures("empty_pictures")

DAY = dt.date(2024, 1, 18)
TABLES = [stage.name for stage in tables()]
CHECKS = {
    "complete",
    "schema",
    "plausible",
    "feature_schema",
    "causal_features",
    "causal_model",
    "orders_accounted_for",
} | {
    "input_drift",
    "gain_drift",
    "model_age",
    "candidate_may_trade",
}


@dataclass
class Place:
    """A universe's graph with a lake and a registry below a folder, and the runs made there."""

    universe: Universe
    folder: Path
    instance: dg.DagsterInstance

    def __post_init__(self):
        resources = {
            "lake": LakeResource(root=str(self.folder / "lake")),
            "registry": RegistryResource(url=f"sqlite:///{self.folder}/registry.sqlite"),
            "source": SourceResource(data=str(self.folder / "data")),
        }
        defs = dg.Definitions(resources=resources, executor=dg.in_process_executor)
        self.repository = dg.Definitions.merge(defs, graph_of(self.universe)).get_repository_def()
        self.results = []

    @property
    def lake(self):
        return Lake(str(self.folder / "lake"))

    @property
    def registry(self):
        return Registry(f"sqlite:///{self.folder}/registry.sqlite")

    def run(self, tables, first, last=None, checks=None, **tags):
        """Execute one run over the partitions first to last; only these checks, and no asset, where some are named."""
        keys = {dg.AssetKey([self.universe.name, table]) for table in tables}
        job = self.repository.get_implicit_job_def_for_assets(list(keys))
        if checks:
            (key,) = keys
            chosen = {dg.AssetCheckKey(key, name) for name in checks}
            job = job.get_subset(asset_selection=set(), asset_check_selection=chosen)
        else:
            job = job.get_subset(asset_selection=keys)
        if checks:
            last = last or first
        if last:
            tags |= {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}
        result = job.execute_in_process(
            instance=self.instance,
            partition_key=None if last else first,
            tags=tags,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        self.results.append(result)
        return result

    def ran(self, *arguments, **keywords):
        """The same, and it succeeds with every check passed."""
        result = self.run(*arguments, **keywords)
        assert result.success, failure(result)
        assert {e.check_name for e in result.get_asset_check_evaluations() if not e.passed} == set()
        return result

    def recorded(self, table, key):
        """The data version that Dagster has last recorded for a partition."""
        asset = dg.AssetKey([self.universe.name, table])
        wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[key])
        (event,) = self.instance.fetch_materializations(wanted, limit=1).records
        return event.asset_materialization.tags[DATA_VERSION]

    def stored(self, table):
        """Data version (content hash) of every partition of a table in the lake, by partition key."""
        root, found = self.folder / "lake", {}
        for path in sorted((root / self.universe.name / table).rglob("*.parquet")):
            parts = [part.partition("=")[2] for part in path.relative_to(root / self.universe.name / table).parts]
            found["|".join(parts).removesuffix(".parquet")] = self.lake.read_versioned(str(path.relative_to(root)))[1]
        return found

    def made(self):
        """Everything that a report rests on: the data version of every partition, weights, decisions and page."""
        models = {m.usable_on: (m.id, m.weights_sha256) for m in self.registry.models(self.universe.name)}
        decisions = {p.date: (p.decision, p.champion_id) for p in self.registry.promotions(self.universe.name)}
        return {table: self.stored(table) for table in TABLES} | {
            "models": models,
            "decisions": decisions,
            "report": self.report_version(),
        }

    def report_version(self):
        folder = self.folder / "lake" / self.universe.name / "execution_report" / f"date={DAY}"
        files = ("report.csv", "report.json", "report.html")
        return hashlib.sha256(b"".join((folder / name).read_bytes() for name in files)).hexdigest()


def failure(result):
    """Messages of the errors that stopped a run, the causes below them."""
    texts = []
    for event in result.all_events:
        error = event.event_specific_data.error if event.is_step_failure else None
        while error is not None:
            texts.append(error.message)
            error = error.cause
    return "\n".join(texts)


@pytest.fixture(scope="module")
def instance():
    return dg.DagsterInstance.ephemeral()


@pytest.fixture(scope="module")
def place(make_universe, tiny_keys, tmp_path_factory, instance):
    """The tiny universe, made in single runs, in ranges, and in ranges that defer their events."""
    place = Place(make_universe(**tiny_keys()), tmp_path_factory.mktemp("graph"), instance)
    data = ["raw_bars", "bars"]
    place.ran(data, "AAA-USD|2024-01-04", "BBB-USD|2024-01-11")
    place.ran(data, "AAA-USD|2024-01-13", "BBB-USD|2024-01-19", **{DEFER_EVENTS: "true"})
    for key in ("BBB-USD|2024-01-12", "AAA-USD|2024-01-12"):
        place.ran(data, key)
    place.ran(["features"], "AAA-USD|2024-01-09", "AAA-USD|2024-01-19", **{DEFER_EVENTS: "true"})
    place.ran(["features"], "BBB-USD|2024-01-09", "BBB-USD|2024-01-18")
    place.ran(["features"], "BBB-USD|2024-01-19")
    place.ran(["panel"], "2024-01-09", "2024-01-18", **{DEFER_EVENTS: "true"})
    place.ran(["panel"], "2024-01-19")
    for date in ("2024-01-17", "2024-01-18"):
        place.ran(["lem_model"], date)
    place.ran(["champion"], "2024-01-17", "2024-01-18")
    place.ran(["backtest"], "AAA-USD|2024-01-17", "BBB-USD|2024-01-17", **{DEFER_EVENTS: "true"})
    for asset in ("AAA-USD", "BBB-USD"):
        place.ran(["backtest"], f"{asset}|2024-01-18")
    place.ran(["execution_report"], "2024-01-18")
    return place


@pytest.fixture
def damaged(place, tmp_path):
    """A copy of the place, to be damaged."""
    shutil.copytree(place.folder, tmp_path, dirs_exist_ok=True)
    return Place(place.universe, tmp_path, dg.DagsterInstance.ephemeral())


def test_every_stage_is_made_and_every_check_is_run_and_passes(place):
    evaluations = [e for result in place.results for e in result.get_asset_check_evaluations()]
    assert {e.check_name for e in evaluations} == CHECKS
    assert all(e.passed for e in evaluations)
    made = {key.path[-1] for key in place.instance.get_asset_keys() if key.path[0] == "tiny"}
    assert made == {stage.name for stage in STAGES}


@pytest.mark.parametrize("table", TABLES)
def test_the_data_version_recorded_for_each_partition_is_the_lakes_content_hash(table, place):
    stored = place.stored(table)
    assert stored
    assert {key: place.recorded(table, key) for key in stored} == stored


def test_the_data_versions_of_model_decision_and_report_are_ids_and_hash(place):
    for date in (dt.date(2024, 1, 17), DAY):
        assert place.recorded("lem_model", str(date)) == place.registry.candidate("tiny", date).id
        champion = place.registry.champion_on("tiny", date)
        assert place.recorded("champion", str(date)) == (champion.id if champion else "none")
    assert place.recorded("execution_report", str(DAY)) == place.report_version()


def test_a_second_home_made_in_other_runs_has_the_same_bytes_everywhere(place, tiny_home):
    other = Place(place.universe, tiny_home.folder / "home", place.instance)
    assert other.made() == place.made()


def test_making_a_partition_again_changes_nothing(place):
    before = place.made()
    place.ran(["raw_bars", "bars"], "AAA-USD|2024-01-16")
    place.ran(["features"], "AAA-USD|2024-01-16", "BBB-USD|2024-01-17")
    place.ran(["lem_model"], "2024-01-18")
    place.ran(["champion"], "2024-01-18")
    place.ran(["backtest"], "AAA-USD|2024-01-18")
    assert place.made() == before


def test_a_model_names_every_partition_it_read_with_its_data_version(place):
    stored = place.stored("panel")
    record = place.registry.candidate("tiny", DAY)
    assert {read.partition_key: read.data_version for read in record.inputs} == {
        f"2024-01-{n}": stored[f"2024-01-{n}"] for n in range(10, 15)
    }


def test_a_model_is_not_trained_on_an_incomplete_window(damaged):
    for number in (11, 13):
        (damaged.folder / f"lake/tiny/panel/date=2024-01-{number}.parquet").unlink()
    models = damaged.registry.models("tiny")
    result = damaged.run(["lem_model"], "2024-01-18")
    assert not result.success
    text = failure(result)
    assert "lem_model 2024-01-18: 2 of 5 partitions of the window [2024-01-10, 2024-01-15) are missing" in text
    assert "missing: 2024-01-11, 2024-01-13; make them with: lem backfill --universe tiny --from 2024-01-11" in text
    assert damaged.registry.models("tiny") == models


def test_a_model_is_not_trained_before_the_universe_has_a_window(damaged):
    result = damaged.run(["lem_model"], "2024-01-05")
    assert not result.success
    assert "the window starts on 2023-12-28, the universe on 2024-01-01" in failure(result)


def test_features_name_all_bars_that_they_lack(damaged):
    for number in (12, 14):
        (damaged.folder / f"lake/tiny/bars/asset=BBB-USD/date=2024-01-{number}.parquet").unlink()
    result = damaged.run(["features"], "AAA-USD|2024-01-16", "BBB-USD|2024-01-16")
    assert not result.success
    assert "2 of 12 partitions are not in the lake: BBB-USD|2024-01-12, BBB-USD|2024-01-14" in failure(result)


def rewrite(place, change):
    """Store other bars of AAA-USD 2024-01-16, under a hash of their own."""
    path = place.lake.path("tiny", "bars", dt.date(2024, 1, 16), "AAA-USD")
    place.lake.write_table(path, change(place.lake.read_table(path)), TABLE_SCHEMA)


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        (lambda t: t.iloc[1:], {"complete"}),
        (lambda t: t.assign(low=-1.0), {"schema"}),
        (lambda t: t.iloc[::-1], {"complete", "schema"}),
        (lambda t: t, set()),
    ],
    ids=["a row less", "negative prices", "time that goes back", "unchanged"],
)
def test_checks_read_what_is_stored_and_fail_when_it_was_changed(change, failed, damaged):
    rewrite(damaged, change)
    result = damaged.run(["bars"], "AAA-USD|2024-01-16", checks=["complete", "schema"])
    verdicts = {e.check_name: e for e in result.get_asset_check_evaluations()}
    assert set(verdicts) == {"complete", "schema"}
    assert {name for name, e in verdicts.items() if not e.passed} == failed
    for name in failed:
        (place,) = verdicts[name].metadata["details"].value
        assert place.startswith("AAA-USD|2024-01-16")


def test_an_object_whose_bytes_were_changed_is_never_read(damaged):
    path = damaged.folder / "lake/tiny/bars/asset=AAA-USD/date=2024-01-16.parquet"
    shutil.copyfile(path.with_name("date=2024-01-15.parquet"), path)
    assert not damaged.run(["bars"], "AAA-USD|2024-01-16", checks=["complete"]).get_asset_check_evaluations()[0].passed
    path.write_bytes(path.read_bytes()[:-50])
    result = damaged.run(["features"], "AAA-USD|2024-01-17")
    assert not result.success
    assert "asset=AAA-USD/date=2024-01-16.parquet is not valid Parquet" in failure(result)


def test_a_range_check_names_the_partition_that_fails(damaged):
    rewrite(damaged, lambda t: t.iloc[1:])
    result = damaged.run(["bars"], "AAA-USD|2024-01-15", "BBB-USD|2024-01-17", checks=["complete"])
    (verdict,) = result.get_asset_check_evaluations()
    assert not verdict.passed
    assert verdict.metadata["partitions_checked"].value == 6
    assert verdict.metadata["details"].value == {"AAA-USD|2024-01-16": "5 bars, expected 6"}


def test_a_universe_of_one_asset_runs_from_raw_bars_to_report(make_universe, tiny_keys, tmp_path, instance):
    backtest = {"min_bars": [1], "report_days": 1, "bootstrap": 100}
    keys = tiny_keys(name="single", assets={"ONLY-USD": {}}, backtest=backtest)
    place = Place(make_universe(**keys), tmp_path, instance)
    place.ran(["raw_bars", "bars"], "ONLY-USD|2024-01-05", "ONLY-USD|2024-01-19", **{DEFER_EVENTS: "true"})
    place.ran(["features"], "ONLY-USD|2024-01-10", "ONLY-USD|2024-01-19", **{DEFER_EVENTS: "true"})
    place.ran(["panel"], "2024-01-10", "2024-01-19", **{DEFER_EVENTS: "true"})
    for table in ("lem_model", "champion"):
        place.ran([table], "2024-01-18")
    place.ran(["backtest"], "ONLY-USD|2024-01-18")
    place.ran(["execution_report"], "2024-01-18")
    summary = json.loads((tmp_path / "lake/single/execution_report/date=2024-01-18/report.json").read_text())
    assert summary["statistics"]
    assert {key: place.recorded("panel", key) for key in place.stored("panel")} == place.stored("panel")


def test_the_first_day_of_a_universe_is_a_backtest_without_a_champion(make_universe, tiny_keys, tmp_path, instance):
    keys = tiny_keys(name="first", assets={"ONLY-USD": {}})
    place = Place(make_universe(**keys), tmp_path, instance)
    place.ran(["raw_bars", "bars"], "ONLY-USD|2024-01-01", "ONLY-USD|2024-01-02")
    place.ran(["features"], "ONLY-USD|2024-01-01", "ONLY-USD|2024-01-02")
    place.ran(["backtest"], "ONLY-USD|2024-01-01")


def test_a_holiday_flows_through_to_the_panel_as_a_partition_without_rows(make_universe, tiny_keys, tmp_path, instance):
    keys = tiny_keys(
        name="york",
        calendar="XNYS",
        bar="1d",
        start="2024-01-08",
        assets={"AAA": {}, "BBB": {}},
        source={"kind": "files", "url": "{data}/{symbol}.csv", "columns": {"ts": "date", "quote_volume": ""}},
        training={"window_days": 20, "holdout_days": 5, "sequence": 12},
    )
    universe = make_universe(**keys)
    (tmp_path / "data").mkdir()
    sessions = [f"2024-01-{n:02}" for n in (8, 9, 10, 11, 12, 16, 17)]
    rows = [f"{date},10,12,9,{10 + n % 2},{100 + n}" for n, date in enumerate(sessions)]
    for symbol in universe.symbols:
        text = "\n".join(["date,open,high,low,close,volume", *rows]) + "\n"
        (tmp_path / "data" / f"{symbol}.csv").write_text(text)
    place = Place(universe, tmp_path, instance)
    place.ran(["raw_bars", "bars"], "AAA|2024-01-08", "BBB|2024-01-16")
    for key in ("AAA|2024-01-15", "BBB|2024-01-15"):
        place.ran(["features"], key)
    place.ran(["features"], "AAA|2024-01-08", "BBB|2024-01-16")
    place.ran(["panel"], "2024-01-15")
    place.ran(["panel"], "2024-01-08", "2024-01-16")
    lake, holiday, session = place.lake, dt.date(2024, 1, 15), dt.date(2024, 1, 16)
    for table in ("raw_bars", "bars", "features"):
        assert len(lake.read_table(lake.path("york", table, holiday, "AAA"))) == 0
        assert len(lake.read_table(lake.path("york", table, session, "AAA"))) == 1
    assert len(lake.read_table(lake.path("york", "panel", holiday))) == 0
    assert len(lake.read_table(lake.path("york", "panel", session))) == 2
    (opened,) = lake.read_table(lake.path("york", "bars", session, "AAA"))["ts"]
    assert opened == pd.Timestamp("2024-01-16T14:30Z")  # with its session, not at midnight
    assert place.recorded("panel", "2024-01-15") == place.stored("panel")["2024-01-15"]
