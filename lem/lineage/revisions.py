"""What is replaced in the lake, since a source has revised it, is kept.

<universe>/superseded/raw_bars/asset=BTC-USDT/date=2024-01-10/sha256=<data version>.parquet
<universe>/superseded/panel/date=2024-01-10/sha256=<data version>.parquet
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import numpy as np
import pandas as pd

from lem.data.panel import PANEL_SCHEMA
from lem.errors import LakeError, RowsError
from lem.lake import Lake, Written, inputs_version
from lem.sources.base import NUMBERS, RAW_SCHEMA, Source
from lem.universe import Universe
from lem.universe.calendars import partition_window

ADJUSTMENT_TOLERANCE = 1e-6
"""Relative: sources give an adjusted close to about seven digits, and the last one changes from answer to answer."""


def superseded_path(universe: str, date: dt.date, asset: str | None, version: str, table: str = "raw_bars") -> str:
    """Where a partition is kept in a version that it no longer has.

    Args:
        universe: its name.
        date: of the partition, UTC.
        asset: of the partition; None in a table of all assets.
        version: the data version that it had.
        table: name of its stage.
    """
    folder = f"{universe}/superseded/{table}" + (f"/asset={asset}" if asset else "")
    return f"{folder}/date={date}/sha256={version}.parquet"


def store_raw(
    lake: Lake, universe: str, date: dt.date, asset: str, table: pd.DataFrame, inputs: Mapping[str, str] | None = None
) -> tuple[Written, str | None]:
    """Write raw bars unless they are in the lake already; rows that differ are copied away before they are replaced.

    Args:
        lake: for a step that writes.
        universe: its name.
        date: of the partition, UTC.
        asset: of the partition.
        table: what the source answered.
        inputs: what it was made with (`lem.lineage.versions.made_with`).

    Returns:
        What lies there now, and the data version that it replaced (None where it replaced nothing).

    Raises:
        RowsError: the answer is a part of what is there; what was there stays.
        LakeError: the lake cannot be read or written; what was there stays.
    """
    path = lake.path(universe, "raw_bars", date, asset)
    old, data = _there(lake, path)
    if old:
        _refuse_part(lake, path, data, table, f"{universe}/{asset} {date}")
    same = old is not None and lake.version_of(path, table, RAW_SCHEMA) == old
    if old and not same:
        lake.write_bytes(superseded_path(universe, date, asset, old), data)
    if old and same and _inputs_of(lake, path) == (inputs_version(inputs) if inputs else ""):
        return Written(path, old, len(table), len(data)), None
    return lake.write_table(path, table, RAW_SCHEMA, inputs or None), None if same else old


def _refuse_part(lake: Lake, path: str, data: bytes, table: pd.DataFrame, where: str) -> None:
    """Hold back an answer that has only some of the bars that were read before, and nothing else."""
    stored = lake.decode(path, data)[0]
    if not {"ts", *NUMBERS} <= set(stored.columns):
        return
    before, now = (rows.drop_duplicates(["ts", *NUMBERS]) for rows in (stored, table))
    if now["ts"].nunique() >= before["ts"].nunique() or len(now.merge(before, on=["ts", *NUMBERS])) < len(now):
        return
    lost = before.loc[~before["ts"].isin(now["ts"]), "ts"]
    raise RowsError(
        f"{where}: the source had {before['ts'].nunique()} bars of this day when it was last read, and has "
        f"{now['ts'].nunique()} of them now, without that of {lost.iloc[0]:%Y-%m-%d %H:%M} UTC: what is stored stays. "
        "Ask again when the source is whole; where it has withdrawn these bars for good, delete "
        f"{lake.show(path)} and fetch the day again"
    )


def rescaled(lake: Lake, universe: Universe, source: Source, symbol: str, date: dt.date) -> bool | None:
    """Whether the source now has the closes of a stored day on another scale; None if the two share no bar.

    A dividend changes the adjustment of all earlier days, a split their prices. A stored day that cannot be read, or
    does not say how it was adjusted, counts as on another scale.

    Args:
        lake: with the raw bars.
        universe: of the asset.
        source: is asked for the day again.
        symbol: the asset.
        date: the day, UTC.

    Raises:
        LakeError: the day is not in the lake, or the lake cannot be read.
        SourceError: the source cannot be read.
    """
    path = lake.path(universe.name, "raw_bars", date, symbol)
    data = lake.read_bytes(path)
    try:
        old = lake.decode(path, data)[0]
    except LakeError:
        return True
    if "adjustment" not in old:
        return True
    both = old.merge(source.fetch(symbol, *partition_window(date)).table, on="ts", suffixes=("", "_now"))
    if both.empty:
        return None
    then, now = both[["close", "adjustment"]], both[["close_now", "adjustment_now"]]
    return not np.allclose(now, then, rtol=ADJUSTMENT_TOLERANCE, atol=0, equal_nan=True)


def store_panel(
    lake: Lake, universe: str, date: dt.date, table: pd.DataFrame, inputs: Mapping[str, str] | None = None
) -> tuple[Written, str | None]:
    """Write a date's panel. A panel of another content is copied away first, so that its models can be rebuilt.

    Args:
        lake: for a step that writes.
        universe: its name.
        date: UTC.
        table: the panel.
        inputs: data versions of what it was made from, by name.

    Returns:
        What lies there now, and the data version that it replaced (None where it replaced nothing).

    Raises:
        LakeError: the lake cannot be read or written; what was there stays.
    """
    path = lake.path(universe, "panel", date)
    old, data = _there(lake, path)
    replaced = old if old and old != lake.version_of(path, table, PANEL_SCHEMA) else None
    if replaced:
        lake.write_bytes(superseded_path(universe, date, None, replaced, "panel"), data)
    return lake.write_table(path, table, PANEL_SCHEMA, inputs), replaced


def _inputs_of(lake: Lake, path: str) -> str:
    found = lake.versions(path)
    return found.inputs if found else ""


def _there(lake: Lake, path: str) -> tuple[str | None, bytes]:
    """Data version and bytes of what lies at a path. Damaged bytes have no version and are just replaced."""
    if not lake.exists(path):
        return None, b""
    data = lake.read_bytes(path)
    try:
        return lake.decode(path, data)[1], data
    except LakeError:
        return None, data
