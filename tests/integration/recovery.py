"""A tiny chain that faults are thrown at, what its partitions must be, and the table of what became of them.

`lem` is started by a process that has imported everything and forks: a try takes a second instead of five. The table is
a part of docs/recovery.md; `LEM_WRITE_FAULTS=1 python -m pytest -m "slow or not slow" tests/integration -k recovery`
writes it, any other run asserts that it is there and true.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pandas as pd

from lem.data.bars import TABLE_SCHEMA as BARS_SCHEMA
from lem.data.bars import validate_days
from lem.data.features import TABLE_SCHEMA as FEATURES_SCHEMA
from lem.data.features import compute_features
from lem.data.panel import PANEL_SCHEMA, panel_table
from lem.lake import Lake
from lem.lineage.revisions import store_raw
from lem.sources import open_source
from lem.universe import Universe, load_universes
from lem.universe.calendars import partition_dates, partition_window
from lem.universe.windows import history_dates
from lem_pipeline.repair.unrecorded import unrecorded
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "recovery.md"
SPAN = (dt.date(2024, 1, 10), dt.date(2024, 3, 10))
"""Dates whose panels the tests make, each try the next one."""
KEYS = {"start": "2024-01-01", "end": "2024-06-01"}
ZYGOTE = """
import json, os, sys
import lem_pipeline.cli.app, lem_pipeline.build, lem_pipeline.running.home, lem_pipeline.running.launch
import lem_pipeline.planning.plan, lem_pipeline.repair.reap, lem_pipeline.cli.show, lem_pipeline.cli.status
import s3fs, dagster_postgres
print("ready", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    pid = os.fork()
    if not pid:
        out = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1), os.dup2(out, 2)
        os.environ.update(order["env"])
        if limit := order.get("file_size"):
            import resource
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        sys.argv = ["lem", *order["arguments"]]
        code = 1
        try:
            lem_pipeline.cli.app.main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@dataclass
class Lem:
    """The process that forks `lem` processes, one at a time, in a folder with settings of its own."""

    folder: Path
    env: dict[str, str]
    process: subprocess.Popen[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", ZYGOTE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.env},
        )
        assert self.process.stdout.readline() == "ready\n"

    @property
    def log(self) -> Path:
        """What the commands said."""
        return self.folder / "log"

    def start(self, *arguments: str, file_size: int = 0, **env: str) -> int:
        """Start a command; its process number."""
        self.log.write_text("")
        order = {"arguments": arguments, "env": env, "log": str(self.log), "file_size": file_size}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def wait(self) -> int:
        """The exit code of what was started; minus the signal that ended it."""
        return int(self.process.stdout.readline())

    def run(self, *arguments: str, **options) -> int:
        """Start a command and wait for it."""
        self.start(*arguments, **options)
        return self.wait()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(60)


def undisturbed(universe: Universe, lake: Lake, last: dt.date) -> dict[str, str]:
    """The chain from the universe's start to `last` as a bare loop over the library: data versions by path."""
    source, name = open_source(universe, ""), universe.name
    dates = partition_dates(universe, universe.start, last)
    for symbol in universe.symbols:
        for date in dates:
            store_raw(lake, name, date, symbol, source.fetch(symbol, *partition_window(date)).table)
        raw = {date: lake.read_versioned(lake.path(name, "raw_bars", date, symbol)) for date in dates}
        bars = validate_days({date: table for date, (table, _) in raw.items()}, universe, symbol)
        for date, day in bars.items():
            lake.write_table(lake.path(name, "bars", date, symbol), day.table, BARS_SCHEMA)
        for date in dates[dates.index(SPAN[0]) :]:
            past = pd.concat([bars[day].table for day in history_dates(universe, date)])
            table = compute_features(past, bars[date].table, universe.features, universe.clock)
            lake.write_table(lake.path(name, "features", date, symbol), table, FEATURES_SCHEMA)
    for date in dates[dates.index(SPAN[0]) :]:
        tables = {s: lake.read_table(lake.path(name, "features", date, s)) for s in universe.symbols}
        lake.write_table(lake.path(name, "panel", date), panel_table(tables), PANEL_SCHEMA)
    return objects(lake)


@dataclass(eq=False)
class Undisturbed(dict[str, str]):
    """What `undisturbed` makes, ten days further whenever a later one is asked for: most tests see few days."""

    universe: Universe
    folder: Path

    def __missing__(self, path: str) -> str:
        asked = dt.date.fromisoformat(re.search(r"date=([\d-]+)", path)[1])
        last = max(asked, SPAN[0]) + dt.timedelta(days=10)
        made = undisturbed(self.universe, Lake(str(self.folder / f"{last}")), last)
        self.update(made)
        return made[path]


def objects(lake: Lake) -> dict[str, str]:
    """Data version of every table of the lake, each read as a whole: one that is torn raises."""
    paths = [path.removeprefix(f"{lake.root}/") for path in lake.fs.find(f"{lake.root}/tiny")]
    return {
        path: lake.read_versioned(path)[1] for path in sorted(paths) if re.fullmatch(r".*/date=[^/]*\.parquet", path)
    }


@dataclass
class Chain:
    """The chain on one pair of stores, and the data versions that an undisturbed one has."""

    lem: Lem
    lake: Lake
    expected: dict[str, str]
    day: dt.date = SPAN[0]

    def backfill(self) -> tuple[str, ...]:
        """The command that makes the next day, which nothing has made before."""
        self.day += dt.timedelta(days=1)
        return ("backfill", "-u", "tiny", "--from", f"{self.day}", "--to", f"{self.day}")

    def complete(self) -> bool:
        """Whether the day's panel is there."""
        return self.lake.exists(self.lake.path("tiny", "panel", self.day))


@dataclass
class Line:
    """A fault, and what came of it: partitions lost, torn and duplicated, and slots leaked after `lem reap`."""

    fault: str
    tried: int = 0
    lost: int = 0
    torn: int = 0
    duplicated: int = 0
    slots: int = 0

    def judge(self, chain: Chain, before: dict[str, str], home: Path) -> None:
        """Look at the lake after a fault, repair by the next try, and look again."""
        self.tried += 1
        there = objects(chain.lake)
        self.lost += len(set(before) - set(there))
        self.torn += sum(chain.expected[path] != version for path, version in there.items())
        assert chain.lem.run("reap", "--yes") == 0, chain.lem.log.read_text()
        command = ("backfill", "-u", "tiny", "--from", f"{chain.day}", "--to", f"{chain.day}")
        assert chain.lem.run(*command) == 0, chain.lem.log.read_text()
        assert chain.complete()
        after = objects(chain.lake)
        self.lost += len(set(there) - set(after))
        self.torn += sum(chain.expected[path] != version for path, version in after.items())
        rows = sum(
            len(chain.lake.read_table(path)) - len(chain.lake.read_table(path).drop_duplicates())
            for path in (chain.lake.path("tiny", "bars", chain.day, asset) for asset in ("AAA-USD", "BBB-USD"))
        )
        self.duplicated += rows
        with history(home) as instance:
            self.slots += len(instance.event_log_storage.get_concurrency_run_ids())
            open_runs = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
            assert not open_runs, f"{open_runs} never end"
            universes = load_universes(chain.lem.folder / "universes").values()
            assert [found.what for found in unrecorded(instance, chain.lake, universes, set())] == []

    @property
    def row(self) -> str:
        figures = (self.lost, self.torn, self.duplicated, self.slots)
        return f"| {self.fault} | {self.tried} | {' | '.join(map(str, figures))} |"

    def check(self) -> None:
        """Assert that all is 0, and that the page says so of as many tries or more; or write the page's row."""
        assert (self.lost, self.torn, self.duplicated, self.slots) == (0, 0, 0, 0), self.row
        text = PAGE.read_text(encoding="utf-8")
        pattern = re.compile(rf"^\| {re.escape(self.fault)} \| (\d+) \|.*$", re.M)
        if os.environ.get("LEM_WRITE_FAULTS"):
            if pattern.search(text):
                text = pattern.sub(self.row, text)
            else:
                text = text.replace("\n<!-- end of the table -->", f"{self.row}\n\n<!-- end of the table -->", 1)
            PAGE.write_text(text, encoding="utf-8")
        found = pattern.search(text)
        assert found, f"docs/recovery.md has no line about {self.fault!r}: write it with LEM_WRITE_FAULTS=1"
        assert found[0].endswith("| 0 | 0 | 0 | 0 |")
        assert int(found[1]) >= self.tried


@contextlib.contextmanager
def history(home: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster's instance of a home."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def kill(pid: int) -> None:
    """kill -9, if it still runs."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
