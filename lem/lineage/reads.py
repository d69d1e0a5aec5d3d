"""What a stage reads of another one: which partitions, relative to its own date."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from lem.universe import Universe
from lem.universe.calendars import offset_partition, partition_dates


def _same_date(universe: Universe) -> int:
    return 0


@dataclass(frozen=True)
class Reads:
    """The partitions of a stage from `first` to `last`, counted in partitions from the reader's date, it itself 0.

    An asset's partition reads the same asset's; a partition of all assets reads those of every asset.

    Args:
        stage: that is read; the reader itself, where it reads its own earlier partitions.
        first: of a universe, negative for dates before.
        last: of a universe, positive for dates after.
        own_date_only: only the partition of the reader's own date must be there; what it makes says which others lack.
    """

    stage: str
    first: Callable[[Universe], int] = _same_date
    last: Callable[[Universe], int] = _same_date
    own_date_only: bool = False

    def dates(self, universe: Universe, date: dt.date) -> list[dt.date]:
        """The partition dates that the partition of `date` reads, none before the universe's start."""
        first = max(offset_partition(universe, date, self.first(universe)), universe.start)
        return partition_dates(universe, first, offset_partition(universe, date, self.last(universe)))

    def must(self, universe: Universe) -> tuple[int, int]:
        """First and last partition that must be there, counted as in `first` and `last`."""
        return (0, 0) if self.own_date_only else (self.first(universe), self.last(universe))
