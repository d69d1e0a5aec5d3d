"""`lem ui` as a person meets it: a real server, a real browser, clicks.

With `LEM_WRITE_SCREENSHOTS=1 LEM_SCREENSHOT_HOME=DIR` the same tests run on the sample universe in a home that
`make run` has made (they make some of its partitions again) and write the pictures of docs/ui.md.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import dagster
import pytest

from lem.lineage.stages import STAGES
from lem.registry import Registry
from lem.universe import load_universe
from lem_pipeline.planning.dates import latest_report_date
from tests.conftest import ROOT
from tests.lem_ui import CHROMIUM, PICTURES, WRITE, lem_ui, new_page, picture, until

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the dev extra")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the program chromium")
LARGEST = 150 * 1024
SHORTEN = """([long, short]) => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) texts.currentNode.nodeValue = texts.currentNode.nodeValue.replaceAll(long, short);
}"""
"""Writes paths of this machine shorter, for a picture."""


class Place(NamedTuple):
    """A home whose report of `date` is there; `last` is the last date of its panels."""

    folder: Path
    home: Path
    universe: str
    asset: str
    date: str
    last: str


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        # Debian's Chromium refuses its sandbox to root, which is who runs in a container.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def test_the_graph_of_a_universe_shows_and_ctrl_c_leaves_no_process(tmp_path, browser, tiny_keys, write_universe):
    write_universe(tmp_path / "universes", tiny_keys())
    # A relative home, as the default is: everything must lie below the directory that the command was called in.
    with lem_ui(tmp_path, {"LEM_UNIVERSES": "universes", "LEM_HOME": "here"}) as ui:
        until("the code location loads", ui.loaded)
        page = new_page(browser)
        page.goto(f"{ui.url}/locations/lem/asset-groups/tiny/lineage")
        for stage in (one.name for one in STAGES):
            page.get_by_text(stage, exact=True).first.wait_for()
        page.close()
        assert ui.interrupt() in (0, 1, 130)
    assert (tmp_path / "here" / "dagster" / "dagster.yaml").is_file()
    ours = re.findall(rf'File "{re.escape(str(ROOT))}/(?:lem|lem_pipeline|assets|resources)/.*', ui.log.read_text())
    assert not ours, "a traceback through our own code"


@pytest.fixture(scope="module")
def place(request, tmp_path_factory):
    if WRITE:
        home = Path(os.environ["LEM_SCREENSHOT_HOME"])
        return Place(tmp_path_factory.mktemp("ui"), home, "sample", "BTC-USDT", "2024-03-30", "2024-03-31")
    folder = tmp_path_factory.mktemp("ui")
    request.getfixturevalue("write_universe")(folder / "universes", request.getfixturevalue("tiny_keys")())
    # With a history of its own, which the other tests' homes do not have.
    history = {"DAGSTER_HOME": str(folder / "home" / "dagster")}
    made = request.getfixturevalue("lem_command")(folder, "run", "-u", "tiny", "-d", "2024-01-18", **history)
    assert made.code == 0, made.err
    return Place(folder, folder / "home", "tiny", "AAA-USD", "2024-01-18", "2024-01-19")


@pytest.fixture(scope="module")
def universes(place):
    """Folder of the universes: those that ship, and the tiny one."""
    if not WRITE:
        for path in (ROOT / "universes").glob("*.toml"):
            shutil.copy(path, place.folder / "universes")
    return ROOT / "universes" if WRITE else place.folder / "universes"


@pytest.fixture(scope="module")
def ui(place, universes):
    with lem_ui(place.folder, {"LEM_UNIVERSES": str(universes), "LEM_HOME": str(place.home)}) as ui:
        until("the code location loads", ui.loaded)
        yield ui


@pytest.fixture(scope="module")
def page(browser):
    page = new_page(browser)
    yield page
    page.close()


@pytest.fixture(scope="module")
def ended(place, universes, request):
    """The last date whose orders have all ended, decided, with all that its report needs."""
    universe = load_universe(universes / f"{place.universe}.toml")
    date = latest_report_date(universe, dt.date.today())
    if not WRITE:
        made = request.getfixturevalue("lem_command")(
            place.folder, "run", "-u", place.universe, DAGSTER_HOME=str(place.home / "dagster")
        )
        assert made.code == 0, made.err
    return date


def launch(page, ui, place, table, partitions):
    """Materialise a table's partitions by clicks, up to the answer that it was launched."""
    page.goto(f"{ui.url}/assets/{place.universe}/{table}?view=partitions")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").first.fill(partitions)
    dialog.get_by_role("textbox").first.press("Enter")
    button = dialog.get_by_role("button", name="Launch").last
    until("the launch button can be clicked", button.is_enabled)
    picture(page, f"launch_{table}")
    button.click()


def finished(page, ui):
    """Wait until no run is queued or in progress, and see that none has failed."""
    page.goto(f"{ui.url}/runs")
    for text in ("Success", "Queued (0)", "In progress (0)"):
        page.get_by_text(text).first.wait_for()
    assert "Failure" not in page.inner_text("body")


@pytest.mark.slow
def test_the_asset_graph_of_each_universe_shows(page, ui, place, universes):
    names = sorted(path.stem for path in universes.glob("*.toml"))
    assert place.universe in names
    for name in names:
        page.goto(f"{ui.url}/locations/lem/asset-groups/{name}/lineage")
        for stage in (one.name for one in STAGES):
            page.get_by_text(stage, exact=True).first.wait_for()
        if name == place.universe:
            picture(page, "lineage")


@pytest.mark.slow
def test_a_day_is_made_by_a_click_and_finishes(page, ui, place):
    path = place.home / "lake" / place.universe / "execution_report" / f"date={place.date}" / "report.html"
    path.unlink()
    launch(page, ui, place, "execution_report", place.date)
    until("the report is there again", path.exists)
    finished(page, ui)
    picture(page, "runs")


@pytest.mark.slow
def test_a_backfill_is_launched_by_a_click_and_finishes(page, ui, place):
    folder = place.home / "lake" / place.universe / "panel"
    dates = [place.date, place.last]
    for date in dates:
        (folder / f"date={date}.parquet").unlink()
    launch(page, ui, place, "panel", f"[{dates[0]}...{dates[1]}]")
    until("the panels are there again", lambda: all((folder / f"date={d}.parquet").exists() for d in dates))
    finished(page, ui)


def latest(page, ui, path, button, name):
    """Press a button of materialising, take all assets and the latest date, and launch."""
    page.goto(f"{ui.url}/{path}")
    page.get_by_role("button", name=button).first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Latest").first.wait_for()
    page.wait_for_timeout(1000)  # the dialog draws itself twice, and the first one's buttons go nowhere
    if dialog.get_by_text("asset", exact=True).count():
        dialog.get_by_role("button", name="All").first.click()
    dialog.get_by_role("button", name="Latest").first.click()
    launch_button = dialog.get_by_role("button", name="Launch").last
    until("the launch button can be clicked", launch_button.is_enabled)
    picture(page, name)
    launch_button.click()


def rewritten(place, *paths):
    """A function: whether all of these files below the universe have been written since now."""
    files = [place.home / "lake" / place.universe / path for path in paths]
    before = {file: file.stat().st_mtime_ns if file.exists() else 0 for file in files}
    return lambda: all(file.exists() and file.stat().st_mtime_ns > before[file] for file in files)


@pytest.mark.slow
@pytest.mark.parametrize("table", ["backtest", "execution_report"])
def test_the_latest_date_of_what_waits_for_orders_is_one_whose_orders_have_ended(table, page, ui, place, ended):
    file = f"backtest/asset={place.asset}/date={ended}.parquet"
    file = file if table == "backtest" else f"execution_report/date={ended}/report.html"
    done = rewritten(place, file)
    latest(page, ui, f"assets/{place.universe}/{table}?view=partitions", "Materialize", f"latest_{table}")
    until(f"{table} of {ended} is made", done)
    finished(page, ui)


@pytest.mark.slow
def test_all_stages_of_the_latest_date_are_made_by_one_button(page, ui, place, ended):
    done = rewritten(place, f"execution_report/date={ended}/report.html")
    latest(page, ui, f"locations/lem/asset-groups/{place.universe}/lineage", "Materialize all", "materialize_all")
    until(f"the report of {ended} is made", done)
    registry = Registry(f"sqlite:///{place.home}/registry.sqlite")
    until("the model of the day after is decided about", lambda: registry.promotions(place.universe)[-1].date > ended)
    finished(page, ui)
    picture(page, "materialize_all_runs")


@pytest.mark.slow
def test_the_status_grid_of_a_stage_shows_each_asset_and_date(page, ui, place):
    page.goto(f"{ui.url}/assets/{place.universe}/bars?view=partitions")
    page.get_by_text(place.asset, exact=True).first.wait_for()
    page.get_by_text(place.last, exact=True).first.wait_for()
    picture(page, "status_grid")


@pytest.mark.slow
def test_the_reports_overview_describes_it_and_shows_its_thumbnail(page, ui, place):
    page.goto(f"{ui.url}/assets/{place.universe}/execution_report")
    for text in ("Partition:", "cvar5_bps", "mean of the worst 5 %", "gain_by_m"):
        page.get_by_text(text).first.wait_for()
    picture(page, "catalogue")
    page.get_by_text("[Show Markdown]").first.click()
    image = page.locator("img[src^='data:image/png']").first
    image.wait_for()
    until("the picture is drawn", lambda: image.evaluate("image => image.naturalWidth") > 300)
    picture(page, "thumbnail")


@pytest.mark.slow
def test_the_gains_of_the_backtest_are_plotted(page, ui, place):
    page.goto(f"{ui.url}/assets/{place.universe}/backtest")
    page.get_by_role("button", name="Plots").first.click()
    page.get_by_text("gain_bps_twap", exact=True).first.wait_for()
    page.locator("canvas").first.wait_for()
    picture(page, "plots_backtest")


@pytest.mark.slow
def test_the_runs_of_a_command_show_what_they_make_and_no_bookkeeping(page, ui, place, lem_command):
    settings = {"DAGSTER_HOME": str(place.home / "dagster"), "LEM_HOME": str(place.home)}
    command = ("backfill", "-u", place.universe, "--from", place.date, "--to", place.last, "--force")
    universes = {"LEM_UNIVERSES": str(ROOT / "universes")} if WRITE else {}
    made = lem_command(place.folder, *command, **settings, **universes)
    assert made.code == 0, made.out + made.err
    page.goto(f"{ui.url}/runs?q%5B0%5D=status%3ASUCCESS")
    for table in ("raw_bars", "features", "panel"):
        page.get_by_text(f"{place.universe} / {table}").first.wait_for()
    body = page.inner_text("body")
    assert f"lem/universe: {place.universe}" in body
    assert "process" not in body
    assert "lem/tables" not in body
    picture(page, "runs_targets", height=420)


@pytest.mark.slow
def test_the_page_of_a_failed_run_begins_with_what_was_wrong(page, ui, place):
    lost = place.home / "lake" / place.universe / "features" / f"asset={place.asset}" / f"date={place.last}.parquet"
    kept = lost.rename(lost.with_suffix(".kept"))
    try:
        launch(page, ui, place, "panel", place.last)
        page.goto(f"{ui.url}/runs")
        page.get_by_text("Failure").first.wait_for()
    finally:
        kept.rename(lost)
    page.locator("a[href*='/runs/']").first.click()
    sentence = f"Failure: {place.universe}/features: 1 of "
    page.get_by_text(sentence).first.wait_for()
    said = page.inner_text("body")
    assert said.index(sentence) < said.index("Stack Trace:")
    page.evaluate(SHORTEN, [str(Path(dagster.__file__).parents[1]), ".venv/site-packages"])
    picture(page, "failed_run")


@pytest.mark.slow
def test_ctrl_c_after_all_that_leaves_no_process(ui):
    assert ui.interrupt() in (0, 1, 130)


def test_the_pictures_of_the_docs_are_small_and_are_all_shown():
    pictures = {path.name for path in PICTURES.glob("*.png")}
    text = (ROOT / "docs" / "ui.md").read_text(encoding="utf-8")
    assert pictures
    assert {name for name in pictures if f"](ui/{name})" in text} == pictures
    assert all((PICTURES / name).stat().st_size <= LARGEST for name in pictures)
