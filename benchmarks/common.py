"""Shared by all benchmarks: arguments, machine and commit, statistics over seeds, the table and the file.

A benchmark collects rows, one dictionary a row, and calls `publish`: the same rows become a table in the terminal and
a JSON file below `benchmarks/out`.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from lem.errors import LemError
from lem.lake import Lake

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "out"
SMOKE = "SMOKE RUN: tiny settings that only show that the benchmark works; its figures say nothing"
_WIDEST = 250
console = Console(soft_wrap=True, highlight=False)

Row = dict[str, Any]


class BenchmarkError(LemError):
    """A benchmark cannot run as asked: bad arguments, no peer, or a place that cannot be written."""


@dataclass(frozen=True)
class Spread:
    """Mean, sample standard deviation (NaN of a single value) and number of values."""

    mean: float
    sd: float
    count: int


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation, usually over seeds.

    Raises:
        BenchmarkError: there are no values.
    """
    if not values:
        raise BenchmarkError("spread: there are no values; allowed: one or more, one a seed")
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else math.nan, len(values))


@dataclass(frozen=True)
class Column:
    """A column of the table: the row's key, its title, and the format of its numbers."""

    key: str
    title: str
    format: str = ""

    def text(self, row: Row) -> str:
        """The row's cell as text."""
        value = row.get(self.key)
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            return "–"
        return format(value, self.format) if isinstance(value, int | float) else str(value)


def one_or_more(text: str) -> int:
    """A command-line argument as a whole number of at least 1.

    Raises:
        ArgumentTypeError: it is no whole number, or below 1.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number; allowed: 1 or more")
    return int(text)


def place_of_a_file(text: str) -> Path:
    """A command-line argument as a file to write, tested now because the figures may take hours.

    Raises:
        ArgumentTypeError: it is a folder, or this user may not write to the folder it is in.
    """
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder; allowed: a file, as {path / 'figures.json'}")
    there = next(parent for parent in path.absolute().parents if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text}: {there} is no folder that this user may write to")
    return path


def parser(name: str, description: str, seeds: int | None = 5) -> argparse.ArgumentParser:
    """The arguments that every benchmark has: --seeds, --out and --quick.

    Args:
        name: of the benchmark; its file is `benchmarks/out/NAME.json`, that of a smoke run `NAME-quick.json`.
        description: shown by --help.
        seeds: the default of --seeds; None for a benchmark that has no use for several.
    """
    made = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    if seeds is not None:
        made.add_argument(
            "--seeds", type=one_or_more, default=seeds, help=f"number of seeds: 0, 1, ... (default {seeds})"
        )
        made.add_argument("--jobs", type=one_or_more, default=cores(), help="seeds at a time (default: one a core)")
    made.add_argument("--out", type=place_of_a_file, help=f"the JSON file (default benchmarks/out/{name}.json)")
    made.add_argument("--quick", action="store_true", help="a smoke run of some seconds; its figures say nothing")
    return made


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_model() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        name = ["sysctl", "-n", "machdep.cpu.brand_string"]
        asked = subprocess.run(name, capture_output=True, text=True, check=False)
        if asked.returncode == 0 and asked.stdout.strip():
            return asked.stdout.strip()
    return platform.processor() or platform.machine()


def machine() -> Row:
    """The machine that the figures come from, without its name or any path on it."""
    return {
        "cpu": _cpu_model(),
        "cores": cores(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def commit() -> str | None:
    """The git commit, with `-dirty` if the tree has changes; None outside of a repository."""
    asked = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _plain(value: Any) -> Any:
    """The value as JSON allows it: without NaN and infinity, and of a path only the name."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.name if isinstance(value, Path) else value


def write_json(path: Path, document: Row) -> None:
    """Write atomically: afterwards there is the old file or the new one.

    Raises:
        BenchmarkError: the file cannot be written, or a value is not of a type that JSON has.
    """
    try:
        data = json.dumps(_plain(document), indent=1, allow_nan=False, ensure_ascii=False)
        Lake(str(path.parent)).write_bytes(path.name, data.encode() + b"\n")
    except (LemError, TypeError, ValueError) as error:
        raise BenchmarkError(f"--out {path}: {error}") from error


def show(title: str, columns: Sequence[Column], rows: Sequence[Row]) -> None:
    """Print rows as a table.

    Args:
        title: above the table.
        columns: of the table.
        rows: the figures.
    """
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column.title, justify="right" if column.format else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(column.text(row) for column in columns))
    # A table wider than the terminal wraps there, so that no figure is cut short.
    Console(width=_WIDEST, highlight=False).print(table)


def publish(
    name: str,
    title: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    arguments: argparse.Namespace,
    seeds: Sequence[int] | None = None,
    **more: Any,
) -> Path:
    """Print the rows as a table, and write them as JSON with everything that is needed to run them again.

    Args:
        name: of the benchmark.
        title: above the table.
        columns: of the table.
        rows: the figures; the file has every key of them.
        arguments: of `parser(name, ...)`.
        seeds: those that were used, if they are not the 0, 1, ... of --seeds.
        **more: further keys of the document.

    Returns:
        The JSON file: name, date (UTC), smoke, machine, commit, seeds, arguments, rows, and `more`.

    Raises:
        BenchmarkError: the file cannot be written.
    """
    path = arguments.out or OUT / f"{name}{'-quick' if arguments.quick else ''}.json"
    where = machine()
    if arguments.quick:
        console.print(SMOKE)
    show(f"{title} (SMOKE RUN)" if arguments.quick else title, columns, rows)
    console.print(f"{where['cpu']}, {where['cores']} cores, {where['threads']} threads, torch {where['torch']}")
    document = {
        "name": name,
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "smoke": arguments.quick,
        "machine": where,
        "commit": commit(),
        "seeds": list(range(arguments.seeds) if seeds is None else seeds),
        "arguments": {key: value for key, value in vars(arguments).items() if key != "out"},
        **more,
        "rows": list(rows),
    }
    write_json(path, document)
    console.print(f"written: {path}")
    return path


def command_line(main: Callable[[], Any]) -> None:
    """Run a benchmark's main function.

    Raises:
        SystemExit: with the message of an error that a user can act on, and code 1.
    """
    try:
        main()
    except LemError as error:
        raise SystemExit(f"error: {error}") from error


def each_seed(run: Callable[..., Any], seeds: Sequence[int], jobs: int, *arguments: Any) -> list[Any]:
    """`run(seed, *arguments)` for every seed, in their order, `jobs` at a time in processes of one thread each.

    Training spends its time in small operations, which a second thread slows down; two seeds at once use two cores.
    """
    torch.set_num_threads(1)
    if jobs == 1 or len(seeds) == 1:
        return [run(seed, *arguments) for seed in seeds]
    with ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        return list(pool.map(run, seeds, *([argument] * len(seeds) for argument in arguments)))
