"""The report that a run stored: its files, and what it reads from lake and registry."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest

from lem.backtest.leaks import LEAK_SCHEMA
from lem.backtest.schema import BACKTEST_SCHEMA
from lem.drift.verdicts import drift_warnings
from lem.lake import Lake
from lem.lineage.stored_report import report_path
from lem.registry import Registry
from lem.reports import leak_reading
from lem.reports.inputs import DRIFT
from lem.reports.leak_reading import leaks_of, leaks_path
from lem.reports.nightly import report_inputs
from lem.reports.sections.drift import drift_table
from lem.reports.sections.quality import data_quality, days_in_quarantine, listed_outages
from lem.universe.windows import training_window

DAY = dt.date(2024, 1, 18)


@pytest.fixture
def night(tiny_home, tmp_path):
    """Lake, registry and universe of a night that was run; they may be changed."""
    shutil.copytree(tiny_home.folder / "home", tmp_path, dirs_exist_ok=True)
    return Lake(str(tmp_path / "lake")), Registry(f"sqlite:///{tmp_path}/registry.sqlite"), tiny_home.universe


def test_every_table_lies_beside_the_page_and_its_hash_in_the_json(night):
    lake, _, universe = night
    summary = json.loads(lake.read_bytes(report_path(universe.name, DAY, "report.json")))
    names = lake.names(f"{universe.name}/execution_report/date={DAY}/tables")
    assert [f"tables/{name}" for name in names] == sorted(summary["tables"])
    for file, sha256 in summary["tables"].items():
        assert hashlib.sha256(lake.read_bytes(report_path(universe.name, DAY, file))).hexdigest() == sha256
    assert {"tables/leaks.csv", "tables/replays.csv", "tables/gate.csv"} <= set(summary["tables"])


def test_the_leak_panel_of_a_champion_is_made_once_and_again_when_its_bars_changed(night, monkeypatch):
    lake, registry, universe = night
    champion = registry.champion_on(universe.name, DAY)
    stored = lake.read_table(leaks_path(universe.name, champion.id))
    assert set(stored["market"]) == {"driftless", "real"}
    made = []

    def again(*arguments):
        made.append(arguments)
        return stored.iloc[:1]

    monkeypatch.setattr(leak_reading, "leak_panel", again)
    pd.testing.assert_frame_equal(leaks_of(lake, universe, champion), stored)
    assert not made
    changed = universe.model_copy(update={"horizon": 2})
    assert len(leaks_of(lake, changed, champion)) == 1
    assert len(made) == 1
    assert list(stored.columns) == LEAK_SCHEMA.names


def test_a_hole_in_the_backtests_is_told_and_not_an_error(night):
    lake, registry, universe = night
    assert report_inputs(lake, registry, universe, DAY).left_out == ()
    longer = universe.model_copy(update={"backtest": universe.backtest.model_copy(update={"report_days": 3})})
    before, hole = DAY - dt.timedelta(days=2), DAY - dt.timedelta(days=1)
    for asset in universe.symbols:
        empty = BACKTEST_SCHEMA.empty_table().to_pandas()
        lake.write_table(lake.path(universe.name, "backtest", before, asset), empty, BACKTEST_SCHEMA)
        lake.remove(lake.path(universe.name, "backtest", hole, asset))
    inputs = report_inputs(lake, registry, longer, DAY)
    assert inputs.left_out == (hole,)
    assert {str(date) for date in inputs.orders["date"]} == {str(DAY)}


def test_the_leak_panel_has_no_bar_that_the_champion_was_trained_on(night, monkeypatch):
    lake, registry, universe = night
    champion = registry.champion_on(universe.name, DAY)
    stored = lake.read_table(leaks_path(universe.name, champion.id))
    begun = []

    def begins(panel, first, *_):
        begun.append(first.astype(dt.date))
        return stored

    monkeypatch.setattr(leak_reading, "leak_panel", begins)
    gate_start = training_window(universe, champion.usable_on).gate_start
    for days in (1, 2, 4):
        training = universe.training.model_copy(update={"holdout_days": days})
        leaks_of(lake, universe.model_copy(update={"training": training}), champion)
    assert not begun, "the window is that which the gate judged it on, whatever the universe's is by now"
    backtest = universe.backtest.model_copy(update={"risk_aversion": 2.0})
    leaks_of(lake, universe.model_copy(update={"backtest": backtest}), champion)
    assert begun == [gate_start]
    assert champion.train_end < gate_start


def test_the_leak_panel_shows_the_random_walk_that_the_gate_judged_by(night):
    lake, registry, universe = night
    champion = registry.champion_on(universe.name, DAY)
    (decision,) = [d for d in registry.promotions(universe.name) if d.candidate_id == champion.id]
    (check,) = [c for c in decision.figures.checks if c.name == "random_walk_control"]
    shown = leaks_of(lake, universe, champion)
    gains = shown[shown["market"] == "driftless"].set_index("min_bars")["mean"].to_dict()
    assert gains == {m: check.figures[f"gain_sigma_m{m}"] for m in gains}
    assert len(gains) >= 2


def test_a_model_that_no_bar_is_left_for_has_no_leak_panel(night):
    lake, registry, universe = night
    champion = registry.champion_on(universe.name, DAY)
    late = replace(champion, train_end=champion.usable_on)
    assert leaks_of(lake, universe, late).empty


def test_drift_is_read_or_says_why_it_is_not_known(night):
    lake, registry, universe = night
    table = drift_table(lake, registry, universe, DAY)
    assert list(table.columns) == DRIFT
    age = table[table["reading"] == "age"].iloc[0]
    days = (DAY - registry.champion_on(universe.name, DAY).train_end).days
    assert age["value"] == days
    assert drift_warnings(table.assign(verdict="")) == []
    old = table.assign(verdict=table["reading"].map({"age": "old"}).fillna(""))
    (said,) = drift_warnings(old)
    assert f"training ended {days} trading days ago" in said
    nobody = drift_table(lake, registry, universe, dt.date(2024, 1, 2))
    assert nobody["verdict"].str.startswith("not known: ").all()


def test_days_in_quarantine_and_listed_outages_are_named(night, make_universe, tiny_keys):
    lake, _, universe = night
    lake.write_bytes("tiny/quarantine/asset=BBB-USD/date=2024-01-17.txt", b"low above high in row 3\nmore\n")
    lake.write_bytes("tiny/quarantine/asset=AAA-USD/date=2024-01-25.txt", b"later\n")
    found = days_in_quarantine(lake, universe, DAY)
    assert found.to_dict("records") == [
        {"asset": "BBB-USD", "date": "2024-01-17", "problem": "low above high in row 3"}
    ]
    outage = {"start": "2024-01-17T04:00:00Z", "end": "2024-01-17T08:00:00Z", "reason": "maintenance"}
    dates = [dt.date(2024, 1, 17), DAY]
    with_outage = make_universe(**tiny_keys(outages=[outage]))
    assert listed_outages(with_outage, dates)["reason"].to_list() == ["maintenance"]
    assert listed_outages(with_outage, [DAY]).empty
    counts = data_quality(lake, universe, dates)
    assert (counts[["expected", "received"]] == 6).all().all()
    assert (counts["estimated_vwap"] == 0).all()
