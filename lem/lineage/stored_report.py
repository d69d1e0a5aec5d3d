"""A stored report: its files in the lake, the dates it covers, and the version of the backtests it was made from."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable

from lem.registry.records import InputVersion
from lem.universe import Universe
from lem.universe.calendars import offset_partition, partition_dates

FILES = ("report.csv", "report.json", "report.html")
"""Files that every report has; its other tables lie below `tables/`, their hashes in report.json."""
PICTURE = "gain_by_m.png"
"""The thumbnail beside them: mean gain by m, after costs. It is no part of the data version."""
INDEX = "index.html"
"""The index of all reports: its path in the lake. Names of universes have no dot."""
BACKTESTS_VERSION = "backtest data version (hash of all)"
"""Key in a report's versions: the version of the backtests from which it was made."""

REPORT_VERSION = "version of the report's code"
"""Key in a report's versions: the version of its stage; a report without it was made by the first."""


def report_path(universe: str, date: dt.date, file: str) -> str:
    """Where a report's file lies in the lake."""
    return f"{universe}/execution_report/date={date}/{file}"


def trailing_dates(universe: Universe, date: dt.date) -> list[dt.date]:
    """The partition dates that a report of `date` covers, `date` the last."""
    first = offset_partition(universe, date, 1 - universe.backtest.report_days)
    return partition_dates(universe, max(first, universe.start), date)


def backtests_version(inputs: Iterable[InputVersion]) -> str:
    """One version of all backtests that a report is made from."""
    return hashlib.sha256("".join(read.data_version for read in sorted(inputs)).encode()).hexdigest()
