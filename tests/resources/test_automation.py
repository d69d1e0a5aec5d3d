"""What the automation's sensor leaves behind: little where nothing happens, and nothing for ever."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time
from sqlalchemy import text

from lem_pipeline.build import build
from tests.lem_pipeline.simulation import Nights

RAW = dg.AssetKey(["tiny", "raw_bars"])


@pytest.fixture(scope="module")
def universe(make_universe, tiny_keys):
    return make_universe(**tiny_keys(end=None, start="2024-01-09"))


@pytest.fixture(scope="module")
def history(tmp_path_factory, universe):
    """An instance whose history has everything up to 2024-01-19."""
    folder = str(tmp_path_factory.mktemp("history"))
    with dg.DagsterInstance.local_temp(folder, overrides={"telemetry": {"enabled": False}}) as instance:
        nights = Nights.__new__(Nights)
        nights.instance, nights.now, nights.content, nights.universe = instance, dt.datetime.now(dt.UTC), {}, universe
        nights.history("2024-01-19")
        yield instance


class Daemon:
    """Ticks the deployed sensor as the daemon does, and stores what it gives."""

    def __init__(self, instance, universe):
        self.instance, self.repository = instance, build([universe]).get_repository_def()
        self.sensor = self.repository.get_sensor_def(f"{universe.name}_automation")
        self.universe, self.cursor, self.number = universe, None, 0

    def told(self, at: str) -> dict[dg.AssetKey, object]:
        """What a tick at a moment (UTC) gives to be stored, by asset."""
        self.number += 1
        with freeze_time(dt.datetime.fromisoformat(at).replace(tzinfo=dt.UTC)):
            context = dg.build_sensor_context(
                self.instance, self.cursor, repository_def=self.repository, sensor_name=self.sensor.name
            )
            context._log_key = ["tiny", "ticks", str(self.number)]
            with context:
                done = self.sensor.evaluate_tick(context)
        self.cursor = done.cursor
        return {one.key: one for one in done.automation_condition_evaluations}

    def tick(self, at: str) -> dict[str, int]:
        """One tick, stored as the daemon does: bytes of each evaluation by table."""
        told = self.told(at)
        kept = [one.with_run_ids(set()) for one in told.values()]
        self.instance.schedule_storage.add_auto_materialize_asset_evaluations(self.number, kept)
        return {key.path[-1]: len(str(one)) for key, one in told.items()}


def stored(instance) -> int:
    with instance.schedule_storage.connect() as connection:
        return connection.execute(text("SELECT count(*) FROM asset_daemon_asset_evaluations")).scalar_one()


@pytest.fixture
def resting(history, universe):
    """A daemon that has nothing to do, after its first ticks."""
    with history.schedule_storage.connect() as connection:
        connection.execute(text("DELETE FROM asset_daemon_asset_evaluations"))
    daemon = Daemon(history, universe)
    for at in ("2024-01-20 09:10:00", "2024-01-20 09:10:30", "2024-01-20 09:30:10", "2024-01-20 09:30:40"):
        daemon.tick(at)
    return daemon


@pytest.mark.thorough
def test_at_rest_neither_a_tick_nor_the_hour_of_another_try_stores_anything(resting):
    before = stored(resting.instance)
    for at in ("09:31:10", "10:29:50", "10:30:20", "10:30:50", "11:29:50", "11:30:20", "11:30:50"):
        assert resting.tick(f"2024-01-20 {at}") == {}, at
    assert stored(resting.instance) == before
    logs = Path(resting.instance.storage_directory()) / "tiny" / "ticks"
    assert not [path for path in logs.rglob("*") if path.is_file()]


def test_what_asks_for_something_is_stored_and_what_has_changed_for_longer_than_a_moment(resting):
    asked = resting.tick("2024-01-21 00:30:20")
    assert "raw_bars" in asked
    assert set(resting.tick("2024-01-21 00:30:50")) <= {"raw_bars", "bars"}


def test_operands_that_found_nothing_are_told_without_their_own(resting):
    raw = next(one for key, one in resting.told("2024-01-21 00:30:20").items() if key == RAW)
    assert not raw.true_subset.is_empty
    for node in raw.iter_nodes():
        below = list(node.iter_nodes())[1:]
        assert not below or any(not one.true_subset.is_empty for one in below)


def test_what_is_older_than_a_week_is_deleted_with_the_first_tick(resting):
    storage, count = resting.instance.schedule_storage, stored(resting.instance)
    with storage.connect() as connection:
        connection.execute(text("UPDATE asset_daemon_asset_evaluations SET create_timestamp = '2024-01-10 00:00:00'"))
    assert count > 0
    assert resting.tick("2024-01-20 12:00:00") == {}
    assert stored(resting.instance) == count, "looked at once an hour"
    again = Daemon(resting.instance, resting.universe)
    assert len(again.told("2024-01-20 12:00:30")) == 8
    assert stored(resting.instance) == 0
