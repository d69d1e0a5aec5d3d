"""A whole night by stage, from closed bars to the report: time, its share, and the memory of the process.

    python -m benchmarks.night [--assets 10 50 200] [--days 60] [--steps 800] [--workers 1] [--quick]

For each number of simulated assets, hourly, a home of its own is filled up to the night before (not timed); then
`lem run` makes the last night in a process of its own: bars, features, panel, a new model, its decision, the backtest
of all strategies and the report. The time of a stage is that of its steps in Dagster's history, with their checks; the
rest is imports, planning and what is printed. Peak memory is that of the whole process, training included.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import ROOT, BenchmarkError, Column, Row, command_line, console, one_or_more, parser, publish

NAME, UNIVERSE = "night", "bench"
START, REPORT_DAYS = dt.date(2023, 1, 1), 7
MARGIN_DAYS = 30
"""Days before the first training window: history of features, and warm-up."""
STAGES = ("raw_bars", "bars", "features", "panel", "lem_model", "champion", "backtest", "execution_report")
SMOKE_TEXT = """batch = 2
sequence = 64
[model]
hidden = 8
head_hidden = 8
lookback = 16
warmup = 20
"""
COLUMNS = (
    Column("assets", "assets", ",d"),
    Column("what", "what"),
    Column("seconds", "seconds", ".1f"),
    Column("share", "of the night", ".0%"),
    Column("cpu_seconds", "CPU, s", ".1f"),
    Column("peak_mb", "peak memory, MB", ",.0f"),
    Column("lake_mb", "lake, MB", ",.0f"),
)


@dataclass(frozen=True)
class Size:
    """What a night is of.

    Args:
        assets: simulated, hourly.
        days: that a model learns from.
        steps: of its training.
        workers: processes that share the training.
        smoke: with a tiny model.
    """

    assets: int
    days: int
    steps: int
    workers: int
    smoke: bool


def last_night(days: int) -> dt.date:
    """The night that is timed."""
    weeks = -(-(MARGIN_DAYS + days + 2 * REPORT_DAYS) // REPORT_DAYS)
    return START + dt.timedelta(days=weeks * REPORT_DAYS)


def universe_text(size: Size) -> str:
    """The universe file; the last night that has a report trains a model, and so does one a week before.

    The last date has none: its orders trade on after it.
    """
    end = last_night(size.days) + dt.timedelta(days=1)
    names = "\n".join(f"A{number:03}-USD = {{}}" for number in range(size.assets))
    return f"""
name = "{UNIVERSE}"
start = {START}
end = {end}
[source]
kind = "simulated"
seed = 1
[assets]
{names}
[training]
window_days = {size.days}
retrain_every = {REPORT_DAYS}
steps = {size.steps}
workers = {size.workers}
{SMOKE_TEXT if size.smoke else ""}[backtest]
report_days = {REPORT_DAYS}
"""


def lem(folder: Path, *words: str) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak memory (MB) of a command.

    Raises:
        BenchmarkError: it failed.
    """
    before = {
        name: value for name, value in os.environ.items() if name != "DAGSTER_HOME" and not name.startswith("LEM_")
    }
    env = before | {"LEM_HOME": f"{folder}/home", "LEM_UNIVERSES": f"{folder}/universes", "PYTHONPATH": str(ROOT)}
    output, start = folder / "output.txt", time.perf_counter()
    with output.open("wb") as opened:
        command = [sys.executable, "-m", "lem_pipeline.cli", *words]
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=opened, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BenchmarkError(f"lem {' '.join(words)}: it failed: {output.read_text(errors='replace')[-2000:]}")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def stage_seconds(folder: Path, since: float) -> Counter[str]:
    """Seconds of each stage's steps, checks included, in the runs that began since a time.

    Raises:
        BenchmarkError: Dagster's history cannot be read.
    """
    script = (
        "import json, sys, dagster as dg\n"
        "instance = dg.DagsterInstance.get()\n"
        "runs = [r for r in instance.get_run_records(limit=200) if (r.start_time or 0) >= float(sys.argv[1])]\n"
        "steps = [s for r in runs for s in instance.get_run_step_stats(r.dagster_run.run_id)]\n"
        "print(json.dumps([[s.step_key, s.end_time - s.start_time] for s in steps if s.start_time and s.end_time]))\n"
    )
    env = os.environ | {"DAGSTER_HOME": f"{folder}/home/dagster"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(since)], env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchmarkError(f"Dagster's history cannot be read: {done.stderr[-2000:]}")
    found: Counter[str] = Counter()
    for key, seconds in json.loads(done.stdout.splitlines()[-1]):
        step = key.removeprefix(f"{UNIVERSE}__")
        # A check is a step of its own, named after its stage.
        found[next(stage for stage in STAGES if step == stage or step.startswith(f"{stage}_"))] += seconds
    return found


def night(size: Size) -> list[Row]:
    """The rows of one number of assets: the night, and each of its stages."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "universes").mkdir()
        (folder / "universes" / f"{UNIVERSE}.toml").write_text(universe_text(size), encoding="utf-8")
        last = last_night(size.days)
        filled, _, _ = lem(folder, "run", "-u", UNIVERSE, "-d", f"{last - dt.timedelta(days=1)}")
        console.print(f"{size.assets} assets: the nights before took {filled:.0f} s")
        since = time.time()
        seconds, cpu, peak = lem(folder, "run", "-u", UNIVERSE, "-d", f"{last}")
        stages = stage_seconds(folder, since)
        bytes_ = sum(path.stat().st_size for path in (folder / "home/lake").rglob("*") if path.is_file())
    whole: Row = {"what": "the night", "seconds": seconds, "cpu_seconds": cpu, "peak_mb": peak, "lake_mb": bytes_ / 1e6}
    parts = {stage: stages[stage] for stage in STAGES} | {"the rest": seconds - sum(stages.values())}
    rows: list[Row] = [whole, *({"what": what, "seconds": part} for what, part in parts.items())]
    return [vars(size) | row | {"share": row["seconds"] / seconds, "filled_seconds": filled} for row in rows]


def main() -> None:
    """Run the benchmark from the command line.

    Raises:
        BenchmarkError: a command failed.
    """
    cli = parser(NAME, __doc__.partition("\n")[0], seeds=None)
    cli.add_argument("--assets", type=one_or_more, nargs="+", default=[10, 50, 200], help="default 10 50 200")
    cli.add_argument("--days", type=one_or_more, default=60, help="days that a model learns from (default 60)")
    cli.add_argument("--steps", type=one_or_more, default=800, help="training steps (default 800, as a universe has)")
    cli.add_argument("--workers", type=one_or_more, default=1, help="processes that share the training (default 1)")
    options = cli.parse_args()
    sizes = [Size(assets, options.days, options.steps, options.workers, smoke=False) for assets in options.assets]
    if options.quick:
        sizes = [Size(2, 20, 2, 1, smoke=True)]
    rows = [row for size in sizes for row in night(size)]
    publish(NAME, "A night by stage", COLUMNS, rows, options, seeds=[])


if __name__ == "__main__":
    command_line(main)
