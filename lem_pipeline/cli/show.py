"""What the `lem` command prints: results as tables for a terminal."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lem.errors import LakeError
from lem.lake import Lake
from lem.lineage.stored_report import INDEX, PICTURE, read_summary, report_path, stored_date
from lem.registry import Registry
from lem.reports.grids import BOUNDS
from lem.reports.wording import label
from lem.universe import Universe
from resources.privacy import as_the_user_has_it


def show_report(console: Console, lake: Lake, universe: Universe, date: dt.date | None) -> dt.date:
    """Print a report's headline and results and where its page lies; returns its date.

    Raises:
        LakeError: there is no such report, or an earlier version made it.
    """
    date = stored_date(lake, universe.name, date)
    summary = read_summary(lake, universe.name, date)
    console.print(results_table(universe, date, summary))
    for comparison in summary["comparisons"]:
        worth = ""
        if comparison["worth_verdict"] and comparison["against"] == summary["worth_most"]:
            worth = f"counting losses as the gate does: [bold]{comparison['worth_verdict']}[/bold]; "
        console.print(
            f"LEM against {label(comparison['against'])}, after costs: [bold]{comparison['net_verdict']}[/bold]; "
            f"{worth}before costs: {comparison['verdict']}"
        )
    if summary["compared"] > 1:
        console.print(f"Better and worse hold for all {summary['compared']} of these comparisons together.")
    for what, text in summary["costs_text"].items():
        console.print(f"{what}: {escape(text)}")
    if summary["capacity_text"]:
        console.print(f"Capacity: {escape(summary['capacity_text'])}")
    for what, path in (
        ("Report", report_path(universe.name, date, "report.html")),
        ("Picture", report_path(universe.name, date, PICTURE)),
        ("All reports", INDEX),
    ):
        if lake.exists(path):  # an earlier version made no picture and no index
            console.print(f"{what}: {escape(lake.show(path))}")
    return date


def show_nights(console: Console, registry: Registry, universe: Universe, dates: Iterable[dt.date]) -> None:
    """Say which of these nights were degraded, and how."""
    for date in sorted(set(dates)):
        decision = registry.promotion(universe.name, date)
        if decision is not None and decision.degraded:
            console.print(f"[bold yellow]degraded night {date}:[/bold yellow] {escape(decision.degraded)}")


def results_table(universe: Universe, date: dt.date, summary: dict[str, Any]) -> Table:
    """Mean gain of every strategy after costs by m and of all orders, these before costs too; and the bounds."""
    after = [r for r in summary["statistics_after_costs"] if not r["against"]]
    before = {r["strategy"]: r for r in summary["statistics"] if not r["against"] and r["level"] == "all"}
    limits = sorted({r["min_bars"] for r in after if r["level"] == "m"})
    over = "over all eight scenarios (95 % interval); positive is good"
    table = Table(title=f"{universe.name} {date}: mean gain after costs in bps {over}")
    table.add_column("min bars m")
    for m in (*limits, "all", "all, before costs"):
        table.add_column(str(m), justify="right")
    cells = {(r["strategy"], r["min_bars"]): r for r in after}
    for strategy in before:
        means = [_bps(cells[strategy, m]["mean_bps"]) if (strategy, m) in cells else "-" for m in limits]
        table.add_row(label(strategy), *means, _cell(cells[strategy, "all"]), _cell(before[strategy]))
    best = {r["min_bars"]: r for r in sorted(after, key=lambda r: r["orders"])}
    if best:
        for column, name in BOUNDS["on"].items():
            table.add_row(name, *(_bps(best[m][column]) for m in (*limits, "all")), "")
        for column, name in BOUNDS["off"].items():
            table.add_row(name, *[""] * (len(limits) + 1), _bps(best["all"][column]))
    return table


def _cell(row: dict[str, Any]) -> str:
    inside = "" if row["low_bps"] is None else f" ({_bps(row['low_bps'])} to {_bps(row['high_bps'])})"
    return f"{_bps(row['mean_bps'])}{inside}"


def _bps(value: float) -> str:
    """One decimal; nothing smaller is a loss of minus zero."""
    return f"{round(value, 1) + 0.0:.1f}"


def save_report(console: Console, lake: Lake, universe: Universe, date: dt.date, target: Path) -> None:
    """Copy a report's page to a file.

    Raises:
        LakeError: the file cannot be written.
    """
    try:
        page = lake.read_bytes(report_path(universe.name, date, "report.html"))
        with as_the_user_has_it():
            target.write_bytes(page)
    except OSError as error:
        raise LakeError(f"{target}: cannot be written: {error}; allowed: a file in a folder that exists") from error
    console.print(f"Saved: {escape(str(target))}")
