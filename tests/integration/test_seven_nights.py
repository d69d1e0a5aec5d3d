"""Seven nights that the daemon makes by itself, one with a failed symbol and one with a killed worker among them.

They take half an hour on a busy machine. With `LEM_NIGHTS_HOME=DIR` they happen
in that folder, which is kept; where it holds nights that are over, those are looked at again.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from lem.lake import Lake
from lem.registry import Registry
from lem.registry.records import differences
from tests.integration.fast_clock import COMPILER
from tests.integration.recovery import history, objects
from tests.integration.seven_nights import (
    KEYS,
    KILLED,
    LATE,
    LATE_DATE,
    LATE_NIGHT,
    NIGHTS,
    REPORTS,
    SevenNights,
    Told,
    made,
    story,
    table,
)
from tests.lem_ui import CHROMIUM, lem_ui, new_page, picture, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(COMPILER is None, reason="needs a C compiler, the program cc"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the nights happen."""
    if kept := os.environ.get("LEM_NIGHTS_HOME"):
        Path(kept).mkdir(parents=True, exist_ok=True)
        return Path(kept).resolve()
    return tmp_path_factory.mktemp("nights")


@pytest.fixture(scope="module")
def nights(folder, make_universe, tiny_keys, write_universe) -> SevenNights:
    write_universe(folder / "universes", {k: v for k, v in tiny_keys(**KEYS).items() if v is not None})
    return SevenNights(folder, make_universe(**tiny_keys(start=KEYS["start"], end=None)))


@pytest.fixture(scope="module")
def told(nights) -> Told:
    kept = nights.folder / "told.json"
    if not kept.exists():
        nights.first_report()
        nights.pass_by()
    found = Told.load(kept)
    with history(nights.history) as instance:
        print(f"\n{table(story(instance))}\n\n{found.wall_s:.0f} s, {found.cpu_s:.0f} CPU-seconds")
    return found


@pytest.fixture
def instance(nights, told) -> Iterator[dg.DagsterInstance]:
    with history(nights.history) as instance:
        yield instance


@pytest.fixture(scope="module")
def undisturbed(nights, told, tmp_path_factory, make_universe, tiny_keys) -> Path:
    """The home as it was before the first night, and one `lem night` over the same files on the day of the last."""
    # A raw bar names the file that it came from: the same one for both.
    once = SevenNights(tmp_path_factory.mktemp("undisturbed"), make_universe(**tiny_keys()), nights.data)
    shutil.copytree(nights.folder / "before", once.home)
    shutil.copytree(nights.folder / "universes", once.folder / "universes")
    once.command("night", "-u", "tiny", at=dt.datetime.fromisoformat(told.ended))
    return once.home


def test_there_is_a_report_of_each_night(nights, instance):
    assert {str(date) for date in REPORTS} <= made(instance, "execution_report")
    for date in REPORTS:
        page = nights.lake.fs.cat(f"{nights.lake.root}/tiny/execution_report/date={date}/report.html").decode()
        assert page.rstrip().endswith("</html>")
        assert str(date) in page


def test_nothing_of_the_nights_is_missing_or_stale(nights, told, instance):
    data = [str(night - dt.timedelta(days=1)) for night in NIGHTS]
    for stage in ("raw_bars", "bars", "features"):
        assert {f"{symbol}|{date}" for symbol in ("AAA-USD", LATE) for date in data} <= made(instance, stage)
    assert set(data) <= made(instance, "panel")
    assert {f"{symbol}|{date}" for symbol in ("AAA-USD", LATE) for date in map(str, REPORTS)} <= made(
        instance, "backtest"
    )
    assert set(map(str, NIGHTS)) <= made(instance, "champion")
    trained = {str(night) for night in NIGHTS} & made(instance, "lem_model")
    assert len(trained) >= 2
    status = nights.command("status", "-u", "tiny", at=dt.datetime.fromisoformat(told.ended))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in status.splitlines() if "│" in line]
    tables = ["raw_bars", "bars", "features", "panel", "backtest"]
    assert [row[0] for row in rows] == [*tables, "lem_model", "champion", "execution_report"]
    assert {tuple(row[4:]) for row in rows} == {("0", "0", "0"), ("-", "0", "-")}, status
    assert [row[3] for row in rows[:4]] == [data[-1]] * 4
    assert f"Latest report: {REPORTS[-1]}; possible: {REPORTS[-1]}" in status


def test_the_night_of_the_failed_symbol_went_on_without_it_and_was_made_whole_when_its_rows_came(told, instance):
    came = dt.datetime.fromisoformat(told.rows_came).timestamp()
    late, key = LATE_DATE.isoformat(), f"{LATE}|{LATE_DATE}"
    asked = [chapter for chapter in story(instance) if "bars" in chapter.tables and late in chapter.partitions]
    failed = [instance.get_run_record_by_id(chapter.run) for chapter in asked if chapter.status == "FAILURE"]
    assert failed
    assert all(record.end_time < when(instance, "bars", key) for record in failed)
    assert failed[0].end_time < came
    other = f"AAA-USD|{LATE_DATE}"
    for stage in ("bars", "features"):
        assert when(instance, stage, other) < came < when(instance, stage, key)
    assert when(instance, "features", key) < when(instance, "panel", late) < when(instance, "champion", str(LATE_NIGHT))


def when(instance: dg.DagsterInstance, stage: str, key: str) -> float:
    """When a partition was first made."""
    wanted = dg.AssetRecordsFilter(dg.AssetKey(["tiny", stage]), asset_partitions=[key])
    return instance.fetch_materializations(wanted, limit=1, ascending=True).records[0].timestamp


def test_the_killed_run_failed_and_was_tried_again_by_the_daemon(told, instance):
    killed = instance.get_run_by_id(told.killed)
    assert killed.status == dg.DagsterRunStatus.FAILURE
    (again,) = [run for run in instance.get_runs() if run.parent_run_id == told.killed]
    assert again.status == dg.DagsterRunStatus.SUCCESS
    assert again.tags["dagster/retry_number"] == "1"
    assert again.tags["dagster/partition"] == killed.tags["dagster/partition"] == str(KILLED)
    assert str(KILLED) in made(instance, "lem_model")


def test_no_slot_is_held_and_lem_reap_finds_nothing(nights, told, instance):
    assert not instance.event_log_storage.get_concurrency_run_ids()
    said = nights.command("reap", "--older-than", "6h", at=dt.datetime.fromisoformat(told.ended))
    assert "Nothing was left behind." in said


def test_all_is_as_one_undisturbed_night_over_the_same_files_makes_it(nights, undisturbed):
    # Each object is read as a whole: one that is torn raises.
    expected, found = objects(Lake(str(undisturbed / "lake"))), objects(nights.lake)
    assert {path: found.get(path) for path in expected} == expected
    for date in REPORTS:
        assert {f"tiny/panel/date={date}.parquet", f"tiny/backtest/asset={LATE}/date={date}.parquet"} <= set(expected)
    page = f"lake/tiny/execution_report/date={REPORTS[-1]}/report.html"
    assert (nights.home / page).read_bytes() == (undisturbed / page).read_bytes()
    one, two = (Registry(f"sqlite:///{home}/registry.sqlite") for home in (nights.home, undisturbed))
    for night in NIGHTS:
        assert one.champion_on("tiny", night).id == two.champion_on("tiny", night).id
    assert differences(one.candidate("tiny", KILLED), two.candidate("tiny", KILLED)) == []


@pytest.fixture
def page(told):
    """A browser that believes to be there when the nights are over."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the dev extra")
    if CHROMIUM is None:
        pytest.skip("needs the program chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = new_page(browser)
        page.clock.set_fixed_time(dt.datetime.fromisoformat(told.ended))
        yield page
        browser.close()


def test_the_story_is_to_be_seen_in_the_ui(nights, told, page, tiny_keys, write_universe):
    # By the clock of this machine it is years later, and the automation would have much to catch up on.
    write_universe(nights.folder / "shown", tiny_keys(**KEYS | {"end": str(NIGHTS[-1]), "night": {"enabled": False}}))
    shown = nights.settings | {"LEM_UNIVERSES": str(nights.folder / "shown")}
    with lem_ui(nights.folder, shown) as ui:
        until("the code location loads", ui.loaded)
        page.goto(f"{ui.url}/runs?q%5B0%5D=tag%3Adagster%2Fpartition%3D{KILLED}")
        page.get_by_text("Failure").first.wait_for()
        picture(page, "night_runs")
        page.goto(f"{ui.url}/runs/{told.killed}")
        page.get_by_text("lem_model").first.wait_for()
        picture(page, "night_killed")
        page.goto(f"{ui.url}/assets/tiny/bars?view=partitions&partition={LATE}%7C{LATE_DATE}")
        page.get_by_text(str(LATE_DATE)).first.wait_for()
        picture(page, "night_late")
