"""A run of a plan: which stages it makes, and of which partitions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from lem.lineage.keys import PartitionKey
from lem.lineage.stages import stage_named
from lem.universe import Universe
from lem.universe.calendars import partition_dates

TABLES_TAG, PARTITIONS_TAG = ".dagster/lem/tables", ".dagster/lem/partitions"
"""Tags of a step's run: what it makes (JSON list) and how many partitions of it, for estimates of later runs.

The UI hides tags with this prefix."""
SECONDS_TAG = ".dagster/lem/seconds"
"""Tag of a step's run that has succeeded: what it took whoever waited for it, its beginning and its end included."""


@dataclass(frozen=True)
class Step:
    """One run.

    Args:
        tables: stages of a universe that it makes, all of one grain.
        first: its first partition.
        last: its last one; the same for a single partition.
        again: whether it replaces decisions that stand.
    """

    tables: tuple[str, ...]
    first: PartitionKey
    last: PartitionKey
    again: bool = False

    @property
    def text(self) -> str:
        """For people."""
        span = f"{self.first}" if self.first == self.last else f"{self.first} ... {self.last}"
        return f"{', '.join(self.tables)}  {span}"


def step_on(stage: str, date: dt.date, again: bool = False) -> Step:
    """The run that makes one date of a stage that has no assets."""
    return Step((stage,), PartitionKey.of(date), PartitionKey.of(date), again)


def partitions_of(universe: Universe, step: Step) -> int:
    """Partitions that a run makes, of all its stages."""
    dates = len(partition_dates(universe, step.first.date, step.last.date))
    return len(step.tables) * len(symbols_of(universe, step)) * dates


def symbols_of(universe: Universe, step: Step) -> list[str | None]:
    """The assets of a run, in the universe's order; None alone where its stages have no assets."""
    if step.first.asset is None:
        return [None]
    symbols = universe.symbols
    return list(symbols[symbols.index(step.first.symbol) : symbols.index(step.last.symbol) + 1])


def span_steps(
    universe: Universe,
    tables: tuple[str, ...],
    dates: Sequence[dt.date],
    absent: set[dt.date],
    symbols: Sequence[str] | None = None,
) -> list[Step]:
    """One step for each stretch of consecutive dates in `dates` that has absent partitions.

    Args:
        universe: whose calendar counts.
        tables: stages that are made, all of one grain.
        dates: all that are looked at, ascending.
        absent: those of them that the steps make.
        symbols: neighbours in the universe's order; without them, all of its assets.
    """
    stretches: list[list[dt.date]] = []
    before_absent = False
    for date in dates:
        if date in absent:
            if before_absent:
                stretches[-1].append(date)
            else:
                stretches.append([date])
        before_absent = date in absent
    assets: Sequence[str | None] = (symbols or universe.symbols) if stage_named(tables[0]).per_asset else [None]
    return [Step(tables, PartitionKey(assets[0], days[0]), PartitionKey(assets[-1], days[-1])) for days in stretches]


def asset_steps(
    universe: Universe, tables: tuple[str, ...], dates: Sequence[dt.date], wanted: Mapping[str, set[dt.date]]
) -> list[Step]:
    """Steps that make the wanted dates of each asset and no others; neighbours with the same dates share a step."""
    steps = list[Step]()
    for days, symbols in groupby(universe.symbols, key=wanted.__getitem__):
        steps += span_steps(universe, tables, dates, days, list(symbols))
    return steps
