"""Bars that are doubted, and rows that a listed outage leaves out: told, while nothing is blocked.

<universe>/doubts/asset=BTC-USDT/date=2024-01-10.txt
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lem.data.doubts import WINDOW, Doubt, doubts, told
from lem.lake import Lake
from lem.late import pd
from lem.lineage.tables import dates_in
from lem.sources.base import PRICES
from lem.universe import Universe
from lem.universe.calendars import is_listed, offset_partition, outage_mask, partition_window


def doubts_on(
    lake: Lake,
    universe: Universe,
    symbol: str,
    dates: Sequence[dt.date],
    known: Mapping[dt.date, pd.DataFrame] | None = None,
) -> dict[dt.date, list[str]]:
    """What is doubted of some days of an asset, by day; a day without doubts is left out.

    A day's bars are compared with those around it that are in the lake. What comes out only on a later day, because a
    level returns there, is told on that day where its own is not looked at.

    Args:
        lake: with the raw bars.
        universe: lists the outages.
        symbol: the asset.
        dates: the days, ascending, with raw bars in the lake.
        known: raw bars of days that were read already.

    Raises:
        LakeError: the lake cannot be read.
    """
    if not dates:
        return {}
    per_day = universe.model_copy(update={"bar": universe.source_bar}).bars_per_day
    before = -(-WINDOW // per_day) + 1
    around = {offset_partition(universe, dates[0], n) for n in range(-before, 0)}
    around |= {offset_partition(universe, dates[-1], n) for n in range(1, 3)}
    raw = dict(known or {}) | _read(lake, universe, symbol, {*dates, *around} - set(known or ()))
    found = {date: _left_out(raw[date], universe, symbol, date) for date in dates if date in raw}
    listed = [raw[date] for date in sorted(raw) if is_listed(universe, symbol, date)]
    whole = _rows(listed, universe, symbol).drop_duplicates("ts").sort_values("ts", ignore_index=True)
    by_day = dict[dt.date, list[Doubt]]()
    for doubt in doubts(whole):
        own = doubt.ts.date()
        day = own if own in found or doubt.known is None else doubt.known.date()
        by_day.setdefault(day, []).append(doubt)
    for date in found:
        found[date] = found[date] + told(by_day.get(date, []))
    return {date: lines for date, lines in found.items() if lines}


def doubts_path(universe: str, date: dt.date, asset: str) -> str:
    """Where the doubts about a day lie in the lake."""
    return f"{universe}/doubts/asset={asset}/date={date}.txt"


def set_doubts(
    lake: Lake, universe: str, asset: str, dates: Iterable[dt.date], found: Mapping[dt.date, list[str]]
) -> None:
    """Write what is doubted of some days, and remove it from those of which nothing is.

    Args:
        lake: for a step that writes.
        universe: its name.
        asset: whose days they are.
        dates: the days.
        found: doubts by day (`doubts_on`).

    Raises:
        LakeError: the lake cannot be read or written.
    """
    there = set(lake.names(f"{universe}/doubts/asset={asset}"))
    for date in dates:
        path = doubts_path(universe, date, asset)
        if date in found:
            lake.write_bytes(path, ("\n".join(found[date]) + "\n").encode())
        elif path.rpartition("/")[2] in there:
            lake.remove(path)


def doubted(lake: Lake, universe: Universe) -> list[tuple[str, dt.date]]:
    """Assets and dates of which something was doubted when they were last validated, sorted.

    Raises:
        LakeError: the lake cannot be read.
    """
    folders = {asset: f"{universe.name}/doubts/asset={asset}" for asset in universe.symbols}
    return [(asset, date) for asset, folder in folders.items() for date in dates_in(lake, folder, ".txt")]


def doubts_of(lake: Lake, universe: str, date: dt.date, asset: str) -> list[str]:
    """What is doubted of a day that `doubted` names, line by line.

    Raises:
        LakeError: the lake cannot be read.
    """
    return lake.read_bytes(doubts_path(universe, date, asset)).decode().splitlines()


_COLUMNS = ("ts", *PRICES, "volume", "adjustment")


def _none() -> pd.DataFrame:
    kinds = {name: "datetime64[us, UTC]" if name == "ts" else "float64" for name in _COLUMNS}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})


def _read(lake: Lake, universe: Universe, symbol: str, dates: set[dt.date]) -> dict[dt.date, pd.DataFrame]:
    paths = {lake.path(universe.name, "raw_bars", date, symbol): date for date in sorted(dates)}
    there = set(paths) - set(lake.missing(list(paths)))
    wanted = {path: date for path, date in paths.items() if path in there}
    return {date: raw for date, (raw, _) in zip(wanted.values(), lake.read_batch(wanted), strict=True)}


def _rows(tables: Sequence[pd.DataFrame], universe: Universe, symbol: str) -> pd.DataFrame:
    """The rows of some days, in their order, that can be compared with others."""
    tables = [raw if "adjustment" in raw else raw.assign(adjustment=1.0) for raw in tables if len(raw)]
    if not tables:
        return _none()
    whole = pd.concat(tables, ignore_index=True)
    sound = whole[list(PRICES)].gt(0).all(axis=1) & (whole["high"] >= whole["low"]) & (whole["high"] < np.inf)
    sound &= whole["ts"].notna() & ~outage_mask(universe, symbol, pd.DatetimeIndex(whole["ts"]))
    return whole.loc[sound, list(_COLUMNS)]


def _left_out(raw: pd.DataFrame, universe: Universe, symbol: str, date: dt.date) -> list[str]:
    """What the source has in listed outages."""
    if not is_listed(universe, symbol, date):
        return []
    start, end = partition_window(date)
    lines = []
    for outage in universe.outages:
        if outage.start < end and outage.end > start and (outage.assets is None or symbol in outage.assets):
            rows = raw[raw["ts"].between(outage.start, outage.end, inclusive="left")]
            if len(rows):
                lines.append(
                    f"{len(rows)} row(s) of the source, the first of {rows['ts'].iloc[0]:%Y-%m-%d %H:%M} UTC, lie in a "
                    f"listed outage and are left out ({outage.reason})"
                )
    return lines
