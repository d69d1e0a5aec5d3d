"""What the `lem` command says of decisions: whether they follow from each other, and which dates have none."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from lem.gate.walk_forward import broken_decisions, how_to_decide_again, undecided
from lem.lineage.keys import name_missing
from lem.registry import PromotionRecord, Registry
from lem.universe import Universe
from lem_pipeline.planning.dates import Dates


def show_decisions(
    console: Console,
    decisions: Sequence[PromotionRecord],
    universe: Universe,
    stale: Sequence[dt.date],
    today: dt.date,
) -> None:
    """Say whether every decision follows from the one before it, and which were made from what is others now.

    Args:
        console: to print on.
        decisions: that stand, ascending.
        universe: whose decisions they are.
        stale: dates whose decision is out of date (`lem.lineage.staleness.stale_decisions`).
        today: UTC.
    """
    if not decisions:
        return
    broken = broken_decisions(decisions)
    for one in broken:
        console.print(f"[red]decision of {one.date}[/red] {escape(one.text)}")
    if broken:
        how = how_to_decide_again(universe, broken[0].date, today)
        console.print(f"They do not follow from each other; decide them and what follows again with: {how}")
    else:
        span = f"{decisions[0].date} to {decisions[-1].date}"
        console.print(f"Decisions: {len(decisions)}, {span}; each follows from the one before it")
    old = [date for date in stale if date not in {one.date for one in broken}]
    if old:
        console.print(
            f"[yellow]stale[/yellow] decisions: {escape(name_missing(old))}; their model, panels, code or earlier "
            f"champion are others now. What was decided stands; to decide them and what follows again: "
            f"{how_to_decide_again(universe, old[0], today)}"
        )


def show_undecided(console: Console, registry: Registry, universe: Universe, dates: Dates, today: dt.date) -> None:
    """Say on which days of a report no decision was made although later days are decided, and who traded then."""
    missed = undecided(registry.promotions(universe.name), dates.orders)
    if missed:
        console.print(
            f"[yellow]not decided:[/yellow] {escape(name_missing(missed))}; later days are decided, and what was "
            "decided stands. On these days the champion of the decision before them trades, or no model; to decide "
            f"them and what follows again: {how_to_decide_again(universe, missed[0], today)}"
        )
