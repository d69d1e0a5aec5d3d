"""`lem status`: what is in the lake, what is missing there, out of date or quarantined, and the command for each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lem.lake import Lake
from lem.lineage.doubts import doubted, doubts_of, doubts_path
from lem.lineage.keys import PartitionKey, span
from lem.lineage.quarantine import quarantine_path
from lem.lineage.stages import below, data_tables
from lem.lineage.staleness import report_is_stale
from lem.lineage.state import TableState, states
from lem.lineage.tables import name_missing
from lem.lineage.versions import Versioned
from lem.registry import Registry
from lem.universe import Universe
from lem.universe.calendars import partition_dates
from lem_pipeline.cli.decided import show_decisions
from lem_pipeline.cli.show import report_dates
from lem_pipeline.planning.dates import last_data_date, latest_report_date

DOUBTS_SHOWN = 10
"""Days of which the doubts are printed."""


def repair(universe: Universe, table: str, keys: Sequence[PartitionKey], there: bool) -> str:
    """The command that makes these partitions.

    Args:
        universe: whose they are.
        table: their stage.
        keys: of the partitions, at least one.
        there: whether they are there and out of date; a decision must be made before what follows from it can be.
    """
    first, last = span(keys)
    if there or table in {stage.name for stage in data_tables()}:
        return f"lem backfill --universe {universe.name} --from {first} --to {last}"
    return f"lem run --universe {universe.name} --date {last}"


def show_status(console: Console, lake: Lake, registry: Registry, universe: Universe, today: dt.date) -> None:
    """Print each stage's partitions and what is wrong with them, stale decisions, the champion and the next report."""
    found = states(lake, registry, universe, partition_dates(universe, universe.start, last_data_date(universe, today)))
    table = Table(title=f"{universe.name}: {escape(universe.description)}")
    for column in ("stage", "partitions", "first", "last", "holes", "stale", "quarantined"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for state in found:
        span = [str(state.first or "-"), str(state.last or "-")]
        wrong = [str(len(keys)) for keys in (state.missing, state.stale, state.quarantined)]
        table.add_row(state.table, str(state.present), *span, *wrong)
    console.print(table)
    for state in found:
        _show_wrong(console, lake, universe, state)
    _show_doubts(console, lake, universe)
    show_decisions(console, lake, registry, universe, today)
    champion = registry.champion_on(universe.name, today)
    console.print(f"Champion: {champion.id + f' (trained for {champion.usable_on})' if champion else 'none yet'}")
    reports = report_dates(lake, universe)
    if reports and report_is_stale(lake, Versioned(lake, universe), universe, reports[-1]):
        console.print(
            f"[yellow]stale[/yellow] report of {reports[-1]}: its backtests or its code are others now, make it again "
            f"with: lem run --universe {universe.name} --date {reports[-1]}"
        )
    console.print(
        f"Latest report: {reports[-1] if reports else 'none yet'}; possible: {latest_report_date(universe, today)}"
    )
    console.print(f"Next: lem run --universe {universe.name}")


def _show_wrong(console: Console, lake: Lake, universe: Universe, state: TableState) -> None:
    if keys := state.missing:
        command = repair(universe, state.table, keys, there=False)
        console.print(
            f"[yellow]missing[/yellow] {state.table}: {escape(name_missing(keys))}; make them with: {command}"
        )
    if keys := state.stale:
        after = ", ".join(stage.name for stage in below(state.table))
        console.print(
            f"[yellow]stale[/yellow] {state.table}: {escape(name_missing(keys))}; what they are made from or their "
            f"code has changed, and what lies below may be stale with them ({after}); make them again with: "
            f"{repair(universe, state.table, keys, there=True)}"
        )
    if bad := state.quarantined:
        where = lake.show(quarantine_path(universe.name, bad[0].date, bad[0].symbol))
        console.print(
            f"[red]quarantined[/red] {state.table}: {escape(name_missing(bad))}; what is wrong: {escape(where)}"
            f"{' and beside it' if len(bad) > 1 else ''}; correct the source, or do what is said there, then: "
            f"{repair(universe, state.table, bad, there=True)}"
        )


def _show_doubts(console: Console, lake: Lake, universe: Universe) -> None:
    """The latest days of which something is doubted, with the bar."""
    found = sorted(doubted(lake, universe), key=lambda key: (key[1], key[0]))
    for asset, date in found[-DOUBTS_SHOWN:]:
        for line in doubts_of(lake, universe.name, date, asset):
            console.print(f"[yellow]doubtful[/yellow] bars {asset}|{date}: {escape(line)}")
    if len(found) > DOUBTS_SHOWN:
        where = lake.show(doubts_path(universe.name, found[0][1], found[0][0]))
        console.print(f"and {len(found) - DOUBTS_SHOWN} earlier days with doubts, see {escape(where)} and beside it")
