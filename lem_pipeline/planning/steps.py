"""A run of a plan: which tables it makes, and of which partitions."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from lem.universe import Universe
from lem.universe.calendars import partition_dates

TABLES_TAG, PARTITIONS_TAG = "lem/tables", "lem/partitions"
"""Tags of a step's run: what it makes (JSON list) and how many partitions of it, for estimates of later runs."""


@dataclass(frozen=True)
class Step:
    """One run: tables of a universe, over partitions `first` to `last` (keys; the same key for a single partition)."""

    tables: tuple[str, ...]
    first: str
    last: str

    @property
    def text(self) -> str:
        """For people."""
        span = self.first if self.first == self.last else f"{self.first} ... {self.last}"
        return f"{', '.join(self.tables)}  {span}"


def partitions_of(universe: Universe, step: Step) -> int:
    """Partitions that a run makes, of all its tables."""
    (first_asset, first), (last_asset, last) = ((p[0], p[-1]) for p in (step.first.split("|"), step.last.split("|")))
    dates = len(partition_dates(universe, dt.date.fromisoformat(first), dt.date.fromisoformat(last)))
    symbols = universe.symbols
    assets = symbols.index(last_asset) - symbols.index(first_asset) + 1 if "|" in step.first else 1
    return len(step.tables) * assets * dates
