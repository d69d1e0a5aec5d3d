"""How fast one-minute bars get into the lake, and how much memory that takes by days.

They come from a loopback exchange and from archives. The same run measures the page loop of a common downloader and the
bare write speed of pyarrow. Ours does all that the assets do: fetch by day, write raw bars into the lake, read and
verify them again, validate, aggregate and write; each object is synced to the disk. The servers are the tests' own, in
processes of their own on the same machine, and take CPU time from the contender. So a row also tells what its own
process used, and `requests alone` tells how fast the exchange answers at all. All contenders ask for one page after the
other, and they take turns. Files go to the system's temporary folder (TMPDIR).
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from benchmarks import ingest_work
from benchmarks.common import BenchmarkError, Column, Row, command_line, console, parser, publish
from benchmarks.ingest_servers import served, symbols
from benchmarks.ingest_work import Job, Work

NAME = "ingest"
CONTENDERS: dict[str, tuple[str, Callable[[Job], Work]]] = {
    "lem, exchange": ("exchange", ingest_work.from_exchange),
    "lem, daily archives": ("archive", ingest_work.from_daily),
    "lem, monthly archives": ("archive", ingest_work.from_monthly),
    "ccxt page loop": ("exchange", ingest_work.page_loop),
    "zip and read_csv loop": ("archive", ingest_work.unzip_loop),
    "requests alone": ("exchange", ingest_work.requests_alone),
    "pyarrow, a file a day": ("", ingest_work.write_days),
    "pyarrow, a file an asset": ("", ingest_work.write_assets),
}
"""The server that each contender needs, and its work, by name."""
LOOP, BARE = "ccxt page loop", "pyarrow, a file a day"
WITH_MEMORY = ("lem, exchange", "lem, daily archives", "lem, monthly archives", LOOP, "zip and read_csv loop")
COLUMNS = (
    Column("who", "who"),
    Column("days", "days", "d"),
    Column("rows", "rows", ",d"),
    Column("rows_per_s", "rows/s", ",.0f"),
    Column("low", "lowest", ",.0f"),
    Column("high", "highest", ",.0f"),
    Column("cpu_us", "own CPU, us/row", ".2f"),
    Column("times_loop", "times the page loop", ".2f"),
    Column("times_loop_cpu", "the same, own CPU", ".2f"),
    Column("times_bare", "times pyarrow alone", ".3f"),
    Column("peak_mb", "peak MB", ".0f"),
    Column("grown_mb", "of it the work", ".0f"),
)


def processes() -> BaseContext:
    """Makes processes that begin with all libraries loaded and nothing else of this process."""
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.ingest_work"])
    return context


class Place:
    """Where the contenders meet.

    Args:
        context: makes their processes.
        names: of the assets.
        urls: of the servers by kind.
        bar: length of the validated bars.
    """

    def __init__(self, context: BaseContext, names: list[str], urls: dict[str, str], bar: str) -> None:
        self._context, self._names, self._urls, self._bar = context, names, urls, bar

    def measure(self, who: str, days: int) -> Row:
        """One turn of a contender.

        Raises:
            BenchmarkError: it has not written every bar once.
        """
        kind, contender = CONTENDERS[who]
        with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(1, mp_context=self._context) as pool:
            job = Job(self._names, days, self._urls.get(kind, ""), Path(folder), self._bar)
            done = pool.submit(ingest_work.measured, contender, job).result()
        wanted = len(self._names) * days * 1440
        if done["rows"] != wanted:
            raise BenchmarkError(f"{who}: {done['rows']} rows of {days} days are written; there are {wanted}")
        console.print(f"  {who}, {days} days: {done['seconds']:.1f} s")
        return done


def rows_of(turns: dict[str, list[Row]], days: int) -> list[Row]:
    """One row for each contender: medians over its turns, and ratios to the page loop and to pyarrow, by turns."""

    def rate(turn: Row) -> float:
        return turn["rows"] / turn["seconds"]

    def ratio(who: str, to: str, of: Callable[[Row], float]) -> float:
        return statistics.median(of(a) / of(b) for a, b in zip(turns[who], turns[to], strict=True))

    rows = []
    for who, done in turns.items():
        rates = [rate(turn) for turn in done]
        row: dict[str, Any] = {
            "who": who,
            "days": days,
            "rows": done[0]["rows"],
            "rows_per_s": statistics.median(rates),
            "low": min(rates),
            "high": max(rates),
            "cpu_us": statistics.median(1e6 * turn["cpu_seconds"] / turn["rows"] for turn in done),
            "times_bare": ratio(who, BARE, rate),
            "turns": done,
        }
        if who not in (BARE, "pyarrow, a file an asset", "requests alone"):
            row["times_loop"] = ratio(who, LOOP, rate)
            row["times_loop_cpu"] = ratio(who, LOOP, lambda turn: turn["rows"] / turn["cpu_seconds"])
        rows.append(row)
    return rows


def main() -> None:
    """Run the benchmark from the command line."""
    cli = parser(NAME, "Rows per second into the lake, and the memory that it takes.", seeds=None)
    cli.add_argument("--repeats", type=int, default=3, help="turns of every contender (default 3)")
    cli.add_argument("--assets", type=int, default=10, help="assets (default 10; at most 26)")
    cli.add_argument("--bar", choices=("1min", "1h"), default="1h", help="length of the validated bars (default 1h)")
    options = cli.parse_args()
    if options.repeats < 1 or not 1 <= options.assets <= 26:
        raise BenchmarkError(
            f"--repeats {options.repeats} --assets {options.assets}; allowed: 1 or more repeats, 1 to 26 assets"
        )
    count, repeats, spans = (2, 1, [2]) if options.quick else (options.assets, options.repeats, [10, 30, 90])
    names, days, context = symbols(count), spans[-1], processes()
    with ExitStack() as stack:
        urls = {kind: stack.enter_context(served(context, kind, names, days)) for kind in ("exchange", "archive")}
        place = Place(context, names, urls, options.bar)
        turns: dict[str, list[Row]] = {who: [] for who in CONTENDERS}
        for turn in range(repeats):
            console.print(f"turn {turn + 1} of {repeats}")
            for who, done in turns.items():
                done.append(place.measure(who, days))
        console.print("memory")
        rows = rows_of(turns, days)
        for who in WITH_MEMORY:
            for span in spans:
                turn_of = turns[who][-1] if span == days else place.measure(who, span)
                rows.append({"who": f"{who}: memory", "days": span, **turn_of})
    publish(NAME, f"Ingestion of {count} assets", COLUMNS, rows, options, seeds=[])


if __name__ == "__main__":
    command_line(main)
