"""What a source has revised: the superseded rows are kept, and what was made from them is told from the lake alone.

    <universe>/superseded/raw_bars/asset=BTC-USDT/date=2024-01-10/sha256=<data version>.parquet
    <universe>/superseded/panel/date=2024-01-10/sha256=<data version>.parquet

A partition is out of date when the versions of what it was made from, recorded in it, are not those that are there now:
other partitions, the settings that its table is made with, the model that traded.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from lem.data.panel import PANEL_SCHEMA
from lem.errors import LakeError
from lem.lake import Lake, Versions, Written, inputs_version
from lem.lineage.tables import SCHEMAS
from lem.registry.records import InputVersion, ModelRecord
from lem.sources.base import RAW_SCHEMA, Source
from lem.universe import Universe
from lem.universe.calendars import partition_window
from lem.universe.windows import execution_dates, history_dates

ADJUSTMENT_TOLERANCE = 1e-6
"""Relative: sources give an adjusted close to about seven digits, and the last one changes from answer to answer."""

Partition = tuple[str, dt.date, str | None]
"""Table, date and asset (None in tables of all assets)."""


def superseded_path(universe: str, date: dt.date, asset: str | None, version: str, table: str = "raw_bars") -> str:
    """Where a partition that has another content now is kept in the version that it had."""
    folder = f"{universe}/superseded/{table}" + (f"/asset={asset}" if asset else "")
    return f"{folder}/date={date}/sha256={version}.parquet"


def store_raw(lake: Lake, universe: str, date: dt.date, asset: str, table: pd.DataFrame) -> tuple[Written, str | None]:
    """Write raw bars unless they are in the lake already; rows that differ are copied away before they are replaced.

    Returns:
        What lies there now, and the data version that it replaced (None where it replaced nothing).

    Raises:
        LakeError: the lake cannot be read or written; what was there stays.
    """
    path = lake.path(universe, "raw_bars", date, asset)
    old, data = _there(lake, path)
    if old:
        if lake.version_of(path, table, RAW_SCHEMA) == old:
            return Written(path, old, len(table), len(data)), None
        lake.write_bytes(superseded_path(universe, date, asset, old), data)
    return lake.write_table(path, table, RAW_SCHEMA), old


def rescaled(lake: Lake, universe: Universe, source: Source, symbol: str, date: dt.date) -> bool | None:
    """Whether the source has a stored day's closes on another scale now; None where one of the two has no rows of it.

    A dividend changes the adjustment of all earlier days, a split their prices. What is stored and cannot be read, or
    does not say how it was adjusted, counts as on another scale.

    Raises:
        LakeError: the day is not in the lake, or the lake cannot be read. SourceError: the source cannot be read.
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
    lake: Lake, universe: str, date: dt.date, table: pd.DataFrame, inputs: Mapping[str, str]
) -> tuple[Written, str | None]:
    """Write a date's panel; one of another content is copied away first, so that models trained on it can be rebuilt.

    Returns:
        What lies there now, and the data version that it replaced (None where the content is the same, or new).

    Raises:
        LakeError: the lake cannot be read or written; what was there stays.
    """
    path = lake.path(universe, "panel", date)
    old, data = _there(lake, path)
    replaced = old if old and old != lake.version_of(path, table, PANEL_SCHEMA) else None
    if replaced:
        lake.write_bytes(superseded_path(universe, date, None, replaced, "panel"), data)
    return lake.write_table(path, table, PANEL_SCHEMA, inputs), replaced


def _there(lake: Lake, path: str) -> tuple[str | None, bytes]:
    """Data version and bytes of what lies at a path. Damaged bytes are no version of anything: only replaced."""
    if not lake.exists(path):
        return None, b""
    data = lake.read_bytes(path)
    try:
        return lake.decode(path, data)[1], data
    except LakeError:
        return None, data


def partition_key(date: dt.date, asset: str | None) -> str:
    """`2024-01-10`, or `BTC-USDT|2024-01-10`."""
    return f"{asset}|{date}" if asset else f"{date}"


def named(inputs: Iterable[InputVersion]) -> dict[str, str]:
    """Data versions by name, as the lake records what a partition was made from."""
    return {f"{read.table_name}/{read.partition_key}": read.data_version for read in inputs}


def traded_by(champion: ModelRecord | None) -> dict[str, str]:
    """The input of a backtest that is not in the lake: the model that traded."""
    return {"champion": champion.id if champion else "none"}


def settings_of(universe: Universe, table: str) -> dict[str, str]:
    """The input of a partition that every one of its table has: the settings it is made with, and its columns.

    What only judges bars (outages, tolerances) is not among them: it changes no row that was made.
    """
    settings: dict[str, Any] = {"bar": universe.bar, "columns": SCHEMAS[table].names}
    match table:
        case "features":
            settings["features"] = universe.features.model_dump(mode="json")
        case "backtest":
            orders = universe.backtest.model_dump(mode="json", include={"min_bars", "risk_aversion"})
            settings |= orders | {"horizon": universe.horizon, "costs": universe.costs.model_dump(mode="json")}
    return {"settings": json.dumps(settings, sort_keys=True)}


def inputs_of(universe: Universe, table: str, date: dt.date, asset: str | None) -> list[Partition]:
    """The partitions of the lake that a partition is made from."""
    match table:
        case "bars":
            return [("raw_bars", date, asset)]
        case "features":
            return [("bars", day, asset) for day in (*history_dates(universe, date), date)]
        case "panel":
            return [("features", date, symbol) for symbol in universe.symbols]
        case "backtest":
            return [("features", day, asset) for day in execution_dates(universe, date)]
    return []


class Versioned:
    """Data versions of the partitions in the lake, each footer read once.

    Args:
        lake: is read when a table's versions are first asked for, and not again.
    """

    def __init__(self, lake: Lake, universe: Universe) -> None:
        self._lake, self._universe = lake, universe
        self._found: dict[str, Versions | None] = {}

    def path(self, partition: Partition) -> str:
        table, date, asset = partition
        return self._lake.path(self._universe.name, table, date, asset)

    def read(self, partitions: Iterable[Partition]) -> dict[Partition, Versions]:
        """The versions of those of the partitions that are there.

        Raises:
            LakeError: the lake cannot be read.
        """
        paths = {partition: self.path(partition) for partition in partitions}
        new = [path for path in paths.values() if path not in self._found]
        self._found |= dict.fromkeys(new) | self._lake.versions_of(new)
        return {partition: found for partition, path in paths.items() if (found := self._found[path])}

    def version(self, inputs: Iterable[Partition], more: dict[str, str]) -> str | None:
        """One version of these partitions as they are now and of what is named in `more`; None if one is missing."""
        wanted = list(inputs)
        there = self.read(wanted)
        if len(there) < len(wanted):
            return None
        names = {f"{table}/{partition_key(date, asset)}": v.data for (table, date, asset), v in there.items()}
        return inputs_version(names | more)

    def stale(
        self, table: str, dates: Iterable[dt.date], more: dict[dt.date, dict[str, str]] | None = None
    ) -> dict[dt.date, list[str]]:
        """Keys of the partitions that are there and were made from something else than what is there now, by date.

        Raw bars are made from nothing in the lake. A partition that lacks an input cannot be judged; one that has no
        record of its inputs was made by an earlier version and counts as out of date.

        Args:
            more: inputs from outside of the lake, by date and name.

        Raises:
            LakeError: the lake cannot be read.
        """
        if table == "raw_bars":
            return {}
        universe, days = self._universe, list(dates)
        assets: list[str | None] = [None] if table == "panel" else list(universe.symbols)
        there = self.read([(table, date, asset) for date in days for asset in assets])
        needs = {partition: inputs_of(universe, table, partition[1], partition[2]) for partition in there}
        self.read({upstream for inputs in needs.values() for upstream in inputs})
        found: dict[dt.date, list[str]] = {}
        for partition, inputs in needs.items():
            _, date, asset = partition
            now = self.version(inputs, settings_of(universe, table) | (more or {}).get(date, {}))
            if now is not None and now != there[partition].inputs:
                found.setdefault(date, []).append(partition_key(date, asset))
        return found
