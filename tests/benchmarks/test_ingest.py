"""The benchmark of ingestion: it runs, and everyone has the same bars in the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pandas as pd
import pytest

from benchmarks import ingest
from benchmarks.common import BenchmarkError
from benchmarks.ingest_servers import bars, market, symbols
from benchmarks.ingest_work import Job, from_exchange, from_monthly, page_loop, unzip_loop
from lem.lake import Lake
from tests.conftest import ROOT
from tests.exchange.archive_server import DAILY, MONTHLY, ArchiveServer, put_bars
from tests.exchange.server import Exchange

NAMES = symbols(2)
NUMBERS = ["open", "high", "low", "close", "volume"]


@pytest.mark.slow
def test_a_smoke_run_gives_rates_ratios_and_memory(tmp_path):
    out = tmp_path / "ingest.json"
    command = [sys.executable, "-m", "benchmarks.ingest", "--quick", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert "SMOKE RUN" in done.stdout
    rows = {row["who"]: row for row in json.loads(out.read_text(encoding="utf-8"))["rows"]}
    assert set(rows) == {*ingest.CONTENDERS, *(f"{who}: memory" for who in ingest.WITH_MEMORY)}
    assert {row["rows"] for row in rows.values()} == {2 * 2 * 1440}
    assert all(rows[who]["rows_per_s"] > 0 and rows[who]["cpu_us"] > 0 for who in ingest.CONTENDERS)
    assert rows[ingest.LOOP]["times_loop"] == rows[ingest.BARE]["times_bare"] == 1.0
    if sys.platform == "linux":
        assert all(row["peak_mb"] > row["grown_mb"] >= 0 for who, row in rows.items() if who.endswith("memory"))


def test_everyone_has_the_same_bars_in_the_end(tmp_path):
    tables = {symbol: bars(symbol, 2) for symbol in NAMES}
    for symbol, table in tables.items():
        put_bars(tmp_path / "archive", DAILY, market(symbol), table)
        put_bars(tmp_path / "archive", MONTHLY, market(symbol), table)
    venue = Exchange({market(symbol): table for symbol, table in tables.items()})
    with venue as exchange, ArchiveServer(tmp_path / "archive") as archive:
        for contender, server in (
            (from_exchange, exchange),
            (from_monthly, archive),
            (page_loop, exchange),
            (unzip_loop, archive),
        ):
            folder = tmp_path / contender.__name__
            folder.mkdir()
            job = Job(NAMES, 2, server.url, folder)
            assert contender(job)() == 2 * 2 * 1440
            for symbol, table in tables.items():
                if contender in (page_loop, unzip_loop):
                    got = pd.read_feather(folder / f"{symbol}.feather")
                else:
                    lake = Lake(str(folder))
                    paths = [lake.path("ingest", "raw_bars", date, symbol) for date in job.dates]
                    got = pd.concat([lake.read_table(path) for path in paths], ignore_index=True)
                    hours = lake.read_table(lake.path("ingest", "bars", job.dates[1], symbol))
                    assert len(hours) == 24
                    assert hours["quote_volume"].sum() == pytest.approx(table["quote_volume"].iloc[1440:].sum())
                pd.testing.assert_frame_equal(got[NUMBERS], table[NUMBERS])


def test_ratios_are_taken_turn_by_turn():
    def turns(*seconds: float) -> list[dict]:
        return [{"rows": 100, "seconds": s, "cpu_seconds": s / 2} for s in seconds]

    rows = ingest.rows_of({"lem": turns(1, 2, 4), ingest.LOOP: turns(2, 2, 2), ingest.BARE: turns(0.1, 0.1, 0.1)}, 5)
    ours = rows[0]
    assert (ours["rows_per_s"], ours["low"], ours["high"]) == (50.0, 25.0, 100.0)
    assert (ours["times_loop"], ours["times_loop_cpu"]) == (1.0, 1.0)
    assert ours["times_bare"] == pytest.approx(0.05)
    assert "times_loop" not in rows[2]


def test_a_contender_that_loses_rows_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setitem(ingest.CONTENDERS, "loses", ("", lambda job: lambda: 1439))
    monkeypatch.setattr(ingest, "ProcessPoolExecutor", Here)
    with pytest.raises(BenchmarkError, match="loses: 1439 rows of 1 days are written; there are 1440"):
        ingest.Place(ingest.processes(), NAMES[:1], {}, "1h").measure("loses", 1)


class Here:
    """Does what it is given at once, in this process."""

    def __init__(self, *arguments, **keywords):
        self.result = None

    def __enter__(self):
        return self

    def __exit__(self, *arguments):
        return None

    def submit(self, call, *arguments):
        done = Here()
        value = call(*arguments)
        done.result = lambda: value
        return done
