"""How long people wait for a command that only looks, and for the page of `lem ui`: processor time and wall time.

Each command is a process of its own, in a home with an empty registry and no data. Processor time, of all processes
together, says the same on a busy machine as on a quiet one, nearly.
"""

from __future__ import annotations

import contextlib
import os
import resource
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
    "lem ui, until the page answers",
)
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
    if done.returncode:
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
    options = cli.parse_args()
    if not Path("/proc/self/stat").exists():
        raise BenchmarkError("this system has no /proc; allowed: Linux")
    turns: dict[str, list[tuple[float, float]]] = {what: [] for what in COMMANDS}
    kept = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME" and not name.startswith("LEM_")}
    with tempfile.TemporaryDirectory() as home:
        env = kept | {"LEM_HOME": home, "LEM_UNIVERSES": str(ROOT / "universes"), "PYTHONPATH": str(ROOT)}
        once(["models", "list"], env)  # makes the registry
        for _ in range(1 if options.quick else options.repeats):
            for what, found in turns.items():
                found.append(page(env) if what == COMMANDS[-1] else once(what.split()[1:], env))
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
