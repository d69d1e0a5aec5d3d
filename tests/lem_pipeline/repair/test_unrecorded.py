"""What a killed run wrote and did not record is recorded by `lem reap`, as its run would have."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest
from dagster._core.test_utils import create_run_for_test

from lem.errors import LakeError
from lem.lake import Lake
from lem_pipeline.build import build
from lem_pipeline.repair.unrecorded import unrecorded

TABLES = ("raw_bars", "bars", "features", "panel", "backtest")


@pytest.fixture
def lake(tiny_home, tmp_path):
    shutil.copytree(tiny_home.folder / "home" / "lake", tmp_path / "lake")
    return Lake(str(tmp_path / "lake"))


@pytest.fixture
def there(lake):
    """What the lake has: data version by table and partition."""
    found: dict[str, dict[str, str]] = {table: {} for table in TABLES}
    for path in Path(lake.root).glob("tiny/**/*.parquet"):
        table, *asset, date = path.relative_to(Path(lake.root) / "tiny").with_suffix("").parts
        if table in found:
            key = "|".join(part.split("=")[1] for part in (*asset, date))
            found[table][key] = lake.versions(str(path.relative_to(lake.root))).data
    return found


def events(instance: dg.DagsterInstance, table: str) -> dict[str, str]:
    found = instance.fetch_materializations(dg.AssetKey(["tiny", table]), limit=10_000, ascending=True).records
    return {one.partition_key: one.asset_materialization.tags["dagster/data_version"] for one in found}


def test_what_no_history_has_is_recorded_with_the_versions_of_the_lake_and_is_fresh(tiny_home, lake, there):
    universe = tiny_home.universe
    with dg.DagsterInstance.ephemeral() as instance:
        found = []
        for finding in unrecorded(instance, lake, [universe], set()):
            found.append(finding.what.split(" (")[0])
            finding.clear()
        assert found == [f"{len(there[table])} partitions of tiny/{table}" for table in TABLES]
        assert {table: events(instance, table) for table in TABLES} == there
        graph = build([universe]).get_repository_def().asset_graph
        resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
        for table in ("raw_bars", "bars", "features", "panel"):
            key = dg.AssetKey(["tiny", table])
            assert {resolver.get_status(key, name).name for name in there[table]} == {"FRESH"}, table
        assert list(unrecorded(instance, lake, [universe], set())) == []


def test_only_what_is_missing_in_the_history_is_found(tiny_home, lake, there):
    with dg.DagsterInstance.ephemeral() as instance:
        for table in TABLES:
            lost = max(there[table])
            for name in there[table].keys() - ({lost} if table == "bars" else set()):
                instance.report_runless_asset_event(dg.AssetMaterialization(["tiny", table], partition=name))
        (finding,) = unrecorded(instance, lake, [tiny_home.universe], set())
        assert finding.what == f"1 partitions of tiny/bars ({max(there['bars'])})"


def test_what_a_run_in_progress_makes_is_left_to_it_unless_it_is_dead(tiny_home, lake):
    with dg.DagsterInstance.ephemeral() as instance:
        key = dg.AssetKey(["tiny", "bars"])
        run = create_run_for_test(
            instance, job_name="night", status=dg.DagsterRunStatus.STARTED, asset_selection=frozenset({key})
        )
        tables = [finding.what for finding in unrecorded(instance, lake, [tiny_home.universe], set())]
        assert not any("tiny/bars" in what for what in tables)
        assert len(tables) == len(TABLES) - 1
        assert len(list(unrecorded(instance, lake, [tiny_home.universe], {run.run_id}))) == len(TABLES)


def test_a_damaged_partition_is_named_and_the_others_are_recorded(tiny_home, lake, there):
    name, *others = sorted(there["panel"])
    path = f"tiny/panel/date={name}.parquet"
    lake.write_bytes(path, b"no Parquet")
    with dg.DagsterInstance.ephemeral() as instance:
        found = {finding.what: finding for finding in unrecorded(instance, lake, [tiny_home.universe], set())}
        (panel,) = [finding for what, finding in found.items() if "tiny/panel" in what]
        with pytest.raises(LakeError, match=f"tiny/panel: no data version can be read of {name}, so they were not"):
            panel.clear()
        assert sorted(events(instance, "panel")) == others
