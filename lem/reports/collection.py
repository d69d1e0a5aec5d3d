"""The reports that the lake holds, one line each: what an index of them says."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from lem.backtest.bootstrap import Interval
from lem.lake import Lake
from lem.lineage.stored_report import report_dates, report_path
from lem.reports.tables import MODEL
from lem.strategies.rules import RULES_WITH_COSTS

_READERS = 16


@dataclass(frozen=True)
class Entry:
    """A stored report in one line. All gains are means over its executed orders after costs, bps.

    Args:
        universe: that it is of.
        date: that it is of.
        status: as its first screen has it; "" if its figures cannot be read.
        champion: id of the model that trades on the date; "" without one.
        kept: by the model; None without one.
        rule: the rule that keeps most of those that know costs; "" without one.
        rule_bps: what it keeps; None without one.
        gap: the model minus that rule, paired; None without both.
        verdict: what the gap allows to say; "" without one.
        orders: number of executed orders.
        blocks: number of independent blocks of days.
        note: why its figures are not here; "" if they are.
    """

    universe: str
    date: dt.date
    status: str = ""
    champion: str = ""
    kept: Interval | None = None
    rule: str = ""
    rule_bps: float | None = None
    gap: Interval | None = None
    verdict: str = ""
    orders: int = 0
    blocks: int = 0
    note: str = ""


def all_reports(lake: Lake, without: Collection[tuple[str, dt.date]] = ()) -> list[tuple[str, dt.date]]:
    """Universe and date of every report whose page is there, sorted.

    Args:
        lake: with the reports; every folder with reports in it is a universe, whether its file is there or not.
        without: reports that do not count.

    Raises:
        LakeError: the lake cannot be read.
    """
    folders = [name for name in lake.names("") if "." not in name]
    return [(name, date) for name in folders for date in report_dates(lake, name) if (name, date) not in without]


def entries(lake: Lake, reports: Collection[tuple[str, dt.date]]) -> list[Entry]:
    """Each of these reports in one line, in their order.

    Args:
        lake: with the reports.
        reports: universe and date of each.

    Raises:
        LakeError: the lake cannot be read.
    """
    with ThreadPoolExecutor(_READERS) as readers:
        return list(readers.map(lambda report: entry(lake, *report), reports))


def entry(lake: Lake, universe: str, date: dt.date) -> Entry:
    """One report in one line; a note says where its figures cannot be read."""
    path = report_path(universe, date, "report.json")
    if not lake.exists(path):
        return Entry(universe, date, note="its report.json is missing")
    try:
        return _entry(universe, date, json.loads(lake.read_bytes(path)))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return Entry(universe, date, note="made by another version: its report.json has another form")


def _entry(universe: str, date: dt.date, summary: dict[str, Any]) -> Entry:
    knowing = [one for one in summary["comparisons"] if one["knows_costs"]]
    after = {row["strategy"]: row for row in summary["statistics_after_costs"] if _is_pooled(row)}
    rules = {name: after[name]["mean_bps"] for name in RULES_WITH_COSTS if name in after}
    best = max(rules, key=lambda name: rules[name]) if rules else ""
    if knowing:
        best = knowing[0]["against"]
    return Entry(
        universe=universe,
        date=date,
        status=summary["status"],
        champion=summary["champion_id"],
        kept=_interval(after[MODEL]) if MODEL in after else None,
        rule=best,
        rule_bps=rules.get(best),
        gap=_from_fields(knowing[0]["net_interval"]) if knowing else None,
        verdict=knowing[0]["net_verdict"] if knowing else "",
        orders=summary["orders"],
        blocks=summary["blocks"],
    )


def _is_pooled(row: dict[str, Any]) -> bool:
    return row["level"] == "all" and not row["against"]


def _interval(row: dict[str, Any]) -> Interval:
    return _from_fields(
        {"mean": row["mean_bps"], "low": row["low_bps"], "high": row["high_bps"]}
        | {"orders": row["orders"], "blocks": row["blocks"]}
    )


def _from_fields(fields: dict[str, Any]) -> Interval:
    """An interval as JSON has it, where an end that is not known is null."""
    mean, low, high = (math.nan if fields[end] is None else float(fields[end]) for end in ("mean", "low", "high"))
    return Interval(mean, low, high, int(fields["orders"]), int(fields["blocks"]))
