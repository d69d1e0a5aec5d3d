"""Days that break a rule: which ones, where their errors lie, and what takes them away again."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from lem.data.bars import validate_bars
from lem.errors import BarsError, UniverseError
from lem.lake import Lake
from lem.lineage.quarantine import judge_days, quarantine_path, quarantined, refuse_quarantined, set_quarantine
from lem.sources.simulated import Simulated

DAYS = [dt.date(2024, 1, n) for n in (10, 11, 12)]
START = dt.datetime(2024, 1, 10, tzinfo=dt.UTC)


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path))


@pytest.fixture(scope="module")
def raw(make_universe):
    """Raw bars of three days."""
    source = Simulated(make_universe())
    windows = [(START + dt.timedelta(days=n), START + dt.timedelta(days=n + 1)) for n in range(3)]
    return {day: source.fetch("AAA-USD", *window).table for day, window in zip(DAYS, windows, strict=True)}


def test_good_days_are_all_good(raw, make_universe):
    good, bad = judge_days(raw, make_universe(), "AAA-USD")
    assert (list(good), bad) == (DAYS, {})


def test_a_bad_day_does_not_take_the_others_with_it_and_they_are_what_they_are_alone(raw, make_universe):
    universe = make_universe()
    days = raw | {DAYS[1]: raw[DAYS[1]].drop(index=5), DAYS[2]: raw[DAYS[2]].assign(low=-1.0)}
    good, bad = judge_days(days, universe, "AAA-USD")
    assert list(good) == DAYS[:1]
    alone = validate_bars(raw[DAYS[0]], universe, "AAA-USD", DAYS[0])
    pd.testing.assert_frame_equal(good[DAYS[0]].table, alone.table)
    assert good[DAYS[0]].counts == alone.counts
    assert set(bad) == set(DAYS[1:])
    assert "missing bars: 1 from 2024-01-11 05:00" in bad[DAYS[1]]
    assert "price > 0" in bad[DAYS[2]]


def test_an_unknown_asset_is_no_bad_day(raw, make_universe):
    with pytest.raises(UniverseError, match="no asset 'CCC-USD'"):
        judge_days(raw, make_universe(), "CCC-USD")


def test_an_error_stays_until_its_day_is_good_and_good_days_leave_others_alone(lake, make_universe):
    universe = make_universe()
    assert quarantined(lake, universe) == []
    set_quarantine(lake, "small", "BBB-USD", [], {DAYS[0]: "one bar is missing"})
    set_quarantine(lake, "small", "AAA-USD", [DAYS[0]], {DAYS[2]: "first", DAYS[1]: "second"})
    assert quarantined(lake, universe) == [("AAA-USD", DAYS[1]), ("AAA-USD", DAYS[2]), ("BBB-USD", DAYS[0])]
    path = quarantine_path("small", DAYS[2], "AAA-USD")
    assert path == "small/quarantine/asset=AAA-USD/date=2024-01-12.txt"
    assert lake.read_bytes(path) == b"first\n"
    set_quarantine(lake, "small", "AAA-USD", [], {DAYS[2]: "another one"})
    assert lake.read_bytes(path) == b"another one\n"
    set_quarantine(lake, "small", "AAA-USD", DAYS[1:], {})
    assert quarantined(lake, universe) == [("BBB-USD", DAYS[0])]


def test_good_days_are_not_looked_for_one_by_one(lake, monkeypatch):
    monkeypatch.setattr(lake, "remove", lambda path: pytest.fail(f"{path} is not there"))
    set_quarantine(lake, "small", "AAA-USD", DAYS, {})


def test_what_else_lies_there_is_no_quarantined_day(lake, make_universe):
    lake.write_bytes("small/quarantine/asset=AAA-USD/notes.txt", b"x")
    assert quarantined(lake, make_universe()) == []


def test_the_first_error_is_raised_and_the_other_days_are_named():
    refuse_quarantined("small", {})
    with pytest.raises(BarsError) as one:
        refuse_quarantined("small", {"AAA-USD|2024-01-10": "bars are missing"})
    assert str(one.value) == "bars are missing"
    errors = {f"AAA-USD|2024-01-{n}": f"error {n}" for n in range(24, 9, -1)}
    with pytest.raises(BarsError) as many:
        refuse_quarantined("small", errors)
    text = str(many.value)
    assert text.startswith("error 10\n14 more partition(s) break rules: AAA-USD|2024-01-11, ")
    assert text.endswith("AAA-USD|2024-01-22 and others; they are listed by: lem status -u small")
    with pytest.raises(BarsError, match=r"\n1 more .*: AAA-USD\|2024-01-11; they are listed by: lem status -u small$"):
        refuse_quarantined("small", {key: errors[key] for key in list(errors)[-2:]})
