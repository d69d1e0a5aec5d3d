"""The work that `benchmarks.ingest` times: our way into the lake, and what others do with the same bars.

Each piece of work runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import datetime as dt
import io
import math
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ccxt
import pandas as pd
import pyarrow as arrow
import requests
from pyarrow import parquet

import lem.sources.archive  # noqa: F401  elsewhere imported on use; here before the clock starts
import lem.sources.ccxt_venue  # noqa: F401  likewise
from benchmarks.common import Row
from benchmarks.ingest_servers import FIRST, bars, market
from lem.data.bars import TABLE_SCHEMA
from lem.lake import Lake
from lem.lineage.keys import PartitionKey
from lem.lineage.quarantine import judge_days, refuse_quarantined, set_quarantine
from lem.lineage.revisions import store_raw
from lem.lineage.stages import stage_named
from lem.lineage.versions import made_with, named, outages_over
from lem.registry.records import InputVersion
from lem.sources import RAW_SCHEMA, open_source
from lem.sources.ccxt_client import rebased
from lem.sources.klines import POSITIONS
from lem.universe import Universe
from lem.universe.calendars import partition_window
from tests.exchange.archive_server import DAILY, MONTHLY

PAGE = 1000
MINUTE_MS = 60_000
BATCH = 31
"""Days of an asset that are validated at once, as in the graph of assets."""

Work = Callable[[], int]
"""The timed call; gives the number of rows that it has written."""


@dataclass(frozen=True)
class Job:
    """What there is to do.

    Args:
        names: of the assets.
        days: of bars, from `FIRST` on.
        url: of the server.
        folder: empty folder to write into.
        bar: length of the validated bars.
    """

    names: list[str]
    days: int
    url: str
    folder: Path
    bar: str = "1h"

    @property
    def dates(self) -> list[dt.date]:
        """The days, as dates."""
        return [FIRST + dt.timedelta(days=n) for n in range(self.days)]

    @property
    def window(self) -> tuple[int, int]:
        """Opens of the first bar and of the bar after the last, in ms of UTC."""
        start = int(partition_window(FIRST)[0].timestamp()) * 1000
        return start, start + self.days * 86_400_000


def universe_of(job: Job, source: dict[str, Any]) -> Universe:
    """The universe that is ingested."""
    keys = {
        "name": "ingest",
        "start": FIRST,
        "end": job.dates[-1],
        "bar": job.bar,
        "source": source,
        "assets": {symbol: {"venue_symbol": market(symbol)} for symbol in job.names},
    }
    return Universe.model_validate(keys)


def ingest(universe: Universe, folder: Path, dates: list[dt.date]) -> int:
    """Source -> raw bars -> validated bars, with the assets' calls in the assets' order."""
    lake, source, rows = Lake(str(folder)), open_source(universe, ""), 0
    for symbol in universe.symbols:
        for date in dates:
            answer = source.fetch(symbol, *partition_window(date))
            rows += store_raw(lake, universe.name, date, symbol, answer.table)[0].rows
    for symbol in universe.symbols:
        for first in range(0, len(dates), BATCH):
            days = dates[first : first + BATCH]
            batch = lake.read_batch(lake.path(universe.name, "raw_bars", date, symbol) for date in days)
            read = dict(zip(days, batch, strict=True))
            good, bad = judge_days({date: raw for date, (raw, _) in read.items()}, universe, symbol)
            for date, result in good.items():
                made_from = named([InputVersion("raw_bars", str(PartitionKey(symbol, date)), read[date][1])])
                stage, key = stage_named("bars"), PartitionKey(symbol, date)
                made_from |= made_with(universe, stage, key) | outages_over(universe, stage, key)
                lake.write_table(lake.path(universe.name, "bars", date, symbol), result.table, TABLE_SCHEMA, made_from)
            set_quarantine(lake, universe.name, symbol, good, bad)
            refuse_quarantined(universe.name, {str(PartitionKey(symbol, date)): error for date, error in bad.items()})
    return rows


def _ours(job: Job, source: dict[str, Any]) -> Work:
    universe = universe_of(job, source)
    return lambda: ingest(universe, job.folder, job.dates)


def from_exchange(job: Job) -> Work:
    """Ours, from the exchange, without a limit of requests: the software is measured, not a venue's rules."""
    return _ours(job, {"kind": "ccxt", "venue": "binance", "url": job.url, "requests_per_second": 1000})


def from_daily(job: Job) -> Work:
    """Ours, from daily archives."""
    return _ours(job, {"kind": "archive", "daily": f"{job.url}/{DAILY}"})


def from_monthly(job: Job) -> Work:
    """Ours, from monthly archives."""
    return _ours(job, {"kind": "archive", "daily": f"{job.url}/{DAILY}", "monthly": f"{job.url}/{MONTHLY}"})


def page_loop(job: Job) -> Work:
    """The common downloader: pages of `fetch_ohlcv` into a data frame, and the frame into one file an asset.

    It has no quote volume, does not ask the venue's clock, and tests no rule.
    """

    def work() -> int:
        client = ccxt.binance({"enableRateLimit": False})
        client.has["fetchCurrencies"], client.options["fetchMargins"] = False, False
        client.urls["api"] = rebased(client.urls["api"], job.url)
        written = 0
        for symbol in job.names:
            (since, end), rows = job.window, []
            while since < end:
                page = client.fetch_ohlcv(symbol.replace("-", "/"), "1m", since, PAGE)
                if not page:
                    break
                rows += page
                since = page[-1][0] + MINUTE_MS
            frame = pd.DataFrame(rows, columns=["date", "open", "high", "low", "close", "volume"])
            frame = frame[frame["date"] < end].drop_duplicates("date", keep="last").sort_values("date")
            frame["date"] = pd.to_datetime(frame["date"], unit="ms", utc=True)
            frame.reset_index(drop=True).to_feather(job.folder / f"{symbol}.feather")
            written += len(frame)
        return written

    return work


def unzip_loop(job: Job) -> Work:
    """The common downloader on daily archives: `read_csv` of each, one file an asset, and no checksums."""

    def work() -> int:
        session, written = requests.Session(), 0
        for symbol in job.names:
            frames = []
            for date in job.dates:
                answer = session.get(f"{job.url}/{DAILY.format(venue_symbol=market(symbol), bar='1m', date=date)}")
                answer.raise_for_status()
                with zipfile.ZipFile(io.BytesIO(answer.content)) as archive, archive.open(archive.namelist()[0]) as csv:
                    frames.append(pd.read_csv(csv, header=None, names=POSITIONS))
            frame = pd.concat(frames, ignore_index=True).drop_duplicates("open_time", keep="last")
            frame["open_time"] = pd.to_datetime(frame["open_time"], unit="ms", utc=True)
            frame.to_feather(job.folder / f"{symbol}.feather")
            written += len(frame)
        return written

    return work


def requests_alone(job: Job) -> Work:
    """The pages of all bars, not parsed and not written: how fast the exchange answers."""

    def work() -> int:
        session, (start, end) = requests.Session(), job.window
        for symbol in job.names:
            for since in range(start, end, PAGE * MINUTE_MS):
                query = {"symbol": market(symbol), "interval": "1m", "startTime": str(since), "limit": str(PAGE)}
                session.get(f"{job.url}/api/v3/klines", params=query).raise_for_status()
        return len(job.names) * (end - start) // MINUTE_MS

    return work


def _tables(job: Job) -> dict[str, arrow.Table]:
    """The rows as the raw table has them."""
    tables = {}
    for symbol in job.names:
        frame = bars(symbol, job.days).assign(source=f"binance/{market(symbol)}/1m")
        frame["source_row"] = range(1, len(frame) + 1)
        tables[symbol] = arrow.Table.from_pandas(frame, schema=RAW_SCHEMA, preserve_index=False)
    return tables


def write_days(job: Job) -> Work:
    """Pyarrow alone: raw rows in memory into one Parquet file a day and asset."""
    per_day = 86_400_000 // MINUTE_MS
    parts = {
        job.folder / f"{symbol}-{date}.parquet": table.slice(n * per_day, per_day)
        for symbol, table in _tables(job).items()
        for n, date in enumerate(job.dates)
    }
    return lambda: _write(parts)


def write_assets(job: Job) -> Work:
    """Pyarrow alone: raw rows in memory into one Parquet file an asset."""
    parts = {job.folder / f"{symbol}.parquet": table for symbol, table in _tables(job).items()}
    return lambda: _write(parts)


def _write(parts: dict[Path, arrow.Table]) -> int:
    for path, table in parts.items():
        parquet.write_table(table, path, compression="zstd")
    return sum(table.num_rows for table in parts.values())


def _memory() -> tuple[float, float]:
    """Resident memory of this process now and at its peak, in MB; NaN if the system has no /proc."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return math.nan, math.nan
    kilobytes = {line.split(":")[0]: line.split()[1] for line in lines if line.endswith(" kB")}
    return float(kilobytes["VmRSS"]) / 1024, float(kilobytes["VmHWM"]) / 1024


def measured(contender: Callable[[Job], Work], job: Job) -> Row:
    """Do a piece of work in this process: rows, seconds, CPU seconds of this process, and peak memory in MB.

    First it does one day of one asset, which is not counted, so that everything is loaded. `grown_mb` is the peak minus
    the memory at that time: interpreter and libraries take some hundred MB.
    """
    with tempfile.TemporaryDirectory() as folder:
        contender(replace(job, names=job.names[:1], days=1, folder=Path(folder)))()
    work = contender(job)
    before, _ = _memory()
    wall, cpu = time.perf_counter(), time.process_time()
    rows = work()
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    peak = _memory()[1]
    return {"rows": rows, "seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": peak, "grown_mb": peak - before}
