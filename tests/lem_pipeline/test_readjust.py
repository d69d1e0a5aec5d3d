"""A history that the source has adjusted again: it is found however late, fetched whole, and no part stays behind."""

from __future__ import annotations

import datetime as dt
import re
from types import SimpleNamespace

import pandas as pd
import pytest

from lem.lake import Lake
from lem.lineage.revisions import rescaled, store_raw
from lem.sources import open_source
from lem.sources.base import RAW_SCHEMA
from lem.universe import Universe
from lem.universe.calendars import partition_window
from lem_pipeline.planning.revisits import readjust_steps

pytestmark = pytest.mark.usefixtures("empty_pictures")

TODAY = dt.date(2024, 6, 3)
MONDAYS_HOLIDAY = "2024-01-15"
SESSIONS = [f"2024-01-{day:02}" for day in (8, 9, 10, 11, 12, 16, 17, 18, 19)]
BACKFILL = ("backfill", "-u", "york", "--from", "2024-01-08", "--to")
AGAIN = "The source has adjusted the history of some assets again"


def history(dividend=1.0, split=1.0, noise=0.0):
    """A file's rows: `dividend` scales the adjusted closes before the 18th, `split` all prices before it."""
    count = len(SESSIONS)
    early = pd.Series([date < "2024-01-18" for date in SESSIONS])
    close = pd.Series([10 + n % 2 for n in range(count)]) / early.map({True: split, False: 1.0})
    table = {"date": SESSIONS, "open": close, "high": close * 1.1, "low": close * 0.9, "close": close}
    volume = pd.Series(range(100, 100 + count)) * early.map({True: split, False: 1.0})
    adjusted = close * early.map({True: dividend, False: 1.0}) * (1 + noise)
    return pd.DataFrame({**table, "volume": volume, "adj_close": adjusted})


@pytest.fixture
def make(tmp_path, tiny_keys, write_universe, lem_command, monkeypatch):
    """`make(revisit_days=3)`: a folder with the files of AAA and BBB; `lem` there, on TODAY."""
    monkeypatch.setattr("lem_pipeline.cli.app._today", lambda: TODAY)

    def place(first="2024-01-08", **source):
        folder = tmp_path
        columns = {"ts": "date", "quote_volume": "", "adjusted_close": "adj_close"}
        keys = {"kind": "files", "url": "{data}/{symbol}.csv", "columns": columns, "revisit_days": 3, **source}
        universe = tiny_keys(
            name="york",
            calendar="XNYS",
            bar="1d",
            start=first,
            end="2024-01-19",
            assets={"AAA": {}, "BBB": {}},
            source=keys,
            training={"window_days": 20, "holdout_days": 5, "sequence": 12},
        )
        write_universe(folder / "universes", universe)
        (folder / "data").mkdir()

        def says(symbol, table):
            table.to_csv(folder / "data" / f"{symbol}.csv", index=False)

        def lem(*arguments):
            done = lem_command(folder, *arguments)
            assert done.code == 0, done.out + done.err
            assert "check failed" not in done.out
            return re.findall(r"\[\d+/\d+\] (.*?)  \(about ", done.out), done.out

        for symbol in ("AAA", "BBB"):
            says(symbol, history())
        made = SimpleNamespace(folder=folder, says=says, lem=lem, universe=Universe.model_validate(universe))
        made.lake = Lake(str(folder / "home/lake"))
        made.plan = lambda today=TODAY: [
            step.text for step in readjust_steps(made.lake, made.universe, str(folder / "data"), today)
        ]
        return made

    return place


def fetch(place, *dates):
    """Store raw bars as the source has them now."""
    source = open_source(place.universe, str(place.folder / "data"))
    for date in dates:
        day = dt.date.fromisoformat(date)
        for symbol in place.universe.symbols:
            store_raw(place.lake, "york", day, symbol, source.fetch(symbol, *partition_window(day)).table)


def test_a_new_dividend_replaces_the_whole_history_of_its_asset_and_keeps_the_old_one(make):
    place = make()
    fetch(place, *SESSIONS[:5])
    place.says("AAA", history(dividend=0.99))
    steps, out = place.lem(*BACKFILL, "2024-01-17")
    assert AGAIN in out
    assert steps[:4] == [
        "raw_bars  AAA|2024-01-09 ... AAA|2024-01-12",
        "raw_bars  AAA|2024-01-08",
        "raw_bars, bars  AAA|2024-01-15 ... BBB|2024-01-17",
        "bars  AAA|2024-01-08 ... BBB|2024-01-12",
    ]
    kept = place.folder / "home/lake/york/superseded/raw_bars"
    assert [path.name for path in kept.iterdir()] == ["asset=AAA"]
    assert sorted(path.parent.name for path in kept.rglob("*.parquet")) == [f"date={date}" for date in SESSIONS[:5]]
    for asset, factor in (("AAA", 0.99), ("BBB", 1.0)):
        paths = [place.lake.path("york", "bars", dt.date.fromisoformat(date), asset) for date in SESSIONS[:7]]
        closes = pd.concat([place.lake.read_table(path) for path in paths])["close"]
        assert list(closes) == pytest.approx(list(history()["close"][:7] * factor), rel=1e-14)
    assert place.plan() == []


def test_a_new_split_replaces_the_whole_history_too(make):
    place = make()
    fetch(place, *SESSIONS[:5])
    place.says("BBB", history(split=4.0))
    assert place.plan() == ["raw_bars  BBB|2024-01-09 ... BBB|2024-01-12", "raw_bars  BBB|2024-01-08"]


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_it_is_looked_for_before_any_backfill_also_a_forced_one_of_other_days(make, monkeypatch, force):
    place, ran = make(), []
    fetch(place, *SESSIONS[:5])
    place.says("BBB", history(dividend=0.98))

    def keep(runner, steps, keep=True):
        ran.extend(step.text for step in steps)

    monkeypatch.setattr("lem_pipeline.running.execute.run_steps", keep)
    place.lem("backfill", "-u", "york", "--from", "2024-01-17", "--to", "2024-01-19", *force)
    assert ran[:2] == ["raw_bars  BBB|2024-01-09 ... BBB|2024-01-12", "raw_bars  BBB|2024-01-08"]


def test_the_last_digits_of_an_adjusted_close_and_corrected_volume_are_no_readjustment(make):
    place = make()
    fetch(place, *SESSIONS)
    place.says("AAA", history(noise=3e-7))
    place.says("BBB", history().assign(volume=5))
    assert place.plan() == []
    place.says("AAA", history(noise=3e-6))
    assert place.plan()[-1] == "raw_bars  AAA|2024-01-08"


def test_a_run_that_was_stopped_on_the_way_is_found_again_since_the_oldest_day_goes_last(make):
    place = make()
    fetch(place, *SESSIONS)
    place.says("AAA", history(dividend=0.99))
    both = ["raw_bars  AAA|2024-01-09 ... AAA|2024-01-12", "raw_bars  AAA|2024-01-16 ... AAA|2024-01-19"]
    both.append("raw_bars  AAA|2024-01-08")
    for date in [*SESSIONS[1:], SESSIONS[0]]:
        assert place.plan() == both
        fetch(place, date)
    assert place.plan() == []


def test_revisited_days_tell_where_the_oldest_one_was_fetched_anew(make):
    place = make()
    fetch(place, *SESSIONS[:7])
    place.says("AAA", history(dividend=0.99))
    fetch(place, SESSIONS[0])
    assert place.plan() == []
    assert place.plan(today=dt.date(2024, 1, 18))[-1] == "raw_bars  AAA|2024-01-08"


def test_days_without_rows_tell_nothing(make):
    place = make(first=MONDAYS_HOLIDAY)
    assert place.plan() == []
    fetch(place, MONDAYS_HOLIDAY)
    place.says("AAA", history(dividend=0.99))
    assert place.plan() == []
    fetch(place, "2024-01-16", "2024-01-17")
    place.says("AAA", history(dividend=0.97))
    assert place.plan() == ["raw_bars  AAA|2024-01-15", "raw_bars  AAA|2024-01-17", "raw_bars  AAA|2024-01-16"]


def test_history_that_was_stored_without_its_adjustment_or_damaged_is_fetched_again(make):
    place = make()
    fetch(place, *SESSIONS[:5])
    day, source = dt.date(2024, 1, 8), open_source(place.universe, str(place.folder / "data"))
    path = place.lake.path("york", "raw_bars", day, "AAA")
    assert rescaled(place.lake, place.universe, source, "AAA", day) is False
    raw, data = place.lake.read_table(path), place.lake.read_bytes(path)
    place.lake.write_bytes(path, data[:100])
    assert rescaled(place.lake, place.universe, source, "AAA", day) is True
    old = raw.drop(columns="adjustment")
    place.lake.write_table(path, old, RAW_SCHEMA.remove(RAW_SCHEMA.get_field_index("adjustment")))
    assert rescaled(place.lake, place.universe, source, "AAA", day) is True


def test_a_source_that_is_never_revisited_is_not_looked_at(make):
    place = make(revisit_days=0)
    fetch(place, *SESSIONS[:5])
    place.says("AAA", history(dividend=0.99))
    assert place.plan() == []
    for config in ({"kind": "simulated"}, {"kind": "ccxt", "venue": "binance", "bar": "1d"}):
        keys = place.universe.model_dump() | {"source": config}
        assert readjust_steps(place.lake, Universe.model_validate(keys), "", TODAY) == []
