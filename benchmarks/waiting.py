"""How long people wait for a command that only looks, and for the page of `lem ui`: processor time and wall time.

Each command is a process of its own, in a home with eight weeks of the sample universe's data, or in a copy of one that
is given, with models and reports say. Processor time, of all processes together, says nearly the same on a busy machine
as on a quiet one.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.common import ROOT, BenchmarkError, Column, Row, command_line, console, one_or_more, parser, publish

NAME = "waiting"
PATIENCE_S = 300.0
COMMANDS = (
    "lem --help",
    "lem status -u sample",
    "lem models list",
    "lem advise list -u sample",
    "lem alert check",
    "lem reap",
    "lem prune",
)
OF_REPORTS = ("lem report -u sample", "lem report -u sample --order")
"""Measured where the home has a report."""
UI = "lem ui, until the page answers"
LOOKED = (0, 3)
"""Exit codes of a command that has looked: `lem alert check` ends with 3 where something is wrong."""
DATA = ("backfill", "-u", "sample", "--from", "2024-02-04", "--to")
COLUMNS = (
    Column("what", "command"),
    Column("cpu_seconds", "CPU, s", ".2f"),
    Column("seconds", "wall, s", ".2f"),
    Column("low", "CPU, least", ".2f"),
    Column("high", "most", ".2f"),
)


def once(words: Sequence[str], env: Mapping[str, str]) -> tuple[float, float]:
    """Wall and processor seconds of a command.

    Raises:
        BenchmarkError: it failed.
    """
    before, start = _spent(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "lem_pipeline.cli", *words],
        cwd=env["LEM_HOME"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in LOOKED:
        raise BenchmarkError(f"lem {' '.join(words)}: it failed: {(done.stdout + done.stderr)[-2000:]}")
    return time.perf_counter() - start, _spent() - before


def page(env: Mapping[str, str]) -> tuple[float, float]:
    """Wall and processor seconds of `lem ui` until its page answers.

    Raises:
        BenchmarkError: it ends, or has not answered in time.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "lem_pipeline.cli", "ui", "--port", str(port)],
        cwd=env["LEM_HOME"],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while time.perf_counter() - start < PATIENCE_S:
            if process.poll() is not None:
                raise BenchmarkError(f"lem ui ended with {process.returncode}")
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer,
            ):
                if answer.status == 200:
                    return time.perf_counter() - start, _session_spent(process.pid)
            time.sleep(0.1)
        raise BenchmarkError(f"lem ui: the page has not answered in {PATIENCE_S:g} s")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def prepare(home: Path, given: Path | None, env: Mapping[str, str], quick: bool) -> list[str]:
    """Fill a home, and look once with each command: the first to load a module compiles it.

    Args:
        home: empty.
        given: a home that is copied; without one, data is made.
        env: of the commands.
        quick: three days of data instead of eight weeks.

    Returns:
        The commands that can be measured in it.

    Raises:
        BenchmarkError: the home is none, or a command failed.
    """
    if given is None:
        once([*DATA, "2024-02-06" if quick else "2024-03-31"], env)
    elif not (given / "registry.sqlite").is_file():
        raise BenchmarkError(f"--home {given}: it has no registry.sqlite; allowed: a folder as LEM_HOME names it")
    else:
        shutil.copytree(given, home, dirs_exist_ok=True)
    reported = (home / "lake/sample/execution_report").is_dir()
    commands = [*COMMANDS, *(OF_REPORTS if reported else ())]
    for command in commands:
        once(command.split()[1:], env)
    return [*commands, UI]


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _session_spent(session: int) -> float:
    """Processor seconds of the processes of a session, with those of their children that have ended."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            found = stat.read_text().rpartition(")")[2].split()
            if int(found[3]) == session:
                ticks += sum(map(int, found[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run the benchmark from the command line.

    Raises:
        BenchmarkError: a command failed.
    """
    cli = parser(NAME, __doc__.partition("\n")[0], seeds=None)
    cli.add_argument("--repeats", type=one_or_more, default=5, help="turns of every command (default 5)")
    cli.add_argument("--home", type=Path, help="a home with data, of which a copy is used; without it one is made")
    options = cli.parse_args()
    if not Path("/proc/self/stat").exists():
        raise BenchmarkError("this system has no /proc; allowed: Linux")
    # Where no compiled modules are kept, every start compiles this package anew; an installation keeps them.
    others = ("DAGSTER_HOME", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if name not in others and not name.startswith("LEM_")}
    with tempfile.TemporaryDirectory() as home:
        env = kept | {"LEM_HOME": home, "LEM_UNIVERSES": str(ROOT / "universes"), "PYTHONPATH": str(ROOT)}
        turns: dict[str, list[tuple[float, float]]] = {
            what: [] for what in prepare(Path(home), options.home, env, options.quick)
        }
        for _ in range(1 if options.quick else options.repeats):
            for what, found in turns.items():
                found.append(page(env) if what == UI else once(what.split()[1:], env))
        console.print(f"{len(turns)} commands, {len(turns[COMMANDS[0]])} turns")
    rows: list[Row] = []
    for what, found in turns.items():
        wall, cpu = zip(*found, strict=True)
        rows.append(
            {
                "what": what,
                "seconds": statistics.median(wall),
                "cpu_seconds": statistics.median(cpu),
                "low": min(cpu),
                "high": max(cpu),
            }
        )
    publish(NAME, "Waiting for a command", COLUMNS, rows, options, seeds=[])


if __name__ == "__main__":
    command_line(main)
