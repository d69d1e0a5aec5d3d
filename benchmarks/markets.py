"""The markets of the benchmarks: real bars through the pipeline's own source and rules, and a driftless control."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pandas as pd

from benchmarks.common import BenchmarkError
from lem.data.bars import validate_days
from lem.data.features import compute_features
from lem.data.panel import Panel, panel_table
from lem.sources.files import Files
from lem.universe import Universe, load_universe
from lem.universe.calendars import expected_bars, partition_dates, partition_window

UNIVERSES = Path(__file__).resolve().parent.parent / "universes"


def data_root() -> str | None:
    """Folder of the real bars (LEM_DATA); None if it is not set, and then benchmarks on real bars are skipped."""
    return os.environ.get("LEM_DATA") or None


def real_universe(name: str, start: dt.date, end: dt.date, symbols: tuple[str, ...] = ()) -> Universe:
    """A shipped universe over other dates and, for crypto, with other pairs (`BNB-USDT` is in the file BNBUSDT)."""
    universe = load_universe(UNIVERSES / f"{name}.toml")
    changes: dict[str, object] = {"start": start, "end": end}
    if symbols:
        changes["assets"] = {symbol: {"venue_symbol": symbol.replace("-", "")} for symbol in symbols}
    return Universe.model_validate(universe.model_dump() | changes)


def real_panel(universe: Universe, root: str) -> Panel:
    """All features of a universe of files, made by the rules of the nightly pipeline.

    A bar's features do not depend on how many days are made at once, so one pass gives the nightly tables' bits.

    Args:
        universe: with an end, as `real_universe` gives it.
        root: the folder (or fsspec URL) of LEM_DATA.

    Raises:
        BenchmarkError: the universe has no end, or an asset has no whole day of bars in it.
        SourceError: as in the pipeline.
        BarsError: as in the pipeline.
        UniverseError: as in the pipeline.
    """
    if universe.end is None:
        raise BenchmarkError(f"{universe.name}: no end; allowed here: a universe with a first and a last date")
    source, tables = Files(universe, root), {}
    dates = partition_dates(universe, universe.start, universe.end)
    window = partition_window(universe.start)[0], partition_window(universe.end)[1]
    for symbol in universe.symbols:
        raw = source.fetch(symbol, *window).table
        by_day = dict(iter(raw.groupby(raw["ts"].dt.date)))
        first = min(by_day, default=universe.end)
        # If a pair was listed within a day, its first whole day is the next one.
        listed = raw["ts"].min() == expected_bars(universe, symbol, first).min()
        days = {d: by_day.get(d, raw.iloc[:0]) for d in dates if d > first or (listed and d == first)}
        if not days:
            raise BenchmarkError(f"{source.url(symbol)}: no whole day of bars from {universe.start} to {universe.end}")
        bars = pd.concat([day.table for day in validate_days(days, universe, symbol).values()], ignore_index=True)
        tables[symbol] = compute_features(bars.iloc[:0], bars, universe.features, universe.clock)
    return Panel.from_table(panel_table(tables))
