"""The servers of `benchmarks.ingest`: the tests' loopback exchange and archive, in processes of their own.

They give every contender the same random one-minute bars, with as many digits as a venue's.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path

import pandas as pd

from benchmarks.common import BenchmarkError
from tests.exchange.archive_server import DAILY, MONTHLY, ArchiveServer, minute_bars, put_bars
from tests.exchange.server import Exchange

FIRST = dt.date(2024, 1, 1)
DIGITS = {"open": 4, "high": 4, "low": 4, "close": 4, "volume": 5, "quote_volume": 8}
_READY_SECONDS = 600


def symbols(count: int) -> list[str]:
    """Canonical names of the assets: AAA-USDT, BBB-USDT, ..."""
    return [f"{chr(ord('A') + n) * 3}-USDT" for n in range(count)]


def market(symbol: str) -> str:
    """The venue's name of an asset."""
    return symbol.replace("-", "")


def bars(symbol: str, days: int) -> pd.DataFrame:
    """One-minute bars of an asset, from `FIRST` on."""
    return minute_bars(FIRST, days, seed=ord(symbol[0])).round(DIGITS)


def _serve(ready: Connection, kind: str, names: list[str], days: int) -> None:
    """Make the bars and serve them until the other side of `ready` says so or is gone."""
    tables = {market(symbol): bars(symbol, days) for symbol in names}
    with ExitStack() as stack:
        if kind == "exchange":
            url = stack.enter_context(Exchange(tables)).url
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for name, table in tables.items():
                for template in (DAILY, MONTHLY):
                    put_bars(folder, template, name, table)
            url = stack.enter_context(ArchiveServer(folder)).url
        ready.send(url)
        ready.poll(None)


@contextmanager
def served(context: BaseContext, kind: str, names: list[str], days: int) -> Iterator[str]:
    """Serve the bars of the assets from a process of its own; gives its base URL.

    Args:
        context: makes the process.
        kind: `exchange` or `archive`.
        names: of the assets.
        days: of bars, from `FIRST` on.

    Raises:
        BenchmarkError: the process ended before it served anything; its own error stands above.
    """
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, kind, names, days), daemon=True)  # type: ignore[attr-defined]
    process.start()
    theirs.close()
    try:
        try:
            url = ours.recv() if ours.poll(_READY_SECONDS) else ""
        except EOFError:
            url = ""
        if not url:
            raise BenchmarkError(f"the {kind} has not started; allowed: a machine that may serve on 127.0.0.1")
        yield url
    finally:
        ours.close()
        process.join()
