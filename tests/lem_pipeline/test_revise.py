"""Revisions of the source through `lem run`: what read a changed partition is made again, and nothing else."""

from __future__ import annotations

import datetime as dt
import re
import shutil

import pytest

from lem.lake import Lake
from lem.lineage.revisions import store_raw
from lem.lineage.stages import stage_named
from lem.registry import Registry
from lem.sources.simulated import Simulated
from lem_pipeline.planning.plan import data_steps
from lem_pipeline.planning.revisits import outdated_steps, revisit_steps, revisited

pytestmark = pytest.mark.usefixtures("empty_pictures")

COLUMNS = ["ts", "open", "high", "low", "close", "volume", "quote_volume"]
SPAN = (dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 20, tzinfo=dt.UTC))
TODAY = dt.date(2024, 1, 20)
MODELS = (dt.date(2024, 1, 17), dt.date(2024, 1, 18))
RUN = ("run", "-u", "tiny", "-d", "2024-01-18")


def source(days):
    return {"kind": "files", "url": "{data}/{symbol}.csv", "revisit_days": days}


@pytest.fixture(scope="module")
def market(make_universe, tiny_keys):
    """Bars of both assets as a file has them, by symbol."""
    simulated = Simulated(make_universe(**tiny_keys()))
    return {
        symbol: simulated.fetch(symbol, *SPAN).table[COLUMNS].assign(ts=lambda t: t["ts"].dt.strftime("%FT%TZ"))
        for symbol in ("AAA-USD", "BBB-USD")
    }


@pytest.fixture
def make(tmp_path, market, tiny_keys, write_universe, lem_command, monkeypatch):
    """`make("name", 3)`: a folder with both files and a universe that revisits three days; `lem` there, on TODAY."""
    monkeypatch.setattr("lem_pipeline.cli.app._today", lambda: TODAY)

    def place(name, days, changes=None):
        folder = tmp_path / name
        write_universe(folder / "universes", tiny_keys(source=source(days)))
        (folder / "data").mkdir()
        for symbol, table in market.items():
            (changes or {}).get(symbol, table).to_csv(folder / "data" / f"{symbol}.csv", index=False)

        def run(*arguments):
            done = lem_command(folder, *(arguments or RUN))
            assert done.code == 0, done.out + done.err
            assert "check failed" not in done.out
            return re.findall(r"\[\d+/\d+\] (.*?)  \(about ", done.out), done.out

        return folder, run

    return place


def doubled(table, number):
    """The same bars with twice the volume in the first bar of a January day."""
    out = table.copy()
    row = out.index[out["ts"] == f"2024-01-{number:02}T00:00:00Z"]
    out.loc[row, ["volume", "quote_volume"]] *= 2
    return out


def made(folder):
    """Data version of every partition, by path and without where the rows came from; models and decisions."""
    lake = Lake(str(folder / "home" / "lake"))
    registry = Registry(f"sqlite:///{folder}/home/registry.sqlite")
    found = {}
    for table in ("bars", "features", "panel", "backtest"):
        for path in sorted((folder / "home/lake/tiny" / table).rglob("*.parquet")):
            name = str(path.relative_to(lake.root))
            found[name] = lake.read_versioned(name)[1]
    models = {date: registry.candidate("tiny", date).weights_sha256 for date in MODELS}
    decisions = {p.date: (p.decision, p.reasons, p.figures) for p in registry.promotions("tiny")}
    return found, models, decisions


def test_the_days_that_may_be_revised_are_the_last_ones_before_today(make_universe, tiny_keys):
    universe = make_universe(**tiny_keys(source=source(3)))
    dates = [dt.date(2024, 1, n) for n in range(10, 20)]
    assert revisited(universe, dates, TODAY) == dates[-3:]
    assert revisited(universe, dates[:5], TODAY) == []
    assert revisited(universe, dates, dt.date(2024, 3, 1)) == []
    assert revisited(make_universe(**tiny_keys(source=source(0))), dates, TODAY) == []
    assert revisited(make_universe(**tiny_keys()), dates, TODAY) == []


def test_what_is_not_in_the_lake_yet_is_not_fetched_again(tmp_path, make_universe, tiny_keys):
    universe, lake = make_universe(**tiny_keys(source=source(3))), Lake(str(tmp_path))
    dates = [dt.date(2024, 1, n) for n in range(10, 20)]
    assert revisit_steps(lake, universe, dates, TODAY) == []
    for symbol in universe.symbols:
        lake.write_bytes(lake.path("tiny", "raw_bars", dates[-1], symbol), b"x")
    (step,) = revisit_steps(lake, universe, dates, TODAY)
    assert step.text == "raw_bars  AAA-USD|2024-01-19 ... BBB-USD|2024-01-19"
    # What one asset lacks keeps nobody from fetching again what the other one has.
    lake.write_bytes(lake.path("tiny", "raw_bars", dates[-2], "BBB-USD"), b"x")
    steps = revisit_steps(lake, universe, dates, TODAY)
    assert [step.text for step in steps] == [
        "raw_bars  AAA-USD|2024-01-19",
        "raw_bars  BBB-USD|2024-01-18 ... BBB-USD|2024-01-19",
    ]


def test_revised_bars_of_a_date_that_an_asset_lacks_are_left_to_the_plan(tiny_home, tmp_path):
    shutil.copytree(tiny_home.folder / "home/lake", tmp_path, dirs_exist_ok=True)
    universe, lake = tiny_home.universe, Lake(str(tmp_path))
    dates = [dt.date(2024, 1, 11), dt.date(2024, 1, 12)]
    assert outdated_steps(lake, universe, stage_named("bars"), dates) == []
    for date in dates:
        raw = lake.read_table(lake.path("tiny", "raw_bars", date, "AAA-USD"))
        store_raw(lake, "tiny", date, "AAA-USD", raw.assign(source="elsewhere"))
    lake.remove(lake.path("tiny", "raw_bars", dates[1], "BBB-USD"))
    (step,) = outdated_steps(lake, universe, stage_named("bars"), dates)
    assert step.text == "bars  AAA-USD|2024-01-11 ... BBB-USD|2024-01-11"
    steps = data_steps(lake, universe, dict.fromkeys(("raw_bars", "bars", "features", "panel"), dates), False)
    assert [step.text for step in steps[:2]] == [
        "raw_bars  BBB-USD|2024-01-12",
        "bars  AAA-USD|2024-01-11 ... BBB-USD|2024-01-12",
    ]


@pytest.mark.slow
def test_revised_days_are_made_again_with_all_that_reads_them_as_if_they_had_always_been_so(make, market):
    folder, run = make("place", 10)
    steps, _ = run()
    assert len(steps) == 9
    again = "raw_bars  AAA-USD|2024-01-10 ... BBB-USD|2024-01-19"

    steps, out = run()
    assert steps == [again]
    assert "Everything is there already." in out

    market["AAA-USD"].iloc[[*range(114), 113]].to_csv(folder / "data/AAA-USD.csv", index=False)
    steps, out = run()
    assert steps == [again, "bars  AAA-USD|2024-01-19 ... BBB-USD|2024-01-19"]
    assert "Everything is there already." in out

    late = doubled(market["AAA-USD"], 18)
    late.to_csv(folder / "data/AAA-USD.csv", index=False)
    steps, _ = run()
    assert steps == [
        again,
        "bars  AAA-USD|2024-01-18 ... BBB-USD|2024-01-19",
        "features  AAA-USD|2024-01-18 ... BBB-USD|2024-01-19",
        "panel  2024-01-18 ... 2024-01-19",
        "backtest  AAA-USD|2024-01-17 ... BBB-USD|2024-01-18",
        "execution_report  2024-01-18",
    ]

    early = doubled(late, 12)
    early.to_csv(folder / "data/AAA-USD.csv", index=False)
    steps, _ = run()
    assert steps[:2] == [again, "bars  AAA-USD|2024-01-12 ... BBB-USD|2024-01-12"]
    assert [step.split()[0] for step in steps[2:]] == [
        *("features", "panel", "lem_model", "champion", "lem_model", "champion", "backtest", "execution_report")
    ]
    kept = folder / "home/lake/tiny/superseded/raw_bars/asset=AAA-USD"
    assert {path.name: len(list(path.iterdir())) for path in kept.iterdir()} == {
        "date=2024-01-12": 1,
        "date=2024-01-18": 1,
        "date=2024-01-19": 2,
    }
    assert run()[0] == [again]

    other, fresh = make("other", 0, {"AAA-USD": early})
    fresh()
    assert made(folder) == made(other)


def test_a_backfill_makes_revised_days_again(make, market):
    folder, run = make("place", 3)
    backfill = ("backfill", "-u", "tiny", "--from", "2024-01-18", "--to", "2024-01-19")
    run(*backfill)
    doubled(market["BBB-USD"], 19).to_csv(folder / "data/BBB-USD.csv", index=False)
    steps, _ = run(*backfill)
    assert steps == [
        "raw_bars  AAA-USD|2024-01-17 ... BBB-USD|2024-01-19",
        "bars  AAA-USD|2024-01-19 ... BBB-USD|2024-01-19",
        "features  AAA-USD|2024-01-19 ... BBB-USD|2024-01-19",
        "panel  2024-01-19",
    ]


@pytest.mark.thorough
def test_a_forced_backfill_of_revised_days_leaves_no_backtest_of_them_behind(make, market):
    folder, run = make("place", 0)
    run()
    doubled(market["BBB-USD"], 18).to_csv(folder / "data/BBB-USD.csv", index=False)
    backfill = ("backfill", "-u", "tiny", "--from", "2024-01-17", "--to", "2024-01-19", "--force")
    steps, out = run(*backfill)
    assert steps[-1] == "backtest  AAA-USD|2024-01-17 ... BBB-USD|2024-01-18"
    assert "Making backtests again: what they are made from has changed." in out
    assert "stale backtest" not in run("status", "-u", "tiny")[1]
    assert "backtest" not in "".join(run(*backfill)[0]), "same bars give the same bytes"


def test_a_run_that_was_stopped_after_the_fetch_is_taken_up_where_it_was(make):
    folder, run = make("place", 0)
    backfill = ("backfill", "-u", "tiny", "--from", "2024-01-18", "--to", "2024-01-19")
    run(*backfill)
    lake = Lake(str(folder / "home" / "lake"))
    date = dt.date(2024, 1, 19)
    table = lake.read_table(lake.path("tiny", "raw_bars", date, "AAA-USD"))
    table[["volume", "quote_volume"]] *= 2
    store_raw(lake, "tiny", date, "AAA-USD", table)
    _, out = run("status", "-u", "tiny")
    command = "lem backfill --universe tiny --from 2024-01-19 --to 2024-01-19"
    assert "stale bars: AAA-USD|2024-01-19; what they are made from or their code has changed" in out
    assert f"make them again with: {command}" in out
    steps, _ = run(*command.split()[1:])
    assert [step.split()[0] for step in steps] == ["bars", "features", "panel"]
    assert "stale bars" not in run("status", "-u", "tiny")[1]
