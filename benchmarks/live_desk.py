"""A desk for benchmarks of live orders: its home, its orders, and `lem serve` in a process of its own."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from sqlalchemy import insert

from benchmarks.common import ROOT, BenchmarkError
from lem.advice.advisor import Advisor
from lem.advice.clock import ReplayClock
from lem.advice.order import ParentOrder
from lem.advice.order_rows import ORDER, ORDERS, RULES, columns
from lem.advice.records import OrderRecord
from lem.advice.store import AdviceStore
from lem.execution.orders import SCENARIOS, Order
from lem.lake import Lake
from lem.model.lem import LEM, weights_hash
from lem.registry import PromotionRecord, Registry
from lem.registry.connection import Database
from lem.sources import open_source
from lem.sources.base import RawBars, Source
from lem.training.manifest import model_record, weights_path
from lem.universe import Universe, load_universe
from lem.universe.windows import training_window

START = dt.datetime(2024, 3, 20, 0, 0, tzinfo=dt.UTC)
PAIRS = ("BTC-USDT", "ETH-USDT", "XRP-USDT", "ADA-USDT", "LTC-USDT", "LINK-USDT")


class StoppedClock(ReplayClock):
    """A clock that moves only when somebody sleeps."""

    def monotonic(self) -> float:
        """Seconds of the same clock."""
        return self._slept


class Hanging:
    """A source that can be told not to answer for some seconds."""

    def __init__(self, source: Source) -> None:
        self._source, self.until = source, 0.0

    def fetch(self, symbol: str, start: dt.datetime, end: dt.datetime) -> RawBars:
        """The source's rows, once it answers again."""
        time.sleep(max(0.0, self.until - time.monotonic()))
        return self._source.fetch(symbol, start, end)

    def forget(self, symbol: str) -> None:
        """As the source."""
        self._source.forget(symbol)


def make_home(folder: Path, horizon: int, pairs: Sequence[str] = PAIRS) -> tuple[Universe, LEM]:
    """A universe of five-minute bars; its champion is the default model, untrained."""
    lines = [
        'name = "bench"\nbar = "5min"\nstart = 2024-01-01\nend = 2024-03-31',
        f'horizon = {horizon}\nsource = {{kind = "simulated", seed = 1}}\n[assets]',
        *(f"{pair} = {{}}" for pair in pairs),
        f"[training]\nwindow_days = 42\nholdout_days = 7\nsequence = {horizon + 100}\n[backtest]\nmin_bars = [1]",
    ]
    (folder / "universes").mkdir()
    (folder / "universes" / "bench.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    universe = load_universe(folder / "universes" / "bench.toml")
    model = LEM(universe.model, seed=1).eval()
    weights = model.weights()
    sha256 = weights_hash(weights)
    Lake(str(folder / "lake")).write_bytes(weights_path(universe.name, sha256), weights)
    date = START.date()
    record = model_record(universe, date, training_window(universe, date), [], sha256)
    for name in ("service", "api"):
        registry = Registry(f"sqlite:///{folder}/{name}.sqlite")
        registry.add_model(record)
        registry.record_promotion(
            PromotionRecord(universe.name, date, record.id, record.id, None, "promoted", ["for the benchmark"])
        )
    return universe, model


def orders_of(universe: Universe, count: int) -> list[ParentOrder]:
    """Orders in all scenarios and assets. None may end before the last bar, so that their number stays the same."""
    n = universe.horizon
    return [
        ParentOrder(
            f"o{i}", universe.name, PAIRS[i % len(PAIRS)], Order(SCENARIOS[i % 8], n, n), 1.0 + i / count, START
        )
        for i in range(count)
    ]


def take_on(folder: Path, orders: Sequence[ParentOrder]) -> None:
    """Store orders in the databases of the service and of the API, all at once."""
    records = [OrderRecord.of(order, START) for order in orders]
    rows = [{**columns(record, ORDER), **columns(record.rules, RULES)} for record in records]
    for name in ("service", "api"):
        with Database(f"sqlite:///{folder}/{name}.sqlite").transaction("take on", write=True) as connection:
            connection.execute(insert(ORDERS), rows)


def advisor_of(folder: Path, name: str) -> Advisor:
    """An advisor with a database of its own and a clock that stands still."""
    url, universe = f"sqlite:///{folder}/{name}.sqlite", load_universe(folder / "universes" / "bench.toml")
    lake, clock = Lake(str(folder / "lake")), StoppedClock(START)
    torch.set_num_threads(1)
    return Advisor(universe, lake, Registry(url), AdviceStore(url), Hanging(open_source(universe, "")), clock)


SERVER = """
import sys, threading, time
from pathlib import Path
from benchmarks.live_desk import advisor_of
from lem_pipeline.service.run import run
advisor = advisor_of(Path(sys.argv[1]), "service")
def follow():
    for line in sys.stdin:
        what, seconds = line.split()
        if what == "hang":
            advisor._source.until = time.monotonic() + float(seconds)
        else:
            advisor.clock.sleep(float(seconds))
threading.Thread(target=follow, daemon=True).start()
run(advisor, "127.0.0.1", 0, "")
"""


class Service:
    """The service of `lem serve` in a process of its own, with a clock that moves when it is told to."""

    def __init__(self, folder: Path) -> None:
        pipe: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        command = [sys.executable, "-c", SERVER, str(folder)]
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(command, stderr=subprocess.STDOUT, env=env, cwd=folder, **pipe)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        if found is None:
            raise BenchmarkError(f"the service did not start: {line}{self.process.communicate()[0]}")
        self.port = int(found[1])
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)

    def ask(self, method: str, path: str) -> tuple[float, dict[str, Any]]:
        """Milliseconds until the whole answer had come, and the answer.

        Raises:
            BenchmarkError: the service answered with an error.
        """
        began = time.perf_counter()
        self.connection.request(method, path)
        answer = self.connection.getresponse()
        body = answer.read()
        took = 1e3 * (time.perf_counter() - began)
        if answer.status >= 300:
            raise BenchmarkError(f"{method} {path}: {answer.status}: {body[:500].decode()}")
        return took, json.loads(body)

    def market(self) -> tuple[float, str]:
        """Milliseconds to bring the market up to now, and the next bar.

        Raises:
            BenchmarkError: the service has no market.
        """
        try:
            took, market = self.ask("GET", "/market")
        except http.client.RemoteDisconnected:  # the service closes a connection that is idle for half a minute
            took, market = self.ask("GET", "/market")
        if market["problems"]:
            raise BenchmarkError(f"the service has no market: {market['problems']}")
        return took, market["bar"]

    def sleep(self, seconds: float) -> None:
        """Move the service's clock on."""
        self._tell(f"sleep {seconds}")

    def hang(self, seconds: float) -> None:
        """Let the service's source answer nothing for so long."""
        self._tell(f"hang {seconds}")

    def _tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def close(self) -> None:
        """End the service."""
        self.connection.close()
        self.process.terminate()
        self.process.communicate()
