"""`lem backfill` of real one-minute bars from a loopback exchange: killed and resumed, revised, beside an archive."""

from __future__ import annotations

import datetime as dt
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lem.errors import LemError
from lem.lake import Lake
from lem.lineage.revisions import superseded_path
from lem.sources.base import NUMBERS
from lem.universe import Universe
from lem.universe.windows import feature_history_days
from tests.conftest import ROOT
from tests.exchange.archive_server import DAILY, ArchiveServer, put_bars
from tests.exchange.faults_table import check, record
from tests.exchange.server import Exchange

PART = "A backfill"
KILLED = "kill -9 at ten random moments, each time resumed"
FIRST, LAST = dt.date(2023, 8, 30), dt.date(2023, 9, 1)
DAY = dt.timedelta(days=1)
MARKETS = {"FIL-USDT": "FILUSDT", "NEAR-USDT": "NEARUSDT"}
pytestmark = pytest.mark.slow
SEED, KILLS, LONGEST_PAUSE = 20230801, 10, 0.05
STAGES = ("raw_bars", "bars", "features", "panel")


def backfill(first: dt.date, last: dt.date) -> tuple[str, ...]:
    return ("backfill", "--universe", "crypto", "--from", str(first), "--to", str(last))


def dates(first: dt.date, last: dt.date) -> list[dt.date]:
    return [first + n * DAY for n in range((last - first).days + 1)]


@dataclass
class Place:
    """A folder with `universes/crypto.toml`, whose home may hold a lake. asked: the requests for its bars."""

    folder: Path
    universe: Universe
    asked: list[dict[str, str]] = field(default_factory=list)

    @property
    def lake(self) -> Lake:
        return Lake(str(self.folder / "home" / "lake"))

    def objects(self) -> set[str]:
        """What a reader sees in the lake, as paths below the universe."""
        root = self.folder / "home" / "lake" / "crypto"
        return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and not p.name.startswith(".")}

    def bars_from(self, first: dt.date) -> dt.date:
        """The first date whose bars the features of `first` need."""
        return first - feature_history_days(self.universe) * DAY

    def made(self, first: dt.date, last: dt.date) -> set[str]:
        """What a backfill of these dates leaves there."""
        paths = set()
        for table in STAGES:
            assets = [None] if table == "panel" else self.universe.symbols
            start = self.bars_from(first) if table in ("raw_bars", "bars") else first
            paths |= {self.lake.path("crypto", table, d, a) for d in dates(start, last) for a in assets}
        return {path.removeprefix("crypto/") for path in paths}

    def bars(self, symbol: str, first: dt.date, last: dt.date) -> pd.DataFrame:
        days = [self.lake.read_table(self.lake.path("crypto", "bars", d, symbol)) for d in dates(first, last)]
        return pd.concat(days, ignore_index=True)

    def versions(self, table: str) -> dict[str, str]:
        """Content hash of each partition."""
        paths = [f"crypto/{path}" for path in self.objects() if path.startswith(f"{table}/")]
        return {path: self.lake.read_versioned(path)[1] for path in paths}

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """The `lem` command, in a process of its own."""
        home = {"LEM_HOME": "home", "DAGSTER_HOME": "home/dagster", "LEM_UNIVERSES": "universes"}
        env = os.environ | {name: str(self.folder / path) for name, path in home.items()} | {"PYTHONPATH": str(ROOT)}
        lem = Path(sys.executable).with_name("lem")
        with open(self.folder / "output.txt", "ab") as out:
            return subprocess.Popen(
                [lem, *arguments], cwd=self.folder, env=env, stdout=out, stderr=out, start_new_session=True
            )

    @property
    def output(self) -> str:
        return (self.folder / "output.txt").read_text()


@pytest.fixture(scope="module")
def market(shared_data):
    """The real bars: Parquet files by the venue's name of the market."""
    folder = shared_data("crypto_1m")
    return {name: folder / f"{name}.parquet" for name in MARKETS.values()}


@pytest.fixture(scope="module")
def exchange(market):
    with Exchange(market) as running:
        yield running


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_keys, make_universe, write_universe):
    """`place(source)`: a folder with the universe `crypto` on this source."""

    def make(source: dict) -> Place:
        assets = {symbol: {"venue_symbol": name} for symbol, name in MARKETS.items()}
        keys = tiny_keys(name="crypto", bar="1min", start="2023-08-01", end="2023-10-31", assets=assets, source=source)
        folder = tmp_path_factory.mktemp("crypto")
        write_universe(folder / "universes", keys)
        return Place(folder, make_universe(**keys))

    return make


def venue(exchange: Exchange) -> dict:
    """What a user writes, but for the base URL."""
    return {"kind": "ccxt", "venue": "binanceusdm", "url": exchange.url}


def kill(place: Place, arguments: tuple[str, ...], objects: int, pause: float) -> None:
    """Start the command and kill it, and what it started, `pause` seconds after so many objects are in the lake."""
    process = place.start(*arguments)
    try:
        while len(place.objects()) < objects:
            assert process.poll() is None, f"ended before it could be killed: {place.output[-2000:]}"
            time.sleep(0.002)
        time.sleep(pause)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


def kill_and_resume(place: Place, first: dt.date, last: dt.date) -> list[int]:
    """Backfill these dates, killed at random moments of all stages; objects in the lake after each kill.

    A moment is a number of objects and a pause: so are the stages hit on a fast machine and on a slow one.
    """
    chance = random.Random(SEED)
    whole = place.made(first, last)
    moments, left = sorted(chance.sample(range(1, len(whole)), KILLS)), []
    for moment in moments:
        # The process before may have gone on for longer than to this moment: this one is to write something too.
        objects = min(max(moment, len(place.objects()) + 1), len(whole))
        kill(place, backfill(first, last), objects, chance.uniform(0, LONGEST_PAUSE))
        left.append(len(place.objects()))
    process = place.start(*backfill(first, last))
    assert process.wait() == 0, place.output[-4000:]
    return left


def differences(place: Place, market: dict[str, Path], first: dt.date, last: dt.date) -> tuple[int, int, int]:
    """Bars lost, duplicated and invented, beside the Parquet files; a bar with any other bit is an invented one."""
    lost = duplicated = invented = 0
    for symbol, name in MARKETS.items():
        truth = pd.read_parquet(market[name])
        truth = truth[truth["ts"].dt.date.between(first, last)].reset_index(drop=True)
        bars = place.bars(symbol, first, last)
        rows, there = (
            set(zip(t["ts"], map(bytes, t[list(NUMBERS)].to_numpy(float)), strict=True)) for t in (truth, bars)
        )
        lost += int((~truth["ts"].isin(bars["ts"])).sum())
        duplicated += int(bars["ts"].duplicated().sum())
        invented += len(there - rows)
    return lost, duplicated, invented


def same(place: Place, market: dict[str, Path], first: dt.date, last: dt.date) -> None:
    """The lake holds the Parquet files' bars, bit for bit and in their order, and nothing else."""
    assert place.objects() == place.made(first, last)
    start = place.bars_from(first)
    for symbol, name in MARKETS.items():
        truth = pd.read_parquet(market[name])
        truth = truth[truth["ts"].dt.date.between(start, last)].reset_index(drop=True)
        bars = place.bars(symbol, start, last)
        assert list(bars["ts"]) == list(truth["ts"])
        for column in NUMBERS:
            assert bars[column].to_numpy().tobytes() == truth[column].to_numpy().tobytes(), (symbol, column)
        traded = truth["volume"] > 0
        vwap = truth["quote_volume"][traded] / truth["volume"][traded]
        assert bars["vwap"][traded].to_numpy().tobytes() == vwap.to_numpy().tobytes()
        assert bars["vwap"][~traded].isna().all()
        assert list(bars["flag"]) == list(np.where(traded, "ok", "no_trades"))
        assert set(bars["vwap_kind"]) == {"exact"}


@pytest.fixture(scope="module")
def killed(place, exchange):
    """The lake of a backfill that was killed ten times, and how many objects it had after each."""
    made, before = place(venue(exchange)), len(exchange.requests)
    left = kill_and_resume(made, FIRST, LAST)
    made.asked = exchange.requests[before:]
    return made, left


@pytest.mark.timeout(3000)
def test_a_backfill_that_is_killed_and_resumed_ten_times_reproduces_the_bars_bit_for_bit(killed, market):
    made, left = killed
    same(made, market, FIRST, LAST)
    assert len(left) == KILLS
    assert len(set(left)) > KILLS / 2, f"the moments are not ten different ones: {left}"
    found = differences(made, market, made.bars_from(FIRST), LAST)
    assert found == (0, 0, 0)
    told = "all bars of two markets as the exchange has them, bit for bit; no partition is seen half-written"
    record(KILLED, told, *found, part=PART)


def test_what_a_killed_backfill_has_fetched_is_not_asked_for_again(killed):
    """A kill costs what was on its way and not written yet: one partition."""
    made, _ = killed
    partitions = sum(path.startswith("raw_bars/") for path in made.objects())
    starts = Counter((query["symbol"], query["startTime"]) for query in made.asked)
    pages = len(starts)
    assert pages == 2 * partitions, "a day of one-minute bars has two pages"
    assert sum(starts.values()) - pages <= 2 * KILLS


def test_the_docs_have_the_line_of_the_killed_backfill():
    check(PART, [KILLED])


@pytest.mark.timeout(7200)
def test_a_killed_and_resumed_backfill_of_three_months_reproduces_the_bars_bit_for_bit(place, exchange, market):
    first, last = dt.date(2023, 8, 4), dt.date(2023, 10, 31)  # all 92 days with the history of the first
    made = place(venue(exchange))
    kill_and_resume(made, first, last)
    same(made, market, first, last)


@pytest.mark.timeout(3000)
def test_the_archive_of_the_same_bars_gives_the_same_hashes(killed, place, market, tmp_path, lem_command):
    start = killed[0].bars_from(FIRST)
    for name, path in market.items():
        table = pd.read_parquet(path)
        put_bars(tmp_path, DAILY, name, table[table["ts"].dt.date.between(start, LAST)])
    with ArchiveServer(tmp_path) as server:
        made = place({"kind": "archive", "daily": f"{server.url}/{DAILY}"})
        done = lem_command(made.folder, *backfill(FIRST, LAST))
    assert done.code == 0, done.out + done.err
    same(made, market, FIRST, LAST)
    for table in ("bars", "features", "panel"):
        assert made.versions(table) == killed[0].versions(table)


@pytest.mark.timeout(3000)
def test_changed_history_is_found_kept_and_repaired(
    place: Callable, market: dict[str, Path], lem_command: Callable, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("lem_pipeline.cli.app._today", lambda: LAST + DAY)
    bars = {name: pd.read_parquet(path) for name, path in market.items()}
    bars = {name: table[table["ts"].dt.date.between(LAST - 5 * DAY, LAST)] for name, table in bars.items()}
    with Exchange(bars) as exchange:
        made = place(venue(exchange))

        def run(*arguments: str) -> str:
            done = lem_command(made.folder, *(arguments or backfill(LAST, LAST)))
            assert done.code == 0, done.out + done.err
            return done.out

        def revise() -> str:
            """Another volume in a bar of the last day; returns the version of the raw bars before."""
            exchange.books["NEARUSDT"].numbers[-700, 4:] *= 1.5
            return made.lake.versions(path).data

        path = made.lake.path("crypto", "raw_bars", LAST, "NEAR-USDT")
        run()
        old, before, bytes_before = revise(), made.versions("bars"), made.lake.read_bytes(path)
        out = run()
        kept = superseded_path("crypto", LAST, "NEAR-USDT", old)
        assert made.lake.read_bytes(kept) == bytes_before
        assert made.lake.read_versioned(kept)[1] == old
        assert made.lake.versions(path).data != old
        assert "bars  FIL-USDT|2023-09-01 ... NEAR-USDT|2023-09-01" in out
        after = made.versions("bars")
        assert {name for name in after if after[name] != before[name]} == {path.replace("raw_bars", "bars")}
        assert made.bars("NEAR-USDT", LAST, LAST)["volume"].iloc[-700] == exchange.books["NEARUSDT"].numbers[-700, 4]
        assert "stale bars" not in run("status", "--universe", "crypto")

        def stopped(*arguments: object) -> list:
            raise LemError("stopped after the fetch")

        second = revise()
        with monkeypatch.context() as patch:
            patch.setattr("lem_pipeline.running.execute.outdated_steps", stopped)
            assert lem_command(made.folder, *backfill(LAST, LAST)).code == 1
        assert made.lake.exists(superseded_path("crypto", LAST, "NEAR-USDT", second))
        command = "lem backfill --universe crypto --from 2023-09-01 --to 2023-09-01"
        out = run("status", "--universe", "crypto")
        assert "stale bars: NEAR-USDT|2023-09-01; what they are made from or their code has changed" in out
        assert f"make them again with: {command}\n" in out
        run(*command.split()[1:])
        assert "stale bars" not in run("status", "--universe", "crypto")
        assert made.bars("NEAR-USDT", LAST, LAST)["volume"].iloc[-700] == exchange.books["NEARUSDT"].numbers[-700, 4]
        assert len([name for name in made.objects() if name.startswith("superseded/raw_bars/")]) == 2
