"""A backfill as the UI launches it: by the daemon's own iterations, with the runs that the policies ask for."""

from __future__ import annotations

import datetime as dt
import logging
import time

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context, instance_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.backfill import execute_backfill_iteration

from lem.lake import Lake
from lem.lineage.tables import missing_partitions
from lem_pipeline.build import build
from tests.conftest import ROOT

DATES = [dt.date(2024, 1, day) for day in range(1, 13)]
SYNC = {"module": "dagster._core.launcher.sync_in_memory_run_launcher", "class": "SyncInMemoryRunLauncher"}
AT_ONCE = {"module": "dagster._core.run_coordinator.default_run_coordinator", "class": "DefaultRunCoordinator"}


@pytest.fixture
def backfilled(tmp_path, monkeypatch, make_universe, tiny_keys, write_universe):
    """`backfilled(("bars",), keys)`: launches a backfill and iterates until it ends; returns the runs that it made."""
    monkeypatch.setenv("LEM_HOME", str(tmp_path))
    monkeypatch.setenv("LEM_UNIVERSES", str(tmp_path / "universes"))
    write_universe(tmp_path / "universes", tiny_keys())
    universe = make_universe(**tiny_keys())
    graph = build([universe]).resolve_asset_graph()
    target = LoadableTargetOrigin(
        python_file=str(ROOT / "lem_pipeline" / "definitions.py"), attribute="defs", working_directory=str(ROOT)
    )
    origin = InProcessCodeLocationOrigin(loadable_target_origin=target, location_name="lem")
    with (
        instance_for_test(overrides={"run_launcher": SYNC, "run_coordinator": AT_ONCE}) as instance,
        create_test_daemon_workspace_context(InProcessWorkspaceLoadTarget(origin), instance) as workspace,
    ):

        def launch(tables, keys):
            name = "-".join(tables)
            backfill = PartitionBackfill.from_asset_partitions(
                backfill_id=name,
                asset_graph=graph,
                partition_names=keys,
                asset_selection=[dg.AssetKey(["tiny", table]) for table in tables],
                backfill_timestamp=time.time(),
                tags={},
                dynamic_partitions_store=instance,
                all_partitions=False,
                title=None,
                description=None,
                run_config=None,
            )
            instance.add_backfill(backfill)
            for _ in range(30):
                errors = [e for e in execute_backfill_iteration(workspace, logging.getLogger("backfill")) if e]
                assert not errors
                if instance.get_backfill(name).status != BulkActionStatus.REQUESTED:
                    break
            runs = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": name}))
            done = instance.get_backfill(name)
            assert done.status == BulkActionStatus.COMPLETED_SUCCESS, (done.error, [run.status for run in runs])
            return runs

        yield universe, launch


@pytest.mark.slow
def test_a_backfill_is_one_run_an_asset_for_data_and_one_a_date_for_models(backfilled, tmp_path):
    universe, launch = backfilled
    keys = [f"{symbol}|{date}" for symbol in universe.symbols for date in DATES]
    # Raw bars and bars read no other date and fuse. Features are launched by themselves: with bars in the selection
    # Dagster adds the features of the following days, which read these bars.
    for tables in (("raw_bars", "bars"), ("features",)):
        runs = launch(tables, keys)
        assert all(run.is_success for run in runs)
        assert len(runs) == len(universe.symbols)
    lake = Lake(f"{tmp_path}/lake")
    for table in ("raw_bars", "bars", "features"):
        assert missing_partitions(lake, universe, table, DATES, universe.symbols) == []
    assert len(launch(("panel",), [str(date) for date in DATES])) == 1
    days = ["2024-01-11", "2024-01-12"]
    models = launch(("lem_model",), days)
    assert sorted(run.tags["dagster/partition"] for run in models) == days
    assert len(launch(("champion",), days)) == 1
