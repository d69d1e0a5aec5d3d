"""A bad day: its error is kept beside the bars, its batch's good days are written, and `lem status` says what to do."""

from __future__ import annotations

import datetime as dt
import re

import pytest

from lem.lake import Lake
from lem.sources.simulated import Simulated

COLUMNS = ["ts", "open", "high", "low", "close", "volume", "quote_volume"]
SPAN = (dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 20, tzinfo=dt.UTC))
BACKFILL = ("backfill", "-u", "tiny", "--from", "2024-01-10", "--to", "2024-01-12")
OUTAGE = {"start": "2024-01-12T04:00:00Z", "end": "2024-01-12T08:00:00Z", "reason": "none made", "assets": ["BBB-USD"]}
SOURCE = {"kind": "files", "url": "{data}/{symbol}.csv"}


@pytest.fixture(scope="module")
def market(make_universe, tiny_keys):
    """Bars of both assets as a file has them, by symbol."""
    source = Simulated(make_universe(**tiny_keys()))
    return {
        symbol: source.fetch(symbol, *SPAN).table[COLUMNS].assign(ts=lambda t: t["ts"].dt.strftime("%FT%TZ"))
        for symbol in ("AAA-USD", "BBB-USD")
    }


def write(folder, symbol, table):
    table.to_csv(folder / "data" / f"{symbol}.csv", index=False)


def bars(folder, symbol):
    """Dates whose bars are in the lake."""
    names = Lake(str(folder / "home" / "lake")).names(f"tiny/bars/asset={symbol}")
    return [name.removeprefix("date=").removesuffix(".parquet") for name in names]


def test_bad_days_are_quarantined_until_they_are_repaired(tmp_path, market, tiny_keys, write_universe, lem_command):
    write_universe(tmp_path / "universes", tiny_keys(source=SOURCE))
    (tmp_path / "data").mkdir()
    negative = market["AAA-USD"].copy()
    negative.loc[9 * 6 + 2, "low"] = -5.0
    write(tmp_path, "AAA-USD", negative)
    write(tmp_path, "BBB-USD", market["BBB-USD"].drop(index=11 * 6 + 1))

    done = lem_command(tmp_path, *BACKFILL)
    assert done.code == 1
    assert done.err.startswith("error: tiny/AAA-USD 2024-01-10: 1 problem(s) in these bars")
    assert "1 more partition(s) break rules: BBB-USD|2024-01-12; they are listed by: lem status -u" in done.err
    days = [f"2024-01-{n:02}" for n in range(5, 13)]
    assert bars(tmp_path, "AAA-USD") == [day for day in days if day != "2024-01-10"]
    assert bars(tmp_path, "BBB-USD") == days[:-1]
    errors = tmp_path / "home/lake/tiny/quarantine"
    bad = {str(path.relative_to(errors)): path.read_text() for path in errors.rglob("*.txt")}
    assert set(bad) == {"asset=AAA-USD/date=2024-01-10.txt", "asset=BBB-USD/date=2024-01-12.txt"}
    assert bad["asset=AAA-USD/date=2024-01-10.txt"].rstrip() in done.err
    assert "missing bars: 1 from 2024-01-12 04:00" in bad["asset=BBB-USD/date=2024-01-12.txt"]

    status = lem_command(tmp_path, "status", "-u", "tiny")
    assert status.code == 0
    rows = {line.split("│")[1].strip(): line.split("│")[2:-1] for line in status.out.splitlines() if "│" in line}
    assert [cell.strip() for cell in rows["bars"]] == ["14", "2024-01-05", "2024-01-12", "0", "0", "2"]
    assert "quarantined bars: AAA-USD|2024-01-10, BBB-USD|2024-01-12; what is wrong: " in status.out
    repair = "lem backfill --universe tiny --from 2024-01-10 --to 2024-01-12"
    assert f"correct the source, or do what is said there, then: {repair}\n" in status.out

    write(tmp_path, "AAA-USD", market["AAA-USD"])
    write_universe(tmp_path / "universes", tiny_keys(source=SOURCE, outages=[OUTAGE]))
    done = lem_command(tmp_path, *repair.split()[1:])
    assert done.code == 0, done.err
    assert bars(tmp_path, "AAA-USD") == bars(tmp_path, "BBB-USD") == days
    assert not list(errors.rglob("*.txt"))
    assert "quarantined bars" not in lem_command(tmp_path, "status", "-u", "tiny").out


@pytest.mark.thorough
def test_good_bars_stay_when_the_source_revises_their_day_into_a_bad_one(
    tmp_path, market, tiny_keys, write_universe, lem_command, monkeypatch
):
    monkeypatch.setattr("lem_pipeline.cli.app._today", lambda: dt.date(2024, 1, 13))
    write_universe(tmp_path / "universes", tiny_keys(source={**SOURCE, "revisit_days": 3}))
    (tmp_path / "data").mkdir()
    for symbol, table in market.items():
        write(tmp_path, symbol, table)
    assert lem_command(tmp_path, *BACKFILL).code == 0
    lake = Lake(str(tmp_path / "home" / "lake"))
    path = lake.path("tiny", "bars", dt.date(2024, 1, 12), "BBB-USD")
    before = lake.read_bytes(path)
    revised = market["BBB-USD"].copy()
    revised.loc[11 * 6 + 1, "high"] = 0.5 * revised.loc[11 * 6 + 1, "low"]
    write(tmp_path, "BBB-USD", revised)
    for _ in range(2):
        done = lem_command(tmp_path, *BACKFILL)
        assert done.code == 1
        assert re.search(r"error: tiny/BBB-USD 2024-01-12: \d problem\(s\) in these bars", done.err)
        assert lake.read_bytes(path) == before
    out = lem_command(tmp_path, "status", "-u", "tiny").out
    assert "quarantined bars: BBB-USD|2024-01-12; " in out
    assert "stale bars" not in out
