"""Partitions of a universe's assets, and how the partitions of one stage map to those of the next.

Multi-partition keys read `BTC-USDT|2024-01-10`. Weekends are left out of an equity universe; holidays are partitions
without rows. Offsets are counted in partitions, as in `lem.universe.windows`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import dagster as dg

from lem.universe import Universe, windows
from lem.universe.calendars import offset_partition

FORMAT = "%Y-%m-%d"


@dataclass(frozen=True)
class Partitions:
    """dates: dates with data. model_dates: one more, so that the model for today exists today. by_asset: asset x
    date."""

    dates: dg.TimeWindowPartitionsDefinition
    model_dates: dg.TimeWindowPartitionsDefinition
    by_asset: dg.MultiPartitionsDefinition


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
        end_offset=0 if last else extra,
        exclusions=weekends or None,
    )


def partitions_of(universe: Universe) -> Partitions:
    """The partitions definitions of a universe."""
    dates = _daily(universe, 0)
    by_asset = dg.MultiPartitionsDefinition({"asset": dg.StaticPartitionsDefinition(universe.symbols), "date": dates})
    return Partitions(dates, _daily(universe, 1), by_asset)


def days(start: int, end: int) -> dg.TimeWindowPartitionMapping:
    """Upstream partitions from `start` to `end` relative to the date; none before the universe's start is required."""
    return dg.TimeWindowPartitionMapping(start_offset=start, end_offset=end, allow_nonexistent_upstream_partitions=True)


def same_asset(start: int, end: int) -> dg.MultiPartitionMapping:
    """The same asset's partitions from `start` to `end` relative to the date."""
    return dg.MultiPartitionMapping(
        {
            "asset": dg.DimensionPartitionMapping("asset", dg.IdentityPartitionMapping()),
            "date": dg.DimensionPartitionMapping("date", days(start, end)),
        }
    )


def history(universe: Universe) -> dg.MultiPartitionMapping:
    """bars -> features: the day and the history that its trailing statistics read."""
    return same_asset(-windows.feature_history_days(universe), 0)


def execution(universe: Universe) -> dg.MultiPartitionMapping:
    """features -> backtest: the warm-up before the day and the days in which its orders still trade."""
    return same_asset(-windows.warmup_days(universe), windows.forward_days(universe))


@dataclass(frozen=True, order=True)
class Key:
    """One asset x date partition."""

    asset: str
    date: dt.date

    @property
    def text(self) -> str:
        """As Dagster spells it."""
        return f"{self.asset}|{self.date:{FORMAT}}"


def asset_keys(texts: Iterable[str]) -> list[Key]:
    """Asset x date partition keys, sorted: they arrive in set order, another in each process."""
    return sorted(Key(asset, dt.date.fromisoformat(date)) for asset, date in (text.split("|") for text in texts))


def date_keys(texts: Iterable[str]) -> list[dt.date]:
    """Date partition keys, sorted."""
    return sorted(dt.date.fromisoformat(text) for text in texts)


def batches(keys: Iterable[Key], size: int = 31) -> list[tuple[str, list[dt.date]]]:
    """Keys in groups of one asset and at most `size` dates: what a stage validates in one pass, then writes."""
    out = []
    for asset, group in groupby(keys, key=lambda key: key.asset):
        dates = [key.date for key in group]
        out += [(asset, dates[at : at + size]) for at in range(0, len(dates), size)]
    return out
