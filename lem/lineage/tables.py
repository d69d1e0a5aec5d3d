"""Reading tables of the lake over ranges of partitions, with their data versions."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from lem.errors import LakeError
from lem.lake import Lake
from lem.late import pd
from lem.lineage.keys import PartitionKey, name_missing, span
from lem.lineage.stages import stage_named
from lem.registry.records import InputVersion
from lem.universe import Universe
from lem.universe.calendars import partition_dates

_Asset = TypeVar("_Asset", bound=str | None)


def missing_partitions(
    lake: Lake,
    universe: Universe,
    table: str,
    dates: Iterable[dt.date],
    assets: Sequence[str | None] = (None,),
) -> list[PartitionKey]:
    """Keys of the partitions that are not in the lake, sorted.

    Args:
        lake: that is to hold them.
        universe: whose table it is.
        table: name of its stage.
        dates: wanted, for each asset.
        assets: wanted; None in a table of all assets.
    """
    keys = {
        lake.path(universe.name, table, date, asset): PartitionKey(asset, date) for asset in assets for date in dates
    }
    return sorted(keys[path] for path in lake.missing(list(keys)))


def dates_in(lake: Lake, folder: str, suffix: str = "") -> list[dt.date]:
    """Dates of the names date=YYYY-MM-DD in a folder of the lake, ascending; other names do not count.

    Args:
        lake: that holds the folder.
        folder: its path.
        suffix: what the names have after the date.

    Raises:
        LakeError: the lake cannot be read.
    """
    found = list[dt.date]()
    for name in lake.names(folder):
        # Finders and editors leave files of their own in folders that they have shown.
        with contextlib.suppress(ValueError):
            date = dt.date.fromisoformat(name.removeprefix("date=").removesuffix(suffix))
            if name == f"date={date}{suffix}":
                found.append(date)
    return found


def ranges(universe: Universe, keys: Iterable[PartitionKey]) -> list[str]:
    """Keys as text, with neighbours of one asset as one range: `BTC-USDT|2024-01-10 ... 2024-01-12`.

    Args:
        universe: whose calendar says which dates are neighbours.
        keys: of partitions.
    """
    wanted = sorted(keys)
    if not wanted:
        return []
    place = {date: number for number, date in enumerate(partition_dates(universe, *span(wanted)))}
    found: list[list[PartitionKey]] = []
    for key in wanted:
        before = found[-1][-1] if found else None
        if before and before.asset == key.asset and place.get(key.date, -1) == place.get(before.date, -3) + 1:
            found[-1].append(key)
        else:
            found.append([key])
    return [str(keys[0]) if len(keys) == 1 else f"{keys[0]} ... {keys[-1].date}" for keys in found]


def refuse_missing(lake: Lake, universe: Universe, table: str, wanted: Mapping[_Asset, Collection[dt.date]]) -> None:
    """Refuse to go on if partitions are missing. Each folder is listed once a call: ask for all dates together.

    Args:
        lake: that is to hold them.
        universe: whose table it is.
        table: name of its stage.
        wanted: dates by asset; by None in a table of all assets.

    Raises:
        LakeError: some are missing; the message lists them and the command that makes them.
    """
    missing = sorted(
        key for asset, dates in wanted.items() for key in missing_partitions(lake, universe, table, dates, [asset])
    )
    if missing:
        first, last = span(missing)
        raise LakeError(
            f"{universe.name}/{table}: {len(missing)} of {sum(map(len, wanted.values()))} partitions are not in the "
            f"lake: {name_missing(missing)}; "
            f"make them with: lem backfill --universe {universe.name} --from {first} --to {last}"
        )


def read_range(
    lake: Lake, universe: Universe, table: str, dates: Sequence[dt.date], asset: str | None = None
) -> tuple[pd.DataFrame, list[InputVersion]]:
    """The partitions of some dates as one table, in date order, and the data version of each.

    Args:
        lake: that holds them.
        universe: whose table it is.
        table: name of its stage.
        dates: wanted.
        asset: wanted; None in a table of all assets.

    Raises:
        LakeError: partitions are missing; the message lists them and the command that makes them.
    """
    refuse_missing(lake, universe, table, {asset: dates})
    if not dates:
        return _empty(table), []
    read = lake.read_batch(lake.path(universe.name, table, date, asset) for date in sorted(dates))
    inputs = [
        InputVersion(table, str(PartitionKey(asset, date)), version)
        for date, (_, version) in zip(sorted(dates), read, strict=True)
    ]
    return pd.concat([frame for frame, _ in read], ignore_index=True), inputs


def _empty(table: str) -> pd.DataFrame:
    schema = stage_named(table).schema
    if schema is None:
        raise LakeError(f"stage {table} writes no table of the lake")
    return schema.empty_table().to_pandas()
