from __future__ import annotations

import datetime as dt
import json
import re
import shutil

import pytest

from lem.backtest.bootstrap import Interval
from lem.lake import Lake
from lem.lineage.stored_report import INDEX, report_path
from lem.reports import index
from lem.reports.collection import Entry, all_reports, entries, entry
from lem.reports.index import OPEN_ROWS, render_index, trend, write_index

DAY = dt.date(2024, 1, 18)
LINK = re.compile(r'<a href="([^"#]+)"')


def made(universe: str, date: dt.date, mean: float = 5.0) -> Entry:
    gap = Interval(mean - 4.0, mean - 5.0, mean - 3.0, 90, 20)
    return Entry(
        universe, date, "complete", "a" * 16, Interval(mean, 1.0, 9.0, 90, 20), "optimal_with_costs", 4.0, gap, "better"
    )


@pytest.fixture
def lake(tiny_home, tmp_path) -> Lake:
    """The lake of one night, with one report."""
    shutil.copytree(tiny_home.folder / "home" / "lake", tmp_path / "lake")
    return Lake(str(tmp_path / "lake"))


def copy_to(lake: Lake, universe: str, date: dt.date) -> None:
    for file in ("report.json", "report.html"):
        lake.write_bytes(report_path(universe, date, file), lake.read_bytes(report_path("tiny", DAY, file)))


def test_without_reports_the_page_says_how_to_make_one(tmp_path):
    lake = Lake(str(tmp_path))
    write_index(lake)
    page = lake.read_bytes(INDEX).decode()
    assert "There is no report yet" in page
    assert not LINK.findall(page)


def test_the_report_of_a_run_is_linked_and_the_link_leads_to_it(lake, tmp_path):
    page = (tmp_path / "lake" / INDEX).read_text(encoding="utf-8")
    assert LINK.findall(page) == [f"tiny/execution_report/date={DAY}/report.html"]
    summary = json.loads(lake.read_bytes(report_path("tiny", DAY, "report.json")))
    one = entry(lake, "tiny", DAY)
    assert one.kept is not None
    assert one.kept.mean == pytest.approx(summary["net_gain"]["mean"])
    assert (one.status, one.champion, one.orders) == (summary["status"], summary["champion_id"], summary["orders"])
    assert one.rule == summary["comparisons"][0]["against"]
    assert one.rule_bps == pytest.approx(summary["comparisons"][0]["kept"]["mean_bps"])


def test_five_hundred_reports_are_all_linked_and_the_older_ones_folded_away():
    dates = [dt.date(2022, 1, 1) + dt.timedelta(days=day) for day in range(500)]
    page = render_index([made("desk", date) for date in dates])
    assert len(LINK.findall(page)) == 500
    shown, folded = page.split("<details>")
    assert len(LINK.findall(shown)) == OPEN_ROWS
    assert str(dates[-1]) in LINK.findall(shown)[0]
    assert f"{500 - OPEN_ROWS} older reports" in folded
    assert "--compare 2023-05-14 2023-05-15" in page


def test_the_trend_has_a_line_for_the_champion_and_one_for_the_best_rule():
    picture = trend([made("desk", DAY, 5.0), made("desk", DAY + dt.timedelta(days=1), 7.0)], "t")
    assert picture is not None
    assert "On 2024-01-19 the champion kept 7.0, Optimal with costs 4.0." in picture.alt
    assert picture.svg.startswith("<svg")
    assert trend([Entry("desk", DAY, note="unreadable")], "t") is None


def test_a_page_needs_no_network_and_names_are_escaped():
    page = render_index([made("<b>&desk", DAY), Entry('"q"', DAY, note="<i>broken</i>")])
    assert "<b>&desk" not in page
    assert "&lt;b&gt;&amp;desk" in page
    assert "<i>broken" not in page
    assert "://" not in page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert all("<" not in link and " " not in link for link in LINK.findall(page))


def test_a_report_whose_making_was_killed_or_that_is_about_to_go_is_not_linked(lake):
    copy_to(lake, "tiny", DAY + dt.timedelta(days=1))
    copy_to(lake, "desk", DAY)
    lake.remove(report_path("desk", DAY, "report.html"))
    assert all_reports(lake) == [("tiny", DAY), ("tiny", DAY + dt.timedelta(days=1))]
    write_index(lake, [("tiny", DAY)])
    (link,) = LINK.findall(lake.read_bytes(INDEX).decode())
    assert str(DAY + dt.timedelta(days=1)) in link


def test_a_report_of_another_form_is_linked_and_says_so(lake):
    lake.write_bytes(report_path("tiny", DAY, "report.json"), b'{"old": 1}')
    (one,) = entries(lake, [("tiny", DAY)])
    assert "made by another version" in one.note
    page = render_index([one])
    assert one.note in page
    assert len(LINK.findall(page)) == 1


def test_a_report_that_was_made_meanwhile_is_on_the_page(lake, monkeypatch):
    render, later = index.render_index, DAY + dt.timedelta(days=1)

    def slow(found):
        page = render(found)
        if len(found) == 1:
            copy_to(lake, "tiny", later)
        return page

    monkeypatch.setattr(index, "render_index", slow)
    write_index(lake)
    assert len(LINK.findall(lake.read_bytes(INDEX).decode())) == 2
