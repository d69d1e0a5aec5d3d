"""A changed `[source]`, through the command: one table holds one price series, and what can be done is told."""

from __future__ import annotations

import datetime as dt
import json
import re

import pytest

from lem.lake import Lake
from lem.lineage.versions import Versioned
from lem.sources import open_source
from lem.universe import load_universe
from lem.universe.calendars import partition_window

pytestmark = pytest.mark.usefixtures("empty_pictures")

TODAY = dt.date(2024, 1, 20)


@pytest.fixture
def home(tmp_path, tiny_keys, write_universe, lem_command, monkeypatch):
    """`home(seed=4)` writes the universe with other keys of its source; `home.lem(...)` runs the command."""
    monkeypatch.setattr("lem_pipeline.cli.app._today", lambda: TODAY)

    class Home:
        lake = Lake(str(tmp_path / "home" / "lake"))

        def __call__(self, assets=None, **source):
            keys = {"source": {"kind": "simulated", "seed": 3, **source}, "settle_days": 0}
            path = write_universe(tmp_path / "universes", tiny_keys(assets=assets or {"AAA-USD": {}}, **keys))
            self.universe = load_universe(path)
            return self

        def lem(self, *arguments):
            done = lem_command(tmp_path, *arguments)
            return done.code, " ".join((done.out + done.err).split())

        def backfill(self, first, last):
            return self.lem("backfill", "-u", "tiny", "--from", f"2024-01-{first:02}", "--to", f"2024-01-{last:02}")

        def closes(self, day):
            path = self.lake.path("tiny", "raw_bars", dt.date(2024, 1, day), "AAA-USD")
            return list(self.lake.read_table(path)["close"])

        def wanted(self, day):
            window = partition_window(dt.date(2024, 1, day))
            return list(open_source(self.universe, "").fetch("AAA-USD", *window).table["close"])

        def stale(self):
            dates = [dt.date(2024, 1, day) for day in range(1, 20)]
            return sorted(date.day for date in Versioned(self.lake, self.universe).stale("raw_bars", dates))

        def note(self):
            return tmp_path / "home" / "lake" / "tiny" / "raw_sources" / "asset=AAA-USD.json"

    return Home()


@pytest.mark.thorough
def test_days_of_another_source_are_not_added_and_the_advice_ends_in_one_series(home):
    assert home().backfill(1, 6)[0] == 0
    assert home.stale() == []
    home(seed=4)
    assert home.stale() == [1, 2, 3, 4, 5, 6]
    before = home.closes(6)
    code, out = home.backfill(12, 14)
    assert code == 1
    assert "[source] has changed: " in out
    assert "seed = 3" in out
    assert "seed = 4" in out
    assert home.closes(6) == before
    assert not home.lake.exists(home.lake.path("tiny", "raw_bars", dt.date(2024, 1, 14), "AAA-USD"))
    assert "what they are made from" in home.lem("status", "-u", "tiny")[1]
    advice = re.search(r"with: lem (backfill --universe tiny --from (\S+) --to ([^\s;]+))", out)
    code, out = home.lem(*advice[1].split())
    assert code == 0, out
    assert "fetching again what is stored from another one" in out
    assert home.backfill(12, 14)[0] == 0
    assert home.stale() == []
    for day in (1, 6, 14):
        assert home.closes(day) == home.wanted(day)


@pytest.mark.slow
def test_the_source_put_back_goes_on_as_if_nothing_had_been(home):
    home().backfill(1, 3)
    home(seed=4)
    assert home.backfill(8, 8)[0] == 1
    home()
    assert home.backfill(8, 8)[0] == 0
    assert home.stale() == []


@pytest.mark.slow
def test_a_range_that_holds_all_older_days_is_fetched_again_at_once(home):
    home().backfill(1, 3)
    home(seed=4)
    code, out = home.backfill(1, 5)
    assert code == 0, out
    assert [home.closes(day) == home.wanted(day) for day in range(1, 6)] == [True] * 5
    assert json.loads(home.note().read_text())["source"]["seed"] == 4


def test_days_that_an_earlier_version_stored_count_as_of_the_source_that_is_first_seen(home):
    home().backfill(1, 3)
    for day in (1, 2, 3):
        path = home.lake.path("tiny", "raw_bars", dt.date(2024, 1, day), "AAA-USD")
        from lem.sources import RAW_SCHEMA

        home.lake.write_table(path, home.lake.read_table(path), RAW_SCHEMA)
    home.note().unlink()
    assert home.stale() == []
    assert home.backfill(4, 4)[0] == 0
    assert home.stale() == []
    home(seed=4)
    assert home.stale() == [1, 2, 3, 4]
    assert home.backfill(9, 9)[0] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "files", "url": "{data}/{symbol}.csv"},
        {"daily_volatility": 0.05},
        pytest.param({"steps_per_bar": 30}, marks=pytest.mark.slow),
        pytest.param({"mode": "brownian"}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_every_key_on_which_bars_depend_makes_older_days_stale(home, change):
    home().backfill(1, 1)
    universe = home.universe.model_dump(mode="json")
    universe["source"] = change if "kind" in change else {"kind": "simulated", "seed": 3, **change}
    home.universe = type(home.universe).model_validate(universe)
    assert home.stale() == [1]
