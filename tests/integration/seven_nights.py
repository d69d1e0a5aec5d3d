"""Seven nights of a tiny universe by the real daemon, on a fast clock, and the story that Dagster's history tells.

Nobody does anything but what happens to a night by itself: the rows of one asset come hours late, and one run's process
is killed. Everything else is the daemon's.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionsFilter, BulkActionStatus
from dagster._core.scheduler.instigation import InstigatorTick, TickStatus

from lem.lake import Lake
from lem.sources.simulated import Simulated
from lem.universe import Universe
from resources.processes import pid_of
from resources.stores import PROCESS_TAG
from tests.conftest import ROOT
from tests.integration.deployment import Deployment
from tests.integration.fast_clock import FastClock
from tests.integration.recovery import history, kill

COLUMNS = ["ts", "open", "high", "low", "close", "volume", "quote_volume"]
FACTOR = 10
"""Seconds that pass in one while something is to be done. When all is at rest, the clock goes on to the next try."""
START = dt.datetime(2024, 1, 18, 12, tzinfo=dt.UTC)
"""When the first report is made, by hand; the daemon is started some hours later."""
NIGHTS = [START.date() + dt.timedelta(days=n) for n in range(1, 8)]
REPORTS = [night - dt.timedelta(days=2) for night in NIGHTS]
"""Dates whose orders have all ended when a night begins: they end on the day after."""
LATE, LATE_NIGHT = "BBB-USD", NIGHTS[3]
LATE_DATE, ROWS_COME = LATE_NIGHT - dt.timedelta(days=1), dt.time(6)
"""The asset and the date whose rows are not there when their night begins, and when they come."""
KILLED = NIGHTS[5]
"""The night whose training is killed."""
RETRY_HOURS = 12
KEYS: dict[str, Any] = {
    "start": "2023-12-25",
    "end": None,
    "description": "Two pairs, seven nights",
    "source": {"kind": "files", "url": "{data}/{symbol}.csv"},
    "night": {"enabled": True, "retry_hours": RETRY_HOURS, "catch_up_days": 2},
    "training": {"window_days": 8, "holdout_days": 2, "steps": 40, "batch": 2, "sequence": 12, "retrain_every": 3},
    "backtest": {"min_bars": [1, 3], "report_days": 7, "bootstrap": 100},
}
# Dagster counts these in seconds of the wall clock: one that runs fast would find every run too slow and every process
# dead. `lem` writes 21600 and 300 in their place, and deploy/laptop.yaml the same retries.
YAML = f"""\
telemetry: {{enabled: false}}
nux: {{enabled: false}}
concurrency: {{runs: {{max_concurrent_runs: 3}}, pools: {{default_limit: 1, granularity: run}}}}
run_monitoring:
  enabled: true
  poll_interval_seconds: {5 * FACTOR}
  start_timeout_seconds: {300 * FACTOR}
  cancel_timeout_seconds: {300 * FACTOR}
  max_runtime_seconds: {1200 * FACTOR}
  free_slots_after_run_end_seconds: {5 * FACTOR}
run_retries: {{enabled: true, max_retries: 1, retry_on_asset_or_op_failure: false}}
"""
TRIES = [dt.datetime.combine(night, dt.time(hour, 30), dt.UTC) for night in NIGHTS for hour in (0, RETRY_HOURS)]
"""When the automation asks: when a night begins, and when what is missing or failed is tried again."""
PATIENCE = dt.timedelta(hours=RETRY_HOURS - 1)
"""How long after such a moment all must be at rest, by the fast clock: an hour by any other."""


OPEN = BulkActionsFilter(statuses=[s for s in BulkActionStatus if s not in BULK_ACTION_TERMINAL_STATUSES])


@dataclass(frozen=True)
class Told:
    """What was done to the nights, and when they were over.

    Args:
        rows_came, ended: by the fast clock, ISO 8601. killed: the run whose process was killed. wall_s, cpu_s: what the
        nights took.
    """

    rows_came: str
    ended: str
    killed: str
    wall_s: float
    cpu_s: float

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Told:
        return cls(**json.loads(path.read_text()))


class SevenNights:
    """A folder with data, universe and home, as a user's would be.

    Args:
        folder: `universes/tiny.toml` is there. universe: simulated, of the same name, start and assets.
        data: where the files are, if not in the folder.
    """

    def __init__(self, folder: Path, universe: Universe, data: Path | None = None) -> None:
        self.folder, self.home, self.data = folder, folder / "home", data or folder / "data"
        self.history = self.home / "dagster"
        self.lake = Lake(str(self.home / "lake"))
        self._market, self._symbols, self._first = Simulated(universe), universe.symbols, universe.start

    def first_report(self) -> None:
        """The files, one of them without the late rows, and what was made before the first night, up to a report."""
        self.data.mkdir()
        for symbol in self._symbols:
            rows = self._rows(symbol)
            late = (symbol == LATE) & (rows["ts"].dt.date == LATE_DATE)
            self._write(symbol, rows[~late])
        self.history.mkdir(parents=True)
        (self.history / "dagster.yaml").write_text(YAML)
        self.command("night", "-u", "tiny", at=START)
        shutil.copytree(self.home, self.folder / "before")

    def command(self, *arguments: str, at: dt.datetime) -> str:
        """`lem` as it is called at a moment, in which the clock stands still; what it says."""
        done = subprocess.run(
            [sys.executable, "-m", "lem_pipeline.cli", *arguments],
            cwd=self.folder,
            env=self._env(FastClock(self.folder, at)),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def pass_by(self) -> Told:
        """The nights: the daemon is started in the evening before the first, and stopped when it has come to rest."""
        began, clock = time.monotonic(), FastClock(self.folder, START + dt.timedelta(hours=8))
        over = threading.Event()
        services = Deployment(
            self.history,
            self._env(clock),
            yaml=YAML,
            location=ROOT / "lem_pipeline" / "definitions.py",
            daemon="tests.integration.eager_daemon",
        )
        with history(self.history) as instance, ThreadPoolExecutor() as pool:
            try:
                services.start("code server")
                services.start("daemon")
                self._rest(instance, clock)
                killed = pool.submit(self._kill, instance, over)
                for moment in TRIES:
                    clock.set(moment)
                    self._rest(instance, clock)
                    if (moment.date(), moment.hour) == (LATE_NIGHT, 0):
                        clock.set(max(clock.now, dt.datetime.combine(LATE_NIGHT, ROWS_COME, dt.UTC)))
                        self._write(LATE, self._rows(LATE))
                        rows_came = clock.now
            finally:
                over.set()
                services.__exit__()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall_s, cpu_s = time.monotonic() - began, used.ru_utime + used.ru_stime
        told = Told(rows_came.isoformat(), clock.now.isoformat(), killed.result(), wall_s, cpu_s)
        told.save(self.folder / "told.json")
        return told

    def _kill(self, instance: dg.DagsterInstance, over: threading.Event) -> str:
        """Kill the training of its night while its step runs, as soon as it does; the run."""
        wanted = dg.RunsFilter(tags={"dagster/partition": str(KILLED)}, statuses=[dg.DagsterRunStatus.STARTED])
        while not over.wait(0.25):
            for run in instance.get_runs(wanted):
                training = run.asset_selection == {dg.AssetKey(["tiny", "lem_model"])}
                process = pid_of(run.tags.get(PROCESS_TAG, ""))
                if training and process and instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_START):
                    kill(process)
                    return run.run_id
        raise AssertionError(f"no training for {KILLED} was ever seen:\n{table(story(instance))}")

    def _rest(self, instance: dg.DagsterInstance, clock: FastClock) -> None:
        """Let the clock run until two evaluations have asked for nothing and nothing is open or to be tried again."""
        since = clock.now.timestamp()

        def resting() -> bool:
            records = instance.get_run_records(limit=50)
            runs = [record.dagster_run for record in records]
            retried = {run.parent_run_id for run in runs}
            # What an evaluation asks for is a backfill, which asks for the runs.
            if any(not run.is_finished for run in runs) or instance.get_backfills(OPEN):
                return False
            if any(run.tags.get("dagster/will_retry") == "true" and run.run_id not in retried for run in runs):
                return False
            ends = [record.end_time for record in records]
            ends += [backfill.backfill_end_timestamp for backfill in instance.get_backfills(limit=50)]
            over = max(since, *(end or 0 for end in ends))
            return [tick.status for tick in evaluations(instance) if tick.timestamp > over] == 2 * [TickStatus.SKIPPED]

        try:
            clock.run(FACTOR, resting, clock.now + PATIENCE)
        except TimeoutError as error:
            log = (self.history / "daemon.log").read_text()[-3000:]
            raise AssertionError(f"no rest: {error}\n{table(story(instance))}\n{log}") from error

    def _rows(self, symbol: str) -> pd.DataFrame:
        first = dt.datetime.combine(self._first, dt.time(), dt.UTC)
        last = dt.datetime.combine(NIGHTS[-1] + dt.timedelta(days=3), dt.time(), dt.UTC)
        return self._market.fetch(symbol, first, last).table[COLUMNS]

    def _write(self, symbol: str, rows: pd.DataFrame) -> None:
        """As a vendor does: the file that is read is whole."""
        path = self.data / f"{symbol}.csv"
        rows.assign(ts=rows["ts"].dt.strftime("%FT%TZ")).to_csv(path.with_suffix(".new"), index=False)
        path.with_suffix(".new").replace(path)

    @property
    def settings(self) -> dict[str, str]:
        """What a user of this folder has in the environment."""
        return {
            "LEM_HOME": str(self.home),
            "LEM_UNIVERSES": str(self.folder / "universes"),
            "LEM_DATA": str(self.data),
        }

    def _env(self, clock: FastClock) -> dict[str, str]:
        own = {"PYTHONPATH": str(ROOT), "DAGSTER_HOME": str(self.history), "OMP_NUM_THREADS": "1", "COLUMNS": "250"}
        return {**os.environ, **self.settings, **own, **clock.env}


@dataclass(frozen=True)
class Chapter:
    """A run of the nights.

    Args:
        at: when it was asked for (UTC, by the fast clock). tables, partitions: what it was to make. retry: the run that
            it tries again.
    """

    run: str
    at: dt.datetime
    tables: tuple[str, ...]
    partitions: str
    status: str
    retry: str | None


def story(instance: dg.DagsterInstance) -> list[Chapter]:
    """Every run of the daemon in the order in which they were asked for."""
    chapters = []
    for record in instance.get_run_records(dg.RunsFilter(tags={"lem/night": "automation"}), ascending=True):
        run, tags = record.dagster_run, record.dagster_run.tags
        first, last = (tags.get(f"dagster/asset_partition_range_{end}", "") for end in ("start", "end"))
        partitions = tags.get("dagster/partition") or f"{first} ... {last}"
        tables = tuple(sorted(key.path[-1] for key in run.asset_selection or ()))
        at = record.create_timestamp
        chapters.append(Chapter(run.run_id, at, tables, partitions, run.status.value, run.parent_run_id))
    return chapters


def table(chapters: list[Chapter]) -> str:
    """The story as a table of Markdown."""
    numbers = {chapter.run: number for number, chapter in enumerate(chapters, 1)}
    lines = ["| run | asked for | makes | partitions | status |", "|---|---|---|---|---|"]
    for number, chapter in enumerate(chapters, 1):
        again = f", tries run {numbers[chapter.retry]} again" if chapter.retry else ""
        what = f"{chapter.at:%a %d %H:%M} | {', '.join(chapter.tables)} | {chapter.partitions}"
        lines.append(f"| {number} | {what} | {chapter.status}{again} |")
    return "\n".join(lines)


def evaluations(instance: dg.DagsterInstance) -> list[InstigatorTick]:
    """The last two ticks of the automation, the latest first."""
    states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    return [tick for s in states for tick in instance.get_ticks(s.instigator_origin_id, s.selector_id, limit=2)]


def made(instance: dg.DagsterInstance, table: str) -> set[str]:
    """Keys of the partitions of a table that Dagster's history knows."""
    return set(instance.get_materialized_partitions(dg.AssetKey(["tiny", table])))
