"""Bad input, end to end through the `lem` command: one message that can be acted on, and nothing half-written."""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from lem.lake import Lake
from lem.lake.fences import FILE
from lem.sources.simulated import Simulated

COLUMNS = ("ts", "open", "high", "low", "close", "volume", "quote_volume")
SPAN = (dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 20, tzinfo=dt.UTC))
BACKFILL = ("backfill", "-u", "tiny", "--from", "2024-01-10", "--to", "2024-01-10")
ROW = 9 * 6 + 2  # data row 57, counted from 1: the bar of 2024-01-10 08:00


@pytest.fixture(scope="module")
def market(make_universe, tiny_keys):
    """Bars of both assets as a file has them, by symbol."""
    source = Simulated(make_universe(**tiny_keys()))
    return {
        symbol: source.fetch(symbol, *SPAN).table[list(COLUMNS)].assign(ts=lambda t: t["ts"].dt.strftime("%FT%TZ"))
        for symbol in ("AAA-USD", "BBB-USD")
    }


@pytest.fixture
def place(tmp_path, market, tiny_keys, write_universe):
    """A folder with a universe of two CSV files, both in order."""
    keys = tiny_keys(source={"kind": "files", "url": "{data}/{symbol}.csv"})
    write_universe(tmp_path / "universes", keys)
    (tmp_path / "data").mkdir()
    for symbol, table in market.items():
        table.to_csv(tmp_path / "data" / f"{symbol}.csv", index=False)
    return tmp_path


def one_message(done, *expected):
    """The command failed with one message and no traceback; the message holds all that is expected."""
    assert done.code == 1, done.out + done.err
    assert "Traceback" not in done.out + done.err
    assert done.err.count("error:") == 1
    assert done.err.startswith("error: ")
    for pattern in expected:
        assert re.search(pattern, done.err), f"{pattern!r} is not in: {done.err}"
    return done.err


NOTES = {"quarantine", "doubts", "wholes", "raw_sources"}
OF_A_ROW = ("mixed time units", "text for a time", "text for a number")


def partitions(folder: Path):
    """Every table of the lake, read and verified; beside them are the notes of sources and days, nothing temporary."""
    root = folder / "home" / "lake"
    files = sorted(path for path in root.rglob("*") if path.is_file() and not NOTES & set(path.parts))
    files = [path for path in files if not path.name.startswith(FILE)]  # the tokens of the steps that write
    assert [path for path in files if path.suffix != ".parquet"] == []
    lake = Lake(str(root))
    for path in files:
        lake.read_table(str(path.relative_to(root)))
    return {tuple(path.relative_to(root / "tiny").parts) for path in files}


def edit(name, change):
    """A change of the first asset's table, as text."""

    def make(table, path):
        table = table.astype(str)
        changed = change(table)
        (table if changed is None else changed).to_csv(path, index=False)

    return pytest.param(make, id=name)


def cell(column, value):
    def change(table):
        table.loc[ROW, column] = value

    return change


def swap(table):
    table.loc[[ROW, ROW + 1]] = table.loc[[ROW + 1, ROW]].to_numpy()


def conflict(table):
    again = table.loc[ROW].copy()
    again["volume"] = "1"
    table.loc[len(table)] = again


def hole(table):
    return table.drop(index=ROW)


BROKEN_BARS = [
    (edit("negative price", cell("low", "-5")), (r"price > 0: .*AAA-USD\.csv:57 \(",)),
    (edit("price that is no number", cell("close", "nan")), (r"prices are finite: .*AAA-USD\.csv:57 \(",)),
    (edit("infinite price", cell("high", "inf")), (r"prices are finite: .*AAA-USD\.csv:57 \(",)),
    (edit("high below low", cell("high", "0.01")), (r"low <= min\(open, close\).*: .*AAA-USD\.csv:57 \(",)),
    (edit("negative volume", cell("volume", "-1")), (r"volume is finite and >= 0: .*AAA-USD\.csv:57 \(",)),
    (
        edit("time that goes back", swap),
        (r"time strictly increasing: .*AAA-USD\.csv:58 \(2024-01-10 08:00 follows a later bar\)",),
    ),
    (
        edit("conflicting duplicates", conflict),
        (r"conflicting duplicates of 2024-01-10 08:00: .*AAA-USD\.csv:57 .* and .*AAA-USD\.csv:115 ",),
    ),
    (
        edit("bar off the grid", cell("ts", "2024-01-10T08:00:01Z")),
        (r"bar open on the grid: .*AAA-USD\.csv:57 \(2024-01-10 08:00:01", r"allowed: 2024-01-10 00:00 and every 4h"),
    ),
    (
        edit("missing bar", hole),
        (
            r"missing bars: 1 from 2024-01-10 08:00 to 2024-01-10 12:00 UTC",
            r"\[\[outages\]\]\n    start = 2024-01-10T08:00:00Z\n    end = 2024-01-10T12:00:00Z",
        ),
    ),
]


@pytest.mark.parametrize(("make", "expected"), [pytest.param(c.values[0], e, id=c.id) for c, e in BROKEN_BARS])
def test_a_broken_bar_stops_its_day_with_file_row_and_rule(make, expected, place, market, lem_command):
    make(market["AAA-USD"], place / "data" / "AAA-USD.csv")
    done = lem_command(place, *BACKFILL)
    one_message(done, r"tiny/AAA-USD 2024-01-10: \d+ problem\(s\) in these bars", *expected)
    there = partitions(place)
    assert ("raw_bars", "asset=AAA-USD", "date=2024-01-10.parquet") in there
    assert ("bars", "asset=AAA-USD", "date=2024-01-10.parquet") not in there
    assert not {path[0] for path in there} & {"features", "panel"}


def truncated(table, path):
    table.to_parquet(path.with_suffix(".parquet"))
    path.with_suffix(".parquet").write_bytes(path.with_suffix(".parquet").read_bytes()[:-100])


def mixed_units(table):
    table["ts"] = (pd.to_datetime(table["ts"]).astype("datetime64[s, UTC]").astype("int64")).astype(str)
    table.loc[ROW, "ts"] += "000"


def no_unit(table):
    table["ts"] = "17"


NO_TABLE = [
    (edit("missing column", lambda t: t.drop(columns="low")), (r"no column 'low': set source\.columns\.low",)),
    (edit("mixed time units", mixed_units), (r"row 57, column 'ts': '1704873600000' is not in s as row 1 is",)),
    (edit("unknown time unit", no_unit), (r"row 1, column 'ts': '17' is in no unit a time; allowed: s, ms, us, ns",)),
    (edit("text for a time", cell("ts", "noon")), (r"row 57, column 'ts': 'noon' is no time; allowed: ISO 8601",)),
    (edit("text for a number", cell("open", "12,5")), (r"row 57, column 'open': '12,5' is not a number; allowed",)),
    (pytest.param(lambda t, path: path.write_text(""), id="empty file"), (r"the file is empty \(0 bytes\); allowed:",)),
    (
        pytest.param(lambda t, path: path.write_text(",".join(COLUMNS) + "\n"), id="no rows"),
        (r"the file has no rows; allowed: one row a bar",),
    ),
    (
        pytest.param(lambda t, path: path.unlink(), id="missing file"),
        (r"no such file; in its folder there are: BBB-USD\.csv",),
    ),
    (pytest.param(truncated, id="truncated Parquet"), (r"AAA-USD\.parquet: truncated or corrupt Parquet:",)),
]


@pytest.mark.parametrize(("make", "expected"), [pytest.param(c.values[0], e, id=c.id) for c, e in NO_TABLE])
def test_what_is_no_table_writes_nothing_of_its_asset(
    make, expected, place, market, lem_command, tiny_keys, write_universe, request
):
    make(market["AAA-USD"], place / "data" / "AAA-USD.csv")
    if (place / "data" / "AAA-USD.parquet").exists():
        source = {"kind": "files", "url": "{data}/{symbol}.parquet"}
        write_universe(place / "universes", tiny_keys(source=source))
    done = lem_command(place, *BACKFILL)
    one_message(done, rf"{re.escape(str(place))}/data/AAA-USD\.", *expected)
    others = set() if "truncated" in request.node.name else {("raw_bars", "asset=BBB-USD")}
    there = partitions(place)
    if any(name in request.node.name for name in OF_A_ROW):
        assert ("raw_bars", "asset=AAA-USD", "date=2024-01-10.parquet") not in there
        there = {path for path in there if path[1] != "asset=AAA-USD"}
    assert {path[:2] for path in there} == others


def test_an_outage_of_an_unknown_symbol_is_found_before_anything_runs(place, lem_command, tiny_keys, write_universe):
    outage = {"start": "2024-01-05", "end": "2024-01-06", "reason": "x", "assets": ["CCC-USD"]}
    path = write_universe(place / "universes", tiny_keys(outages=[outage]))
    done = lem_command(place, *BACKFILL)
    one_message(done, re.escape(str(path)), r"outages\.0\.assets: unknown symbol 'CCC-USD'; allowed: AAA-USD, BBB-USD")
    assert not (place / "home").exists()


@pytest.mark.parametrize(
    "arguments", [BACKFILL, ("run", "-u", "tiny"), ("status", "-u", "tiny"), ("report", "-u", "tiny")]
)
def test_a_file_where_the_lake_should_be_is_named(arguments, place, lem_command):
    (place / "file").write_text("mine")
    done = lem_command(place, *arguments, LEM_LAKE=str(place / "file"))
    one_message(done, rf"lake {re.escape(str(place))}/file: cannot .*LEM_LAKE")
    assert (place / "file").read_text() == "mine"


@pytest.mark.parametrize("arguments", [("run", "-u", "tiny"), ("status", "-u", "tiny"), ("models", "list")])
def test_a_folder_where_the_registry_should_be_is_named(arguments, place, lem_command):
    (place / "folder").mkdir()
    done = lem_command(place, *arguments, LEM_REGISTRY=f"sqlite:///{place}/folder")
    one_message(done, rf"registry sqlite:///{re.escape(str(place))}/folder: it is a folder; name a file")
    assert partitions(place) == set()


def test_a_read_only_registry_can_be_read_and_stops_a_run_that_writes(tiny_home, tmp_path, lem_command):
    shutil.copytree(tiny_home.folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "home" / "registry.sqlite").unlink()
    assert lem_command(tmp_path, "models", "list").code == 0
    url = f"sqlite:///{tmp_path}/home/registry.sqlite?mode=ro&uri=true"
    assert lem_command(tmp_path, "status", "-u", "tiny", LEM_REGISTRY=url).code == 0
    done = lem_command(tmp_path, "run", "-u", "tiny", "-d", "2024-01-18", LEM_REGISTRY=url)
    one_message(done, r"registry .*registry\.sqlite.*: cannot .*: open it for writing, not read-only")


@pytest.mark.thorough
def test_the_command_itself_prints_the_message_and_no_traceback(place, market):
    table = market["AAA-USD"].astype(str)
    table.loc[ROW, "low"] = "-5"
    table.to_csv(place / "data" / "AAA-USD.csv", index=False)
    env = os.environ | {
        "LEM_HOME": str(place / "home"),
        "DAGSTER_HOME": str(place / "home" / "dagster"),
        "LEM_UNIVERSES": str(place / "universes"),
        "LEM_DATA": str(place / "data"),
    }
    lem = Path(sys.executable).with_name("lem")
    done = subprocess.run([lem, *BACKFILL], capture_output=True, text=True, check=False, cwd=place, env=env)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.startswith("error: tiny/AAA-USD 2024-01-10: ")
    assert "AAA-USD.csv:57" in done.stderr
