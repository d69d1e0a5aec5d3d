"""Which dates a report needs of every stage."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from lem.errors import UniverseError
from lem.lineage.stages import data_tables
from lem.lineage.stored_report import trailing_dates
from lem.universe import Universe
from lem.universe.calendars import offset_partition, partition_dates
from lem.universe.windows import dates_before, forward_days, is_training_date, training_window, warmup_days


@dataclass(frozen=True)
class Dates:
    """The partition dates that the report of `report` needs, each list ascending.

    Args:
        report: its date.
        orders: dates on which its orders arrived.
        decisions: dates that a champion is decided for.
        training: those of them that a model is trained for.
        data: dates of each table that no decision goes into, by its name.
        redecide: whether decisions that stand are made again.
        reports: dates of reports that are made again beside it.
    """

    report: dt.date
    orders: list[dt.date]
    decisions: list[dt.date]
    training: list[dt.date]
    data: Mapping[str, list[dt.date]]
    redecide: bool = False
    reports: list[dt.date] = field(default_factory=list)

    @property
    def fetched(self) -> list[dt.date]:
        """Dates whose bars are asked of the source."""
        return self.data["raw_bars"]


def last_data_date(universe: Universe, today: dt.date) -> dt.date:
    """The last date whose bars have all closed: the universe's end, or yesterday (UTC).

    Raises:
        UniverseError: there is no such date yet.
    """
    last = min(universe.end or today, today - dt.timedelta(days=1))
    dates = partition_dates(universe, universe.start, last)
    if not dates:
        raise UniverseError(
            f"universe {universe.name!r} has no data yet: it starts on {universe.start}, "
            f"the last closed day is {last}; allowed: a start in the past"
        )
    return dates[-1]


def latest_report_date(universe: Universe, today: dt.date) -> dt.date:
    """The last date all of whose orders have ended."""
    return offset_partition(universe, last_data_date(universe, today), -forward_days(universe))


def data_dates(universe: Universe, first: dt.date, last: dt.date) -> dict[str, list[dt.date]]:
    """Dates of each table that no decision goes into, so that all of them have `first` to `last`.

    What others read over a window begins that much earlier, and never before the universe.
    """
    spans: dict[str, tuple[dt.date, dt.date]] = {}
    for stage in reversed(data_tables()):
        begin, end = first, last
        for reader in data_tables():
            for read in reader.reads:
                if read.stage == stage.name and reader.name in spans:
                    begin = min(begin, offset_partition(universe, spans[reader.name][0], read.first(universe)))
                    end = max(end, offset_partition(universe, spans[reader.name][1], read.last(universe)))
        spans[stage.name] = (begin, end)
    return {
        stage.name: partition_dates(universe, max(spans[stage.name][0], universe.start), spans[stage.name][1])
        for stage in data_tables()
    }


def dates_for(universe: Universe, date: dt.date, today: dt.date) -> Dates:
    """The dates that the report of `date` needs.

    Raises:
        UniverseError: the report's orders have not ended yet, or the data begins too late to train a model for it.
    """
    latest = latest_report_date(universe, today)
    if date > latest or date not in partition_dates(universe, universe.start, latest):
        raise UniverseError(
            f"universe {universe.name!r} has no report for {date}; allowed: partition dates from "
            f"{universe.start} to {latest}, "
            f"the last one whose orders have all ended"
        )
    orders = trailing_dates(universe, date)
    first = orders[0]
    while not is_training_date(universe, first):
        first = offset_partition(universe, first, -1)
    decisions = partition_dates(universe, first, date)
    training = [d for d in decisions if is_training_date(universe, d)]
    start = training_window(universe, first).start
    if start < universe.start:
        needed = offset_partition(universe, universe.start, universe.training.window_days)
        raise UniverseError(
            f"universe {universe.name!r}: the first model of the report of {date} is dated {first} and is "
            f"trained on bars from {start}, "
            f"the data begins on {universe.start}; allowed: reports whose first model is dated {needed} or later"
        )
    # Statistics of the window's first features reach back; without those bars the rows would be masked.
    end = offset_partition(universe, date, forward_days(universe))
    begin = min(start, offset_partition(universe, orders[0], -warmup_days(universe)))
    first_data = dates_before(universe, begin, end + dt.timedelta(days=1))[0]
    return Dates(date, orders, decisions, training, data_dates(universe, first_data, end))
