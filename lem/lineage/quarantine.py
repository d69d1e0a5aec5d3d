"""Bars that broke a rule: the good days of a batch are kept, and each bad one leaves its error in the lake.

<universe>/quarantine/asset=BTC-USDT/date=2024-01-10.txt
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

from lem.data.bars import BarsResult, validate_bars, validate_days
from lem.errors import BarsError
from lem.lake import Lake
from lem.late import pd
from lem.lineage.tables import dates_in
from lem.universe import Universe


def judge_days(
    raw: Mapping[dt.date, pd.DataFrame], universe: Universe, symbol: str
) -> tuple[dict[dt.date, BarsResult], dict[dt.date, str]]:
    """The validated bars of the days that keep the rules, and the errors of the other days.

    Args:
        raw: raw bars by date, UTC.
        universe: with the rules.
        symbol: the asset.

    Raises:
        UniverseError: unknown symbol, or a date that the exchange's calendar does not know.
    """
    try:
        return validate_days(raw, universe, symbol), {}
    except BarsError:
        good, bad = {}, {}
    for date in sorted(raw):
        try:
            good[date] = validate_bars(raw[date], universe, symbol, date)
        except BarsError as error:
            bad[date] = str(error)
    return good, bad


def quarantine_path(universe: str, date: dt.date, asset: str) -> str:
    """Where the error of a day that broke a rule lies in the lake."""
    return f"{universe}/quarantine/asset={asset}/date={date}.txt"


def set_quarantine(lake: Lake, universe: str, asset: str, good: Iterable[dt.date], bad: Mapping[dt.date, str]) -> None:
    """Write the errors of bad days, and remove those of good days.

    Args:
        lake: for a step that writes.
        universe: its name.
        asset: whose days they are.
        good: days that keep the rules.
        bad: by day that does not, its error.

    Raises:
        LakeError: the lake cannot be read or written.
    """
    there = set(lake.names(f"{universe}/quarantine/asset={asset}"))
    for date in good:
        path = quarantine_path(universe, date, asset)
        if path.rpartition("/")[2] in there:
            lake.remove(path)
    for date, error in bad.items():
        lake.write_bytes(quarantine_path(universe, date, asset), f"{error}\n".encode())


def quarantined(lake: Lake, universe: Universe) -> list[tuple[str, dt.date]]:
    """Assets and dates whose raw bars broke a rule when they were last validated, sorted.

    Raises:
        LakeError: the lake cannot be read.
    """
    return [(asset, date) for asset in universe.symbols for date in quarantined_dates(lake, universe.name, asset)]


def quarantined_dates(lake: Lake, universe: str, asset: str) -> list[dt.date]:
    """Dates whose raw bars of an asset broke a rule when they were last validated, sorted.

    Raises:
        LakeError: the lake cannot be read.
    """
    return dates_in(lake, f"{universe}/quarantine/asset={asset}", ".txt")


def refuse_quarantined(universe: str, errors: Mapping[str, str]) -> None:
    """Refuse to go on if there are errors.

    Args:
        universe: its name.
        errors: by partition key.

    Raises:
        BarsError: the first day's error, and the keys of the other days.
    """
    if errors:
        first, *others = sorted(errors)
        more = f"\n{len(others)} more partition(s) break rules: {', '.join(others[:12])}" if others else ""
        end = f"{more}{' and others' if len(others) > 12 else ''}"
        raise BarsError(f"{errors[first]}{end}" + (f"; they are listed by: lem status -u {universe}" if others else ""))
