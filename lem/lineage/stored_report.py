"""A stored report: its files in the lake, the dates it covers, and the version of the backtests it was made from."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable
from typing import Any

from lem.errors import LakeError
from lem.lake import Lake
from lem.lineage.tables import dates_in
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

SETTINGS_VERSION = "report settings (hash of all)"
"""Key in a report's versions: the version of the settings that its figures depend on, and its backtests do not."""


def report_path(universe: str, date: dt.date, file: str) -> str:
    """Where a report's file lies in the lake."""
    return f"{universe}/execution_report/date={date}/{file}"


def report_dates(lake: Lake, universe: str) -> list[dt.date]:
    """Dates of the reports whose page is there, ascending; a report whose making was killed has none.

    Args:
        lake: with the reports.
        universe: its name.

    Raises:
        LakeError: the lake cannot be read.
    """
    pages = {
        report_path(universe, date, "report.html"): date for date in dates_in(lake, f"{universe}/execution_report")
    }
    missing = set(lake.missing(list(pages)))
    return [date for path, date in pages.items() if path not in missing]


def stored_date(lake: Lake, universe: str, date: dt.date | None) -> dt.date:
    """The date of a report that is there.

    Args:
        lake: with the reports.
        universe: its name.
        date: that is asked for; None for the latest.

    Raises:
        LakeError: there is no such report.
    """
    there = report_dates(lake, universe)
    if not there or (date and date not in there):
        known = f"there are: {', '.join(map(str, there[-8:]))}" if there else "there is none yet"
        raise LakeError(
            f"{universe}: no report {f'of {date} ' if date else ''}in the lake; {known}; make one with: "
            f"lem run -u {universe}"
        )
    return date or there[-1]


def read_summary(lake: Lake, universe: str, date: dt.date) -> dict[str, Any]:
    """What a report says, of its report.json.

    Raises:
        LakeError: it cannot be read, or an earlier version made it.
    """
    summary: dict[str, Any] = json.loads(lake.read_bytes(report_path(universe, date, "report.json")))
    if "worth_most" not in summary:
        raise LakeError(
            f"{universe}: the report of {date} was made by an earlier version and its verdicts hold one by one; "
            f"make it again with: lem run -u {universe} -d {date} --force"
        )
    return summary


def trailing_dates(universe: Universe, date: dt.date) -> list[dt.date]:
    """The partition dates that a report of `date` covers, `date` the last."""
    first = offset_partition(universe, date, 1 - universe.backtest.report_days)
    return partition_dates(universe, max(first, universe.start), date)


def backtests_version(inputs: Iterable[InputVersion]) -> str:
    """One version of all backtests that a report is made from."""
    return hashlib.sha256("".join(read.data_version for read in sorted(inputs)).encode()).hexdigest()


def settings_version(universe: Universe) -> str:
    """One version of the settings that a report's figures depend on and its backtests do not."""
    settings = {
        "bootstrap": universe.backtest.bootstrap,
        "seed": universe.training.seed,
        "confidence": universe.gate.confidence,
        "drift": universe.drift.model_dump(mode="json"),
        "max_age": universe.max_model_age,
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
