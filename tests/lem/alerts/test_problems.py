"""What is wrong at a moment, and the sentence and the command for it."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace

from lem.alerts import problems
from lem.alerts.problems import blocked, degraded, drifted, full, too_old
from lem.lake import Lake
from lem.lineage.quarantine import set_quarantine
from lem.registry import PromotionRecord, Registry
from lem.registry.decision_figures import DecisionFigures

DAY = dt.date(2024, 1, 20)


def decision(day, degraded=""):
    figures = DecisionFigures(panel_version="v", degraded=degraded)
    return PromotionRecord("small", dt.date(2024, 1, day), None, None, None, "none", ["why"], figures)


def test_a_degraded_night_is_a_problem_until_a_night_is_as_it_should_be(tmp_path, make_universe):
    registry, universe = Registry(f"sqlite:///{tmp_path}/registry.sqlite"), make_universe()
    assert degraded(registry, universe).problems == []
    for day in (19, 20):
        registry.record_promotion(decision(day, "no model was trained"))
    found = degraded(registry, universe)
    (problem,) = found.problems
    assert problem.sentence == "The night of 2024-01-20 was degraded: no model was trained."
    assert problem.command == "lem night -u small --redecide"
    assert found.lasting("2024-01-19")
    registry.record_promotion(decision(21))
    assert degraded(registry, universe).problems == []
    assert not degraded(registry, universe).lasting("2024-01-20")


def test_a_champion_is_too_old_from_the_day_on_that_the_universe_says(make_universe):
    universe = make_universe(drift={"max_age": 20}, end=None)
    champion = SimpleNamespace(id="abc", train_end=dt.date(2024, 1, 1))
    registry = SimpleNamespace(champion_on=lambda universe, date: champion)
    assert too_old(registry, universe, dt.date(2024, 1, 21)).problems == []
    (problem,) = too_old(registry, universe, dt.date(2024, 1, 31)).problems
    assert "The champion abc is too old: its training ended 30 trading days ago; allowed: 20." in problem.sentence
    ended = make_universe(drift={"max_age": 20}, end="2024-01-08")
    assert too_old(registry, ended, dt.date(2024, 6, 1)).problems == []


def test_each_quarantined_day_is_a_problem_with_its_error(tmp_path, make_universe):
    lake, universe = Lake(str(tmp_path / "lake")), make_universe()
    assert blocked(lake, universe).problems == []
    set_quarantine(lake, "small", "AAA-USD", [], {DAY: "bar 3: high below low"})
    (problem,) = blocked(lake, universe).problems
    assert problem.subject == "AAA-USD|2024-01-20"
    assert problem.sentence == "The bars of AAA-USD on 2024-01-20 are quarantined: bar 3: high below low"
    set_quarantine(lake, "small", "AAA-USD", [DAY], {})
    assert blocked(lake, universe).problems == []


def test_drift_is_what_the_latest_report_says_and_lasts_where_it_cannot_tell(tmp_path, make_universe):
    lake, universe = Lake(str(tmp_path / "lake")), make_universe()
    assert drifted(lake, universe).lasting("inputs")
    head = "reading,name,value,low,high,usual,threshold,verdict\n"
    path = f"small/execution_report/date={DAY}/tables/drift.csv"
    unknown = "gain,Realised minus expected gain,,,,,-5.0,too few days to say\n"
    lake.write_bytes(path, f"{head}input,momentum,0.31,,,0.1,0.25,drifted\n{unknown}".encode())
    found = drifted(lake, universe)
    (problem,) = found.problems
    assert (problem.subject, problem.command) == ("inputs", "lem report -u small -d 2024-01-20")
    assert "Feature momentum is not distributed as in training (index 0.31)" in problem.sentence
    assert found.lasting("gains")
    lake.write_bytes(path, f"{head}input,momentum,0.1,,,0.1,0.25,\n{unknown}".encode())
    assert drifted(lake, universe).problems == []
    assert not drifted(lake, universe).lasting("inputs")


def test_a_disk_is_full_above_the_limit_and_until_two_per_cent_below_it(tmp_path, monkeypatch):
    folder = tmp_path / "not" / "there"

    def used(per_cent):
        usage = SimpleNamespace(total=1000, free=1000 - 10 * per_cent)
        monkeypatch.setattr(problems.shutil, "disk_usage", lambda path: usage)
        found = full(folder, 95)
        return len(found.problems), found.lasting(str(folder))

    assert [used(per_cent) for per_cent in (96, 94, 92)] == [(1, True), (0, True), (0, False)]
