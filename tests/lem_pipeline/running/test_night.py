"""The night as one button: when its schedule ticks, and that the job makes everything up to today."""

from __future__ import annotations

import datetime as dt
import re
import shutil

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from lem.lake import Lake
from lem.registry import Registry
from lem_pipeline.build import build
from lem_pipeline.planning.steps import TABLES_TAG
from lem_pipeline.running import night_job
from lem_pipeline.running.execute import Runner
from lem_pipeline.running.night import make_night, night_dates
from resources.stores import LakeResource, RegistryResource
from tests.lem_pipeline.test_automation import XNYS

pytestmark = pytest.mark.usefixtures("empty_pictures")

TODAY = dt.date(2024, 1, 20)


@pytest.fixture
def schedule(make_universe):
    """`schedule(**keys)`: the schedule of a universe with these keys."""
    return lambda **keys: build([make_universe(**keys)]).get_schedule_def("small_night_schedule")


def ticks(schedule, start, days):
    """UTC times at which a schedule fires."""
    first = dt.datetime.fromisoformat(start).replace(tzinfo=dt.UTC)
    times = schedule_execution_time_iterator(first.timestamp(), schedule.cron_schedule, schedule.execution_timezone)
    out = []
    for time in times:
        if time >= first + dt.timedelta(days=days):
            return out
        out.append(time.astimezone(dt.UTC))
    return out


def test_the_schedule_asks_for_one_run_of_the_whole_night(schedule):
    made = schedule()
    with dg.DagsterInstance.ephemeral() as instance:
        at = dt.datetime(2024, 1, 16, 0, 30, tzinfo=dt.UTC)
        done = made.evaluate_tick(dg.build_schedule_context(instance, scheduled_execution_time=at))
    assert len(done.run_requests) == 1
    assert made.job_name == "small_night"
    assert made.default_status == dg.DefaultScheduleStatus.STOPPED


def test_an_equity_schedule_rests_at_the_weekend_and_ticks_on_holidays(schedule):
    # Friday's evening in New York is Saturday in UTC; Monday the 15th is a holiday with an empty partition.
    times = ticks(schedule(**XNYS), "2024-01-12 12:00", 5)
    assert [f"{time:%a %d %H:%M}" for time in times] == ["Sat 13 01:30", "Tue 16 01:30", "Wed 17 01:30"]


def test_the_schedule_keeps_its_local_hour_when_the_clock_changes(schedule):
    times = ticks(schedule(**XNYS), "2024-03-07 12:00", 6)
    assert [f"{time:%a %d %H:%M}" for time in times] == ["Fri 08 01:30", "Sat 09 01:30", "Tue 12 00:30", "Wed 13 00:30"]


@pytest.mark.parametrize("day", ["2024-03-31", "2024-10-27"], ids=["an hour is skipped", "an hour comes twice"])
def test_each_night_has_one_tick_when_its_hour_is_skipped_or_comes_twice(day, schedule):
    berlin = schedule(night={"at": "02:30", "time_zone": "Europe/Berlin"})
    start = dt.datetime.fromisoformat(day) - dt.timedelta(hours=12)
    assert len(ticks(berlin, start.isoformat(), 3)) == 3


def test_the_night_decides_up_to_the_partition_after_the_last_data(make_universe, tiny_keys):
    dates = night_dates(make_universe(**tiny_keys(end=None)), TODAY)
    assert str(dates.report) == "2024-01-18"
    assert list(map(str, dates.decisions)) == ["2024-01-17", "2024-01-18", "2024-01-19", "2024-01-20"]
    assert dates.training == dates.decisions


@pytest.fixture
def place(tiny_home, tmp_path, monkeypatch, make_universe, tiny_keys):
    """A copy of the materialised tiny home, whose universe goes on until today."""
    shutil.copytree(tiny_home.folder / "home", tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("LEM_HOME", str(tmp_path))
    return (
        make_universe(**tiny_keys(end=None)),
        Lake(f"{tmp_path}/lake"),
        Registry(f"sqlite:///{tmp_path}/registry.sqlite"),
    )


def test_the_job_makes_the_night_in_one_run_a_stage_and_nothing_the_second_time(place, monkeypatch):
    universe, _, registry = place
    monkeypatch.setattr(night_job, "_today", lambda: TODAY)
    job = build([universe]).get_job_def("tiny_night")
    with dg.DagsterInstance.ephemeral() as instance:
        first = job.execute_in_process(instance=instance)
        assert first.success
        # Models and decisions of the 19th and 20th, and the report after them.
        assert first.output_for_node("tiny_make_night") == 5
        made = instance.get_runs(dg.RunsFilter(tags={TABLES_TAG: '["lem_model"]'}))
        assert len(made) == 2
        again = job.execute_in_process(instance=instance)
        assert again.output_for_node("tiny_make_night") == 0
    assert registry.promotion("tiny", TODAY) is not None
    assert registry.candidate("tiny", TODAY) is not None


@pytest.mark.thorough
def test_the_job_works_with_the_resources_that_it_is_given_and_not_with_those_of_the_settings(
    place, tmp_path, monkeypatch
):
    universe, lake, registry = place
    shutil.rmtree(tmp_path / "lake/tiny/execution_report")
    monkeypatch.setenv("LEM_HOME", f"{tmp_path}/elsewhere")
    monkeypatch.setattr(night_job, "_today", lambda: TODAY)
    given = {
        "lake": LakeResource(root=lake.root),
        "registry": RegistryResource(url=f"sqlite:///{tmp_path}/registry.sqlite"),
    }
    job = build([universe]).get_job_def("tiny_night")
    with dg.DagsterInstance.ephemeral() as instance:
        assert job.execute_in_process(instance=instance, resources=given).output_for_node("tiny_make_night") == 5
    assert registry.promotion("tiny", TODAY) is not None
    assert lake.exists("tiny/execution_report/date=2024-01-18/report.html")
    left = [path.name for path in (tmp_path / "elsewhere").iterdir()]
    assert left == ["locks"], "of what the settings name nothing was opened but the lock between trainings"


def test_a_universe_that_is_too_young_for_a_report_gets_its_data(make_universe, tiny_keys, tmp_path, monkeypatch):
    monkeypatch.setenv("LEM_HOME", str(tmp_path))
    universe = make_universe(**tiny_keys(end=None, assets={"AAA-USD": {}}))
    lake, registry = Lake(f"{tmp_path}/lake"), Registry(f"sqlite:///{tmp_path}/registry.sqlite")
    with dg.DagsterInstance.ephemeral() as instance:
        runner = Runner(universe, build([universe]), lake, registry, dagster=instance)
        assert make_night(runner, dt.date(2024, 1, 4)) == 3
    assert lake.names("tiny/panel") == [f"date=2024-01-0{day}.parquet" for day in (1, 2, 3)]
    assert registry.promotions("tiny") == []


@pytest.mark.slow
def test_the_night_as_a_command_says_what_it_makes(tiny_home, tmp_path, lem_command):
    shutil.copytree(tiny_home.folder, tmp_path, dirs_exist_ok=True)
    # The tiny universe ended on the 31st: what its last report needs is made, and the decisions up to the day after.
    text = (tmp_path / "universes/tiny.toml").read_text().replace('"2024-01-31"', '"2024-01-20"')
    (tmp_path / "universes/tiny.toml").write_text(text)
    done = lem_command(tmp_path, "night", "-u", "tiny")
    assert done.code == 0, done.out + done.err
    assert re.search(r"\[1/\d+\] raw_bars, bars +AAA-USD\|2024-01-20", done.out)
    again = lem_command(tmp_path, "night", "-u", "tiny")
    assert "Everything is there already." in again.out
