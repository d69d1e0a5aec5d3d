"""What is wrong at this moment, read from lake and registry: the problems that somebody is told about.

A problem is known by its universe, kind and subject. It is told once, however often it is found, until it is over.
"""

from __future__ import annotations

import datetime as dt
import io
import shutil
from pathlib import Path

from lem.alerts.problem import AGE, DEGRADED, DISK, DRIFT, QUARANTINE, Findings, Problem
from lem.drift.measures import model_age
from lem.drift.verdicts import drift_warnings
from lem.lake import Lake
from lem.late import pd
from lem.lineage.quarantine import quarantine_path, quarantined
from lem.lineage.stored_report import report_path
from lem.lineage.tables import dates_in
from lem.registry import Registry
from lem.universe import Universe
from lem.universe.calendars import offset_partition, partition_dates

READINGS = {"input": "inputs", "gain": "gains"}
"""Readings of drift in a report's table, and their names as subjects. Age is judged for today, not for the report."""
EXPLAINED = 10
"""Quarantined days whose error is read, the latest."""
LONGEST = 500
"""Characters of a sentence that is quoted."""


def degraded(registry: Registry, universe: Universe) -> Findings:
    """Whether the last decision is that of a degraded night. Those before it last until a night is not degraded."""
    last = registry.promotions(universe.name)[-1:]
    if not last or not last[0].degraded:
        return Findings([])
    sentence = f"The night of {last[0].date} was degraded: {_short(last[0].degraded)}."
    command = f"lem night -u {universe.name} --redecide"
    return Findings([Problem(universe.name, DEGRADED, str(last[0].date), sentence, command)], lambda subject: True)


def too_old(registry: Registry, universe: Universe, today: dt.date) -> Findings:
    """Whether the champion's training has ended too long ago.

    Args:
        registry: with the decisions.
        universe: whose champion it is.
        today: UTC.
    """
    champion = registry.champion_on(universe.name, today)
    if champion is None:
        return Findings([])
    # After the universe's end nobody trades.
    last = min(universe.end or today, today)
    dates = partition_dates(universe, champion.train_end, last)
    age = model_age(universe, champion.train_end, dates[-1]) if dates else 0
    if age <= universe.max_model_age:
        return Findings([])
    sentence = (
        f"The champion {champion.id} is too old: its training ended {age} trading days ago; "
        f"allowed: {universe.max_model_age}."
    )
    return Findings([Problem(universe.name, AGE, "champion", sentence, f"lem models list -u {universe.name}")])


def drifted(lake: Lake, universe: Universe) -> Findings:
    """What the latest report says of drift.

    Raises:
        LakeError: it cannot be read.
    """
    reports = dates_in(lake, f"{universe.name}/execution_report")
    path = report_path(universe.name, reports[-1], "tables/drift.csv") if reports else ""
    if not path or lake.missing([path]):
        return Findings([], lambda subject: True)
    table = pd.read_csv(io.BytesIO(lake.read_bytes(path)), keep_default_na=False, na_values={"value": [""]})
    found, unknown = [], set()
    for reading, subject in READINGS.items():
        rows = table[table["reading"] == reading]
        if said := drift_warnings(rows):
            command = f"lem report -u {universe.name} -d {reports[-1]}"
            sentence = f"Drift, by the report of {reports[-1]}: {_short(' '.join(said))}"
            found.append(Problem(universe.name, DRIFT, subject, sentence, command))
        elif rows["verdict"].str.startswith(("not known", "too few")).any():
            unknown.add(subject)
    return Findings(found, lambda subject: subject in unknown)


def blocked(lake: Lake, universe: Universe) -> Findings:
    """The quarantined days.

    Raises:
        LakeError: the lake cannot be read.
    """
    days, found = sorted(quarantined(lake, universe), key=lambda day: (day[1], day[0])), []
    for number, (asset, date) in enumerate(days):
        why = ""
        if number >= len(days) - EXPLAINED:
            lines = lake.read_bytes(quarantine_path(universe.name, date, asset)).decode().strip().splitlines()
            why = f": {_short(' '.join(lines[:3]))}"
        sentence = f"The bars of {asset} on {date} are quarantined{why}"
        found.append(Problem(universe.name, QUARANTINE, f"{asset}|{date}", sentence, f"lem status -u {universe.name}"))
    return Findings(found)


def full(folder: Path, limit: float) -> Findings:
    """Whether the disk of a folder is nearly full. Once it was, it is until two per cent less are used.

    Args:
        folder: on that disk; it need not be there yet.
        limit: per cent of the disk that may be used.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists())
    usage = shutil.disk_usage(there)
    used = 100 * (1 - usage.free / usage.total)
    sentence = (
        f"The disk of {folder} is nearly full: {used:.1f} % are used, {usage.free / 2**30:.1f} GiB are free; "
        f"allowed: {limit:g} % (LEM_ALERT_DISK_PERCENT)."
    )
    found = [Problem("", DISK, str(folder), sentence, "lem prune")] if used > limit else []
    return Findings(found, lambda subject: subject == str(folder) and used > limit - 2)


def next_night(universe: Universe, data: dt.date) -> dt.date:
    """The date by which the night after a date of data is called: that of its decision."""
    return offset_partition(universe, data, 1)


def _short(text: str) -> str:
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
