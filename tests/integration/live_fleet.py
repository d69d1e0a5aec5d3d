"""`lem serve` and `lem paper` as processes that are killed, and clients in threads that note what they were told."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import multiprocessing.process
import os
import random
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import ROOT
from tests.servers import free_port


@dataclass
class Fleet:
    """A home with a universe, the port of its service, and a clock that goes on while nobody serves.

    Args:
        folder: has home and universes.
        registry: URL of the database.
        start: the clock's time when the fleet is made (UTC).
        speed: seconds that pass there in one.
        universe: its name.
    """

    folder: Path
    registry: str
    start: dt.datetime
    speed: float
    universe: str = "tiny"
    port: int = field(default_factory=free_port)
    since: float = field(default_factory=time.monotonic)
    stopped: bool = False
    commands: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def now(self) -> dt.datetime:
        return self.start + dt.timedelta(seconds=(time.monotonic() - self.since) * self.speed)

    def lem(self, *arguments: str) -> Running:
        """The command in a process of its own; forked, since the imports take longer than what is tried."""
        self.commands += 1
        said = self.folder / f"said-{self.port}-{self.commands}.txt"
        process = FORKED.Process(target=_command, args=(arguments, self.env, said), daemon=True)
        process.start()
        return Running(process, said)

    @property
    def env(self) -> dict[str, str]:
        return {
            "LEM_HOME": str(self.folder / "home"),
            "LEM_UNIVERSES": str(self.folder / "universes"),
            "LEM_REGISTRY": self.registry,
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "250",
        }

    def python(self, *arguments: str | Path, **own: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-u", *map(str, arguments)]
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, env=os.environ | self.env | own, cwd=self.folder, **pipe)

    def serve(self) -> Running:
        """A server that answers."""
        at = ("--at", self.now().isoformat(), "--speed", str(self.speed))
        server = self.lem("serve", "-u", self.universe, "--port", str(self.port), *at)
        while not any("Advice on" in line for line in server.lines()):
            assert server.process.is_alive(), server.lines()
            time.sleep(0.05)
        return server

    def venue(self, *arguments: str) -> Running:
        """A paper venue."""
        return self.lem("paper", "-u", self.universe, "--url", self.url, "--every", "0.1", *arguments)


FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["lem_pipeline.cli.app", "lem_pipeline.service.run", "lem_pipeline.service.advising"])


@dataclass
class Running:
    """A command that runs.

    Args:
        process: it.
        said: file with what it prints.
    """

    process: multiprocessing.process.BaseProcess
    said: Path

    def lines(self) -> list[str]:
        return self.said.read_text(encoding="utf-8").splitlines() if self.said.exists() else []


def _command(arguments: tuple[str, ...], env: dict[str, str], said: Path) -> None:
    """Run `lem` in this process, as its entry point does."""
    os.environ.update(env)
    with open(said, "ab", buffering=0) as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.stdout.reconfigure(line_buffering=True)
    from lem_pipeline.cli.app import main

    os.chdir(env["LEM_HOME"])
    sys.argv = ["lem", *arguments]
    main()


def kill(running: Running) -> None:
    """End a process as a power cut does."""
    assert running.process.is_alive(), f"it ended by itself: {running.lines()}"
    running.process.kill()
    running.process.join(60)


@dataclass
class Told:
    """What clients were told.

    Args:
        sent: orders by id, as they were sent.
        taken: ids of those that the service said it had taken.
        slices: exact amounts by order and bar.
        changed: slices that were told twice and differed.
        wrong: answers that should not be.
    """

    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    slices: dict[tuple[str, str], str] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def slice(self, row: dict[str, Any]) -> None:
        key = (row["order_id"], row["bar"])
        with self.lock:
            if self.slices.setdefault(key, row["exact_amount"]) != row["exact_amount"]:
                self.changed.append(f"{key}: {self.slices[key]}, then {row['exact_amount']}")


def client(fleet: Fleet, number: int, told: Told, sizes: tuple[float, ...]) -> None:
    """Send orders, each until it is taken, and ask for slices in between, until the fleet is stopped."""
    chance = random.Random(number)
    with httpx.Client(base_url=fleet.url, timeout=30) as http:
        while not fleet.stopped:
            time.sleep(chance.uniform(0.5, 4.0))
            untaken = [key for key in told.sent if key.startswith(f"c{number}-") and key not in told.taken]
            own = [key for key in told.sent if key.startswith(f"c{number}-") and key in told.taken]
            if not untaken and (not own or chance.random() < 0.05):
                key = f"c{number}-{len(own)}"
                told.sent[key] = {
                    "id": key,
                    "asset": chance.choice(["AAA-USD", "BBB-USD"]),
                    "side": chance.choice(["buy", "sell"]),
                    "size": chance.choice(sizes),
                    "min_bars": chance.choice([1, 3]),
                    "mode": "confirm" if number % 3 else "assume",
                }
                untaken = [key]
            try:
                if untaken:
                    answer = http.post("/orders", json=told.sent[untaken[0]])
                    if answer.status_code in (200, 201):
                        told.taken.add(untaken[0])
                    elif answer.status_code < 500:
                        told.wrong.append(answer.text)
                        del told.sent[untaken[0]]
                elif own:
                    key = chance.choice(own)
                    path, method = chance.choice(
                        [("/advice", "POST"), (f"/orders/{key}/advice", "POST"), (f"/orders/{key}/slices", "GET")]
                    )
                    answer = http.request(method, path)
                    if answer.status_code == 200:
                        rows = answer.json() if method == "GET" else answer.json()["slices"]
                        for row in rows:
                            told.slice(row)
                    elif answer.status_code not in (409, 503):
                        told.wrong.append(f"{path}: {answer.status_code} {answer.text}")
            except httpx.HTTPError:
                pass  # the server was killed: asked again


@dataclass(frozen=True)
class Kept:
    """What the service has of an order in the end."""

    order: dict[str, Any]
    slices: list[dict[str, Any]]
    fills: list[dict[str, Any]]

    @property
    def counting(self) -> dict[str, dict[str, Any]]:
        """The newest of each fill by its id; totals, and broken ones, are none."""
        newest: dict[str, dict[str, Any]] = {}
        for fill in self.fills:
            if fill["revision"] > newest.get(fill["id"], {"revision": 0})["revision"]:
                newest[fill["id"]] = fill
        return {key: fill for key, fill in newest.items() if Decimal(fill["amount"]) and not key.startswith("total@")}


def kept_by(url: str) -> dict[str, Kept]:
    """Everything that a service has, by order."""
    with httpx.Client(base_url=url, timeout=60) as http:
        orders = http.get("/orders", params={"limit": 1000}).json()
        return {
            order["id"]: Kept(
                order, http.get(f"/orders/{order['id']}/slices").json(), http.get(f"/orders/{order['id']}/fills").json()
            )
            for order in orders
        }
