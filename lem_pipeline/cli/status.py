"""`lem status`: what is in the lake, what is missing there, out of date or quarantined, and the command for each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lem.errors import UniverseError
from lem.lake import Lake
from lem.lineage.doubts import doubted, doubts_of, doubts_path
from lem.lineage.keys import PartitionKey, name_missing, span
from lem.lineage.quarantine import quarantine_path
from lem.lineage.stages import DECISION, MODEL, REPORT, below, data_tables
from lem.lineage.staleness import report_is_stale, stale_decisions, stale_models
from lem.lineage.state import TableState, orphans, states
from lem.lineage.stored_report import report_dates
from lem.lineage.tables import ranges
from lem.lineage.versions import Versioned
from lem.registry import Registry
from lem.universe import Universe
from lem.universe.calendars import partition_dates
from lem_pipeline.cli.decided import show_decisions
from lem_pipeline.planning.dates import dates_for, last_data_date, latest_report_date
from resources.terminal import show_table

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
    """Print what there is of each stage, what is wrong with it and what repairs it, and what comes next."""
    found = states(lake, registry, universe, partition_dates(universe, universe.start, last_data_date(universe, today)))
    versioned = Versioned(lake, universe)
    old, reports = stale_decisions(versioned, registry, universe), report_dates(lake, universe.name)
    old_reports = [date for date in reports if report_is_stale(lake, versioned, universe, date)]
    table = Table(title=f"{universe.name}: {escape(universe.description)}")
    for column in ("stage", "partitions", "first", "last", "holes", "stale", "quarantined"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for state in found:
        wrong = [str(len(keys)) for keys in (state.missing, state.stale, state.quarantined)]
        table.add_row(state.table, *_extent(state.present, state.first, state.last), *wrong)
    trained = sorted({record.usable_on for record in registry.models(universe.name)})
    decisions = registry.promotions(universe.name)
    decided = [decision.date for decision in decisions]
    stale_trained = stale_models(versioned, registry, universe)
    for stage, dates, stale in (
        (MODEL, trained, stale_trained),
        (DECISION, decided, old),
        (REPORT, reports, old_reports),
    ):
        # None of these has holes: which dates have one is for who runs to say.
        table.add_row(
            stage, *_extent(len(dates), min(dates, default=None), max(dates, default=None)), "-", str(len(stale)), "-"
        )
    show_table(console, table)
    for state in found:
        _show_wrong(console, lake, universe, state)
    _show_doubts(console, lake, universe)
    show_decisions(console, decisions, universe, old, today)
    for date in old_reports:
        console.print(
            f"[yellow]stale[/yellow] report of {date}: its backtests, settings or code are others now, make it again "
            f"with: lem run --universe {universe.name} --date {date}"
        )
    lost = orphans(lake, universe)
    for asset, tables in lost.items():
        _show_orphan(console, lake, universe, asset, tables)
    champion = registry.champion_on(universe.name, today)
    console.print(f"Champion: {champion.id + f' (trained for {champion.usable_on})' if champion else 'none yet'}")
    latest = latest_report_date(universe, today)
    console.print(f"Latest report: {reports[-1] if reports else 'none yet'}; possible: {latest}")
    wrong_tables = any(state.missing or state.stale or state.quarantined for state in found)
    if reports[-1:] != [latest]:
        _show_next(console, universe, latest, today)
    elif not (wrong_tables or old or stale_trained or old_reports or lost):
        console.print("Nothing to do: what there is has no holes, is up to date, and ends with the latest report.")


def _extent(count: int, first: dt.date | None, last: dt.date | None) -> list[str]:
    return [str(count), str(first or "-"), str(last or "-")]


def _ranges(universe: Universe, keys: Iterable[PartitionKey]) -> str:
    return escape(name_missing(ranges(universe, keys)))


def _show_next(console: Console, universe: Universe, latest: dt.date, today: dt.date) -> None:
    try:
        dates_for(universe, latest, today)
    except UniverseError as error:
        console.print(f"No report can be made yet: {escape(str(error))}")
        return
    console.print(f"Next: lem run --universe {universe.name}")


def _show_orphan(console: Console, lake: Lake, universe: Universe, asset: str, tables: Mapping[str, int]) -> None:
    what = ", ".join(f"{count} of {table}" for table, count in tables.items())
    console.print(
        f"[yellow]orphaned[/yellow] asset {escape(asset)}: partitions {what}; the universe file has no such asset, and "
        r"nothing reads them: put it back into \[assets] if that is a mistake, else delete its folders, "
        f"{escape(f'asset={asset}')} below {escape(lake.show(universe.name))}"
    )


def _show_wrong(console: Console, lake: Lake, universe: Universe, state: TableState) -> None:
    if keys := state.missing:
        command = repair(universe, state.table, keys, there=False)
        console.print(f"[yellow]missing[/yellow] {state.table}: {_ranges(universe, keys)}; make them with: {command}")
    if keys := state.stale:
        after = ", ".join(stage.name for stage in below(state.table))
        console.print(
            f"[yellow]stale[/yellow] {state.table}: {_ranges(universe, keys)}; what they are made from or their "
            f"code has changed, and what lies below may be stale with them ({after}); make them again with: "
            f"{repair(universe, state.table, keys, there=True)}"
        )
    if bad := state.quarantined:
        where = lake.show(quarantine_path(universe.name, bad[0].date, bad[0].symbol))
        console.print(
            f"[red]quarantined[/red] {state.table}: {_ranges(universe, bad)}; what is wrong: {escape(where)}"
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
