"""What a stage reads of another stage: which partitions, relative to its own date."""

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
    """Some partitions of a stage, counted in partitions from the reader's date, which is 0.

    A partition of one asset reads those of the same asset; a partition of all assets reads those of every asset.

    Args:
        stage: the stage that is read; it may be the reader itself, for its own earlier partitions.
        first: the first partition, for a universe; negative before the reader's date.
        last: the last partition, for a universe; positive after the reader's date.
        own_date_only: whether only the partition of the reader's own date must be there. What the reader makes then
            says which others are missing.
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
