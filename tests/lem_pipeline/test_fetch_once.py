"""What is fetched: what is not there yet or broke a rule, and nothing that a run which was stopped has fetched."""

from __future__ import annotations

import datetime as dt
import shutil
from collections import Counter

import pytest

from lem.errors import SourceError
from lem.lake import Lake
from lem.lineage.quarantine import set_quarantine
from lem.lineage.revisions import store_raw
from lem.lineage.stages import stage_named
from lem.lineage.versions import Versioned
from lem.sources.simulated import Simulated
from lem_pipeline.planning.absent import absent_by_asset, to_fetch
from lem_pipeline.planning.plan import data_steps

DAYS = [dt.date(2024, 1, n) for n in range(7, 15)]
WANTED = {"raw_bars": DAYS, "bars": DAYS, "features": DAYS[-3:], "panel": DAYS[-3:]}
BACKFILL = ("backfill", "-u", "tiny", "--from", "2024-01-10", "--to", "2024-01-13")


def day(number):
    return dt.date(2024, 1, number)


@pytest.fixture
def lake(tiny_home, tmp_path):
    """A copy of the tiny universe's lake."""
    shutil.copytree(tiny_home.folder / "home/lake", tmp_path, dirs_exist_ok=True)
    return Lake(str(tmp_path))


@pytest.fixture
def fetched(lake, tiny_home):
    """What is fetched of DAYS, by asset, and the numbers of the days."""

    def found():
        wanted = to_fetch(lake, Versioned(lake, tiny_home.universe), tiny_home.universe, stage_named("raw_bars"), DAYS)
        return {asset: sorted(date.day for date in dates) for asset, dates in wanted.items()}

    return found


def test_raw_bars_that_a_stopped_run_has_fetched_are_not_fetched_again(tmp_path, make_universe, tiny_keys):
    assets = {f"{name}-USD": {} for name in ("AAA", "BBB", "CCC", "DDD")}
    universe, lake = make_universe(**tiny_keys(assets=assets)), Lake(str(tmp_path))
    for symbol, dates in (("AAA-USD", DAYS[:-1]), ("BBB-USD", DAYS[:3])):
        for date in dates:
            lake.write_bytes(lake.path("tiny", "raw_bars", date, symbol), b"x")
    steps = data_steps(lake, universe, WANTED, False)
    assert [step.text for step in steps] == [
        "raw_bars  BBB-USD|2024-01-10 ... BBB-USD|2024-01-13",
        "raw_bars  CCC-USD|2024-01-07 ... DDD-USD|2024-01-13",
        "raw_bars, bars  AAA-USD|2024-01-14 ... DDD-USD|2024-01-14",
        "bars  AAA-USD|2024-01-07 ... DDD-USD|2024-01-13",
        "features  AAA-USD|2024-01-12 ... DDD-USD|2024-01-14",
        "panel  2024-01-12 ... 2024-01-14",
    ]
    assert data_steps(lake, universe, WANTED, True)[0].text == "raw_bars, bars  AAA-USD|2024-01-07 ... " + (
        "DDD-USD|2024-01-14"
    )


@pytest.mark.parametrize("stop", [0, 11, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 5, 17))])
def test_a_backfill_that_is_taken_up_again_fetches_each_partition_once(
    stop, tmp_path, tiny_keys, write_universe, lem_command, monkeypatch
):
    write_universe(tmp_path / "universes", tiny_keys())
    real, asked = Simulated.fetch, Counter()

    def fetch(self, symbol, start, end):
        if asked.total() == stop and not stopped:
            stopped.append(True)
            raise SourceError("the venue is away")
        asked[f"{symbol}|{start.date()}"] += 1
        return real(self, symbol, start, end)

    stopped = []
    monkeypatch.setattr(Simulated, "fetch", fetch)
    done = lem_command(tmp_path, *BACKFILL)
    assert (done.code, "the venue is away" in done.err) == (1, True)
    done = lem_command(tmp_path, *BACKFILL)
    assert done.code == 0, done.err
    keys = [f"{asset}|2024-01-{n:02}" for asset in ("AAA-USD", "BBB-USD") for n in range(5, 14)]
    assert asked == dict.fromkeys(keys, 1)


def test_absent_partitions_are_told_by_asset(lake, tiny_home):
    universe = tiny_home.universe
    assert absent_by_asset(lake, universe, "bars", DAYS) == {"AAA-USD": set(), "BBB-USD": set()}
    lake.remove(lake.path("tiny", "bars", day(9), "BBB-USD"))
    assert absent_by_asset(lake, universe, "bars", DAYS) == {"AAA-USD": set(), "BBB-USD": {day(9)}}


def test_bars_that_are_lost_are_made_of_the_raw_bars_that_are_there(lake, fetched):
    lake.remove(lake.path("tiny", "bars", day(9), "BBB-USD"))
    assert fetched() == {"AAA-USD": [], "BBB-USD": []}


def test_a_day_that_broke_a_rule_is_fetched_again_since_the_source_may_have_corrected_it(lake, fetched):
    set_quarantine(lake, "tiny", "BBB-USD", [], {day(9): "a negative price", day(20): "another one"})
    assert fetched() == {"AAA-USD": [], "BBB-USD": []}, "its bars are as they should be"
    lake.remove(lake.path("tiny", "bars", day(9), "BBB-USD"))
    assert fetched() == {"AAA-USD": [], "BBB-USD": [9]}


def test_a_day_that_was_revised_into_a_bad_one_is_fetched_again(lake, fetched):
    raw = lake.read_table(lake.path("tiny", "raw_bars", day(9), "BBB-USD"))
    store_raw(lake, "tiny", day(9), "BBB-USD", raw.assign(source="elsewhere"))
    assert fetched() == {"AAA-USD": [], "BBB-USD": []}, "revised, and not yet validated again"
    set_quarantine(lake, "tiny", "BBB-USD", [], {day(9): "a negative price"})
    assert fetched() == {"AAA-USD": [], "BBB-USD": [9]}
