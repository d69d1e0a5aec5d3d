"""What is in the lake, what is missing there, out of date or quarantined, and the command that repairs each."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lem.lake import Lake
from lem.lineage.quarantine import quarantine_path, quarantined
from lem.lineage.revisions import Versioned, partition_key, traded_by
from lem.lineage.staleness import stale_decisions
from lem.lineage.tables import PER_ASSET, missing_partitions, name_missing
from lem.registry import Registry
from lem.universe import Universe
from lem.universe.calendars import partition_dates
from lem_pipeline.cli.show import report_dates
from lem_pipeline.planning.plan import last_data_date, latest_report_date

STAGES = ("raw_bars", "bars", "features", "panel", "backtest")


@dataclass(frozen=True)
class State:
    """A table's partitions: how many there are, the first and last date that has some, and the keys of the others.

    Args:
        missing: between the first and the last date. stale: made from something else than what is there now.
        quarantined: their raw bars break a rule; of the table `bars` only, and not counted as missing or stale.
    """

    table: str
    present: int
    first: dt.date | None
    last: dt.date | None
    missing: list[str]
    stale: list[str]
    quarantined: list[str]


def states(lake: Lake, registry: Registry, universe: Universe, dates: list[dt.date]) -> list[State]:
    """The state of each table over these dates.

    Raises:
        LakeError: the lake cannot be read.
    """
    versioned = Versioned(lake, universe)
    refused = {partition_key(date, asset) for asset, date in quarantined(lake, universe)}
    out = []
    for table in STAGES:
        assets = universe.symbols if table in PER_ASSET else [None]
        absent = set(missing_partitions(lake, universe, table, dates, assets))
        keys = {date: [partition_key(date, asset) for asset in assets] for date in dates}
        there = [date for date in dates if set(keys[date]) - absent]
        holes = {key for date in dates if there and there[0] <= date <= there[-1] for key in keys[date]} & absent
        found = versioned.stale(table, there, _traders(registry, universe, there) if table == "backtest" else None)
        stale = {key for keys in found.values() for key in keys}
        # A bad day whose bars are as they should be was repaired by a run that was killed before it could say so.
        bad = refused & (absent | stale) if table == "bars" else set()
        present = sum(len(keys[date]) for date in dates) - len(absent)
        first, last = (there[0], there[-1]) if there else (None, None)
        out.append(State(table, present, first, last, sorted(holes - bad), sorted(stale - bad), sorted(bad)))
    return out


def _traders(registry: Registry, universe: Universe, dates: list[dt.date]) -> dict[dt.date, dict[str, str]]:
    return {date: traded_by(registry.champion_on(universe.name, date)) for date in dates}


def repair(universe: Universe, table: str, keys: list[str]) -> str:
    """The command that makes these partitions."""
    days = sorted(key.split("|")[-1] for key in keys)
    if table == "backtest":
        return f"lem run --universe {universe.name} --date {days[-1]}"
    return f"lem backfill --universe {universe.name} --from {days[0]} --to {days[-1]}"


def _decide_again(universe: Universe, date: dt.date, today: dt.date) -> str:
    """A report makes the decisions of its window; those of the last nights are the night's."""
    latest = latest_report_date(universe, today)
    return f"lem night -u {universe.name}" if date > latest else f"lem run --universe {universe.name} --date {date}"


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
    if old := stale_decisions(lake, registry, universe):
        console.print(
            f"[yellow]stale[/yellow] decisions: {escape(name_missing([str(date) for date in old]))}; their model, "
            "panels or earlier champion are others now, decide again with: "
            f"{_decide_again(universe, old[-1], today)}"
        )
    champion = registry.champion_on(universe.name, today)
    console.print(f"Champion: {champion.id + f' (trained for {champion.usable_on})' if champion else 'none yet'}")
    reports = report_dates(lake, universe)
    console.print(
        f"Latest report: {reports[-1] if reports else 'none yet'}; possible: {latest_report_date(universe, today)}"
    )
    console.print(f"Next: lem run --universe {universe.name}")


def _show_wrong(console: Console, lake: Lake, universe: Universe, state: State) -> None:
    for what, keys, do in (
        ("missing", state.missing, "make them with"),
        ("stale", state.stale, "what they are made from has changed, make them again with"),
    ):
        if keys:
            command = repair(universe, state.table, keys)
            console.print(f"[yellow]{what}[/yellow] {state.table}: {escape(name_missing(keys))}; {do}: {command}")
    if bad := state.quarantined:
        asset, _, date = bad[0].partition("|")
        where = lake.show(quarantine_path(universe.name, dt.date.fromisoformat(date), asset))
        console.print(
            f"[red]quarantined[/red] {state.table}: {escape(name_missing(bad))}; what is wrong: {escape(where)}"
            f"{' and beside it' if len(bad) > 1 else ''}; list the outage in the universe file or correct the source, "
            f"then: {repair(universe, state.table, bad)}"
        )
