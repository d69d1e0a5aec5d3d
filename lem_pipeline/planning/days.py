"""Dates that people name, from their ISO form."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from lem.errors import UniverseError

if TYPE_CHECKING:
    from lem.universe import Universe


def day(text: str) -> dt.date:
    """A date from its ISO form.

    Raises:
        UniverseError: it is not one.
    """
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise UniverseError(f"date {text!r} is not a date; allowed: year-month-day as in 2024-03-30") from None


def partition_day(universe: Universe, text: str) -> dt.date:
    """A partition date from its ISO form; whether the universe has data for it is not asked.

    Raises:
        UniverseError: it is no date, or one that never has a partition.
    """
    from lem.universe.calendars import check_partitions  # each command imports this module, and few name a day

    date = day(text)
    check_partitions(universe, date, date)
    return date
