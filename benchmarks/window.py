"""A training window of many assets: time and memory to read its panels, to make them one panel, and of training steps.

    python -m benchmarks.window [--assets 10 50 200] [--days 730] [--steps 20] [--quick]

For each number of assets the panels of driftless hourly bars are stored, a partition a day, in a lake of its own (not
timed). A process of its own then reads them as a nightly training does and trains. Peak memory is that of the process
so far, imports included; a step's time is the mean of those after the first.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.common import ROOT, BenchmarkError, Column, Row, command_line, one_or_more, parser, publish
from lem.backtest.driftless import driftless_panel
from lem.data.features import FEATURES
from lem.data.panel import PANEL_SCHEMA, Panel
from lem.execution.costs_config import CostsConfig
from lem.lake import Lake
from lem.lineage.tables import read_range
from lem.training.trainer import train
from lem.universe import Universe
from lem.universe.model_config import ModelConfig
from lem.universe.training_config import TrainingConfig

NAME, UNIVERSE, HORIZON, TOGETHER = "window", "bench", 12, 10
COLUMNS = (
    Column("assets", "assets", ",d"),
    Column("bars", "bars", ",d"),
    Column("read_seconds", "read, s", ".1f"),
    Column("read_mb", "peak so far, MB", ",.0f"),
    Column("panel_seconds", "one panel, s", ".1f"),
    Column("panel_mb", "peak so far, MB", ",.0f"),
    Column("step_seconds", "a step, s", ".2f"),
    Column("peak_mb", "peak of all, MB", ",.0f"),
)


def universe_of(assets: int, days: int) -> Universe:
    """Driftless assets, hourly, from the first day that has features."""
    first = dt.date(2024, 1, 1)
    names: dict[str, dict[str, Any]] = {f"A{number:03}-USD": {} for number in range(assets)}
    dates = {"start": first, "end": first + dt.timedelta(days=days - 1)}
    return Universe.model_validate({"name": UNIVERSE, "assets": names, "source": {"kind": "simulated"}} | dates)


def store(universe: Universe, folder: Path, days: int) -> None:
    """Write the panel of each day, made a few assets at a time."""
    lake, symbols, parts = Lake(str(folder)), universe.symbols, list[Panel]()
    for at in range(0, len(symbols), TOGETHER):
        parts.append(driftless_panel(len(symbols[at : at + TOGETHER]), days, seed=at))
    for number in range(days):
        rows = slice(number * 24, (number + 1) * 24)
        at, tables = 0, list[pd.DataFrame]()
        for part in parts:
            # The features begin after their history: the panel's last `days` days have all of them.
            cut = part.cut(part.bars - 24 * days + rows.start, part.bars - 24 * days + rows.stop)
            tables += [table_of(cut, row, symbols[at + row]) for row in range(len(part.assets))]
            at += len(part.assets)
        date = universe.start + dt.timedelta(days=number)
        lake.write_table(lake.path(UNIVERSE, "panel", date), pd.concat(tables, ignore_index=True), PANEL_SCHEMA)


def table_of(panel: Panel, row: int, symbol: str) -> pd.DataFrame:
    """A panel's asset as rows of a stored one."""
    ts = pd.DatetimeIndex(panel.ts_T).tz_localize("UTC")
    by_name = {name: panel.features_NTF[row, :, place].astype(float) for place, name in enumerate(FEATURES)}
    arrays = ("vwap", "close", "volume", "sigma", "mean_volume")
    values = {name: getattr(panel, f"{name}_NT")[row] for name in arrays} | {"valid": panel.valid_NT[row]}
    table = pd.DataFrame({"asset": symbol, "ts": ts, "close_ts": ts + pd.Timedelta("1h"), **by_name, **values})
    return table.reindex(columns=PANEL_SCHEMA.names)


def peak_mb() -> float:
    """Peak memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(folder: Path, assets: int, days: int, steps: int) -> Row:
    """Read the window, make the panel, train; in this process."""
    universe = universe_of(assets, days)
    dates = [universe.start + dt.timedelta(days=number) for number in range(days)]
    start = time.perf_counter()
    table, _ = read_range(Lake(str(folder)), universe, "panel", dates)
    row: Row = {"assets": assets, "read_seconds": time.perf_counter() - start, "read_mb": peak_mb()}
    start = time.perf_counter()
    panel = Panel.from_table(table)
    del table
    row |= {"panel_seconds": time.perf_counter() - start, "panel_mb": peak_mb()}
    if not np.isfinite(panel.sigma_NT).all():
        raise BenchmarkError("the stored panels have bars without features")
    seconds = []
    for count in (1, 1, 1 + steps):  # the first one of all also reads the theory's tables
        start = time.perf_counter()
        train(panel, HORIZON, ModelConfig(), TrainingConfig(steps=count), CostsConfig())
        seconds.append(time.perf_counter() - start)
    return row | {"bars": assets * panel.bars, "step_seconds": (seconds[2] - seconds[1]) / steps, "peak_mb": peak_mb()}


def in_process(assets: int, options: argparse.Namespace) -> Row:
    """The row of one number of assets."""
    with tempfile.TemporaryDirectory() as place:
        store(universe_of(assets, options.days), Path(place), options.days)
        command = [sys.executable, "-m", "benchmarks.window", "--folder", place, "--assets", str(assets)]
        command += ["--days", str(options.days), "--steps", str(options.steps)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{assets} assets: it failed: {done.stderr[-2000:]}")
    found: Row = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Run the benchmark from the command line.

    Raises:
        BenchmarkError: a process failed.
    """
    cli = parser(NAME, __doc__.partition("\n")[0], seeds=None)
    cli.add_argument("--assets", type=one_or_more, nargs="+", default=[10, 50, 200], help="default 10 50 200")
    cli.add_argument("--days", type=one_or_more, default=730, help="of the window (default 730)")
    cli.add_argument("--steps", type=one_or_more, default=20, help="of the training (default 20)")
    cli.add_argument("--folder", type=Path, help="measure a stored window in this process; its row as JSON")
    options = cli.parse_args()
    if options.folder:
        print(json.dumps(measured(options.folder, options.assets[0], options.days, options.steps)))
        return
    if options.quick:
        options.assets, options.days, options.steps = [2], 30, 1
    rows = [in_process(assets, options) for assets in options.assets]
    publish(NAME, "A training window", COLUMNS, rows, options, seeds=[])


if __name__ == "__main__":
    command_line(main)
