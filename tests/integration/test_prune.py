"""`lem prune` on a home of sixty nights: what is kept opens and rebuilds, also after kill -9 at any moment."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import random
import re
import shutil
import time
from pathlib import Path

import dagster as dg
import pytest

from lem.lake import Lake
from lem.model.contender import load_contender
from lem.registry import Registry
from lem.reports.nightly import make_report
from lem.training.rebuild import rebuild
from tests.integration.fast_clock import COMPILER, FastClock
from tests.integration.recovery import Lem, history, kill
from tests.integration.sixty_nights import END, KEYS, LAST, NIGHTS, REPORTS, add_nights, copy_of

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler, the program cc")

PRUNE = ("prune", "--keep-days", "30")
KEPT = [night for night in NIGHTS if night >= END - dt.timedelta(days=30)]


@pytest.fixture(scope="module")
def nights(tmp_path_factory, tiny_keys, write_universe, make_universe):
    """A home of sixty nights, forty days after the last; `lem` there goes by that clock."""
    folder = tmp_path_factory.mktemp("nights")
    write_universe(folder / "universes", tiny_keys())
    home = folder / "home"
    env = {
        "LEM_HOME": str(home),
        "LEM_UNIVERSES": str(folder / "universes"),
        "DAGSTER_HOME": str(home / "dagster"),
        "LEM_LAKE": "",
        "LEM_REGISTRY": "",
        "LEM_DAGSTER_STORAGE": "",
        "COLUMNS": "250",
    }
    maker = Lem(folder, env)
    assert maker.run("run", "-u", "tiny", "-d", str(LAST)) == 0, maker.log.read_text()
    maker.close()
    write_universe(folder / "universes", tiny_keys(**KEYS))
    add_nights(home, make_universe(**tiny_keys(**KEYS)))
    clock = FastClock(folder, dt.datetime.now(dt.UTC) + dt.timedelta(days=40))
    lem = Lem(folder, env | clock.env)
    shutil.move(home, folder / "whole")
    yield lem, folder / "whole", home
    lem.close()


@pytest.fixture
def home(nights):
    """A copy of the home, where `lem` looks for it."""
    _, whole, copy = nights
    copy_of(whole, copy)
    return copy


def objects(home: Path) -> set[str]:
    """All files of the lake, but for its fences."""
    return {
        str(path.relative_to(home / "lake"))
        for path in (home / "lake").rglob("*")
        if path.is_file() and not path.name.startswith(".fences")
    }


def recorded(home: Path) -> dict[str, set[str]]:
    """The partitions of every asset that the history knows."""
    with history(home / "dagster") as instance:
        keys = instance.all_asset_keys()
        return {key.to_user_string(): instance.get_materialized_partitions(key) for key in keys}


def bytes_told(text: str) -> list[list[int]]:
    """Number and bytes before, number and bytes removed, bytes left of each kind, as the command has told."""
    rows = [[int(cell.replace(",", "")) for cell in re.findall(r"\d[\d,]*", line)] for line in text.splitlines()]
    return [row for row in rows if len(row) == 5]


@pytest.mark.slow
def test_a_dry_run_says_the_bytes_and_removes_nothing(nights, home):
    lem, before = nights[0], objects(home)
    assert lem.run(*PRUNE) == 0, lem.log.read_text()
    told = lem.log.read_text()
    assert "Nothing was removed; to remove what can go: lem prune --keep-days 30 --yes" in told
    assert f"can go: tiny: reports: tiny/execution_report/date={NIGHTS[0]}" in told
    assert objects(home) == before
    reports, weights, superseded, *_ = bytes_told(told)
    assert (reports[0], reports[2]) == (60, 60 - len(KEPT))
    assert weights[2] > 50
    assert superseded[0] > 80
    assert all(row[1] == row[3] + row[4] for row in bytes_told(told))


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [(), pytest.param(("--refused",), marks=pytest.mark.slow)], ids=["", "with refused candidates"]
)
def test_after_pruning_every_champion_opens_and_every_report_of_the_kept_range_rebuilds_or_opens(
    nights, home, make_universe, tiny_keys, options
):
    lem, universe = nights[0], make_universe(**tiny_keys(**KEYS))
    lake, registry = Lake(str(home / "lake")), Registry(f"sqlite:///{home / 'registry.sqlite'}")
    page = make_report(lake.fenced(), registry, universe, LAST).data_version
    assert lem.run(*PRUNE, *options, "--yes") == 0, lem.log.read_text()
    print(lem.log.read_text())
    champions = {one.champion_id for one in registry.decisions("tiny") if one.champion_id}
    assert len(champions) > 15
    for model_id in champions:
        load_contender(lake, registry.model(model_id))
        for read in registry.model(model_id).inputs:
            paths = (
                f"tiny/panel/date={read.partition_key}.parquet",
                (f"tiny/superseded/panel/date={read.partition_key}/sha256={read.data_version}.parquet"),
            )
            assert read.data_version in [lake.versions(path).data for path in paths if lake.exists(path)]
    trained = registry.candidate("tiny", LAST)
    assert rebuild(lake, trained).weights_sha256 == trained.weights_sha256
    assert make_report(lake.fenced(), registry, universe, LAST).data_version == page
    for date in KEPT:
        assert lem.run("report", "-u", "tiny", "-d", str(date)) == 0, lem.log.read_text()
    assert lem.run("report", "-u", "tiny", "-d", str(NIGHTS[0])) == 1
    assert "no report of 2023-11-20" in " ".join(lem.log.read_text().split())
    known = recorded(home)
    assert known["tiny/execution_report"] == {str(date) for date in KEPT}
    assert known["tiny/panel"] == recorded(nights[1])["tiny/panel"]
    with history(home / "dagster") as instance:
        assert not instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
        assert instance.get_latest_materialization_event(REPORTS)
    assert lem.run(*PRUNE, *options) == 0
    assert "Nothing can go." in lem.log.read_text()


@pytest.mark.slow
def test_a_run_in_progress_is_refused_by_name_and_reap_clears_one_that_died(nights, home):
    from dagster._core.test_utils import create_run_for_test

    from lem_pipeline.running.launch import RUN_PROCESS

    lem, before = nights[0], objects(home)
    with history(home / "dagster") as instance:
        gone = {RUN_PROCESS: f"{os.uname().nodename} another-boot 1 1"}
        run = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED, tags=gone)
    assert lem.run(*PRUNE, "--yes") == 1
    assert f"1 run(s) in progress: {run.run_id} (STARTED)" in lem.log.read_text()
    assert "lem reap --yes" in lem.log.read_text()
    assert objects(home) == before
    assert lem.run("reap", "--yes") == 0
    assert lem.run(*PRUNE, "--yes") == 0, lem.log.read_text()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("tries", [pytest.param(3, id="3 tries"), pytest.param(20, id="20 tries")])
def test_kill_9_while_it_removes_loses_nothing_that_is_kept(nights, home, tries):
    lem, whole, _ = nights
    started = time.monotonic()
    assert lem.run(*PRUNE, "--yes") == 0, lem.log.read_text()
    lasts = time.monotonic() - started
    left, known = objects(home), recorded(home)
    going = [home / "lake" / name for name in sorted(objects(whole) - left)]
    registry = hashlib.sha256((whole / "registry.sqlite").read_bytes()).hexdigest()
    dice, torn, killed = random.Random(tries), 0, 0
    while killed < tries:
        copy_of(whole, home)
        pid = lem.start(*PRUNE, "--yes")
        if killed % 2:
            time.sleep(dice.uniform(0.2, 0.9) * lasts)
        else:  # as soon as the first object is gone: on a quick disk the last one follows within milliseconds
            end = time.monotonic() + 2 * lasts
            while time.monotonic() < end and all(path.exists() for path in going):
                pass
        kill(pid)
        if lem.wait() != -9:
            continue
        killed += 1
        there = objects(home)
        assert left <= there
        torn += there not in (left, objects(whole))
        assert all(partitions <= recorded(home)[key] for key, partitions in known.items())
        assert hashlib.sha256((home / "registry.sqlite").read_bytes()).hexdigest() == registry
        assert lem.run(*PRUNE, "--yes") == 0, lem.log.read_text()
        assert objects(home) == left
        assert recorded(home) == known
    print(f"killed {killed} times, {torn} of them between the first object and the last")
    assert torn
