"""Partitions of a universe's assets, and how the partitions of one stage map to those of the next.

Multi-partition keys read `BTC-USDT|2024-01-10`. Weekends are left out of an equity universe; holidays are partitions
without rows. Offsets are counted in partitions, as in `lem.universe.windows`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from itertools import groupby

import dagster as dg

from lem.errors import LineageError
from lem.lineage.keys import PartitionKey
from lem.lineage.reads import Reads
from lem.lineage.stages import Stage, delay, stage_named
from lem.universe import Universe
from lem.universe.calendars import offset_partition

FORMAT = "%Y-%m-%d"


class Partitions:
    """The partitions definitions of a universe.

    Args:
        universe: whose they are.
    """

    def __init__(self, universe: Universe) -> None:
        self._universe = universe
        self._made = dict[tuple[int, bool], dg.PartitionsDefinition]()

    def of(self, stage: Stage) -> dg.PartitionsDefinition:
        """The partitions of a stage.

        They end where a partition can be made: with the last closed day, or as many partitions before it as the stage
        waits for, as a backtest does for the end of its orders. A stage that is `ahead` has one more, so that the model
        for today exists today.
        """
        extra = 1 if stage.ahead else -delay(self._universe, stage)
        wanted = (extra, stage.per_asset)
        if wanted not in self._made:
            dates = _daily(self._universe, extra)
            assets = dg.StaticPartitionsDefinition(self._universe.symbols)
            by_asset = dg.MultiPartitionsDefinition({"asset": assets, "date": dates})
            self._made[wanted] = by_asset if stage.per_asset else dates
        return self._made[wanted]


def _daily(universe: Universe, extra: int) -> dg.TimeWindowPartitionsDefinition:
    weekends = [] if universe.calendar == "24/7" else ["0 0 * * 6", "0 0 * * 0"]
    last = universe.end
    if last and extra:
        last = offset_partition(universe, last, extra)
    return dg.TimeWindowPartitionsDefinition(
        start=universe.start.strftime(FORMAT),
        end=(last + dt.timedelta(days=1)).strftime(FORMAT) if last else None,
        fmt=FORMAT,
        cron_schedule="0 0 * * *",
        end_offset=extra,
        exclusions=weekends or None,
    )


def days(start: int, end: int) -> dg.TimeWindowPartitionMapping:
    """Upstream partitions from `start` to `end` relative to the date; none is required before the universe's start."""
    return dg.TimeWindowPartitionMapping(start_offset=start, end_offset=end, allow_nonexistent_upstream_partitions=True)


def same_asset(start: int, end: int) -> dg.MultiPartitionMapping:
    """The same asset's partitions from `start` to `end` relative to the date."""
    return dg.MultiPartitionMapping(
        {
            "asset": dg.DimensionPartitionMapping("asset", dg.IdentityPartitionMapping()),
            "date": dg.DimensionPartitionMapping("date", days(start, end)),
        }
    )


def mapping_of(universe: Universe, stage: Stage, read: Reads) -> dg.PartitionMapping | None:
    """Which upstream partitions a partition of the stage needs; None where Dagster's default mapping is right.

    Raises:
        LineageError: the stage reads other dates than its own of a stage of another grain.
    """
    (first, last), other = read.must(universe), stage_named(read.stage)
    if stage.grain is other.grain:
        if first == last == 0:
            return None
        return same_asset(first, last) if stage.per_asset else days(first, last)
    if first or last:
        raise LineageError(
            f"stage {stage.name} reads {first} to {last} of {read.stage}, which has another "
            "grain; allowed: its own date"
        )
    return dg.MultiToSingleDimensionPartitionMapping("date") if stage.per_asset else None


def batches(keys: Iterable[PartitionKey], size: int = 31) -> list[tuple[str, list[dt.date]]]:
    """Keys in groups of one asset and at most `size` dates: a stage validates a group in one pass, then writes it."""
    out = []
    for asset, group in groupby(keys, key=lambda key: key.symbol):
        dates = [key.date for key in group]
        out += [(asset, dates[at : at + size]) for at in range(0, len(dates), size)]
    return out
