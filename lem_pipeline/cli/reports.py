"""What `lem report` shows beside a report: one order in full; and what to do after a run."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lem.lake import Lake
from lem.lineage.stored_report import report_dates, stored_date, trailing_dates
from lem.reports.example import example_of
from lem.reports.grids import Grid
from lem.reports.orders import read_orders
from lem.reports.wording import label, number
from lem.universe import Universe


def show_order(console: Console, lake: Lake, universe: Universe, date: dt.date | None) -> None:
    """Print one order of a report: what it was, and what TWAP and the model made of it.

    Args:
        console: to print on.
        lake: with report, backtests and features.
        universe: of the report.
        date: of the report; None for the latest.

    Raises:
        LakeError: there is no such report, or none with a model.
    """
    date = stored_date(lake, universe.name, date)
    orders, _ = read_orders(lake, universe, trailing_dates(universe, date))
    one = example_of(lake, universe, date, orders)
    console.print(
        f"Buy {_significant(one.quantity)} {escape(one.asset)} from {one.arrival:%Y-%m-%d %H:%M} UTC, in at least "
        f"{one.min_bars} and at most {one.max_bars} bars of {one.bar}, against the VWAP until the order ends."
    )
    for traded in one.traded:
        console.print(
            f"{label(traded.strategy)} paid {_significant(traded.price)} over {traded.bars} bars, where VWAP was "
            f"{_significant(traded.benchmark_price)}: gain {number(traded.gain_bps)} bps, "
            f"kept after costs, under the cap, {number(traded.net_gain_bps)} bps."
        )
    console.print(
        f"It is the median of {one.among} such orders in the report of {date}, by what the model kept; one order shows "
        "how an order goes, and not who is better."
    )


def _significant(value: float) -> str:
    """Six significant digits, without an exponent."""
    return f"{value:,.{max(0, 5 - len(str(int(abs(value)))) + 1)}f}"


def as_table(grid: Grid) -> Table:
    """A table of the page for a terminal: groups in front of their rows, intervals in brackets."""
    table = Table(title=escape(grid.caption))
    for place, name in enumerate(grid.head):
        table.add_column(escape(name), justify="right" if place and grid.numeric else "left")
    group = ""
    for place, (name, *cells) in enumerate(grid.rows):
        group = f"{grid.groups[place]}: " if place in grid.groups else group
        shown = [
            lines[0] + (f" ({lines[1]})" if len(lines) > 1 else "") for cell in cells if (lines := cell.split("\n"))
        ]
        table.add_row(escape(group + name), *map(escape, shown))
    return table


def next_steps(lake: Lake, universe: Universe, command: str) -> list[tuple[str, str]]:
    """Commands that are worth a try after a run, with what each does.

    Args:
        lake: with the reports.
        universe: that was run.
        command: how `lem` is called here.
    """
    dates, name = report_dates(lake, universe.name), universe.name
    steps = [
        (f"{command} ui", "all of it in a browser: lineage, partitions, checks, history"),
        (f"{command} report -u {name} --order", "one order in full: what TWAP paid and what the model paid"),
        (f"{command} status -u {name}", "what is there, what is missing, and what repairs it"),
    ]
    if len(dates) > 1:
        compared = f"{command} report -u {name} --compare {dates[-2]} {dates[-1]}"
        steps.append((compared, "the two latest reports side by side"))
    return [*steps, (f"{command} new desk", "a universe of your own: venue, symbols, bar")]


def show_next_steps(console: Console, lake: Lake, universe: Universe) -> None:
    """Print what to do next, with commands as they can be typed here."""
    steps = next_steps(lake, universe, called_as())
    width = max(len(step) for step, _ in steps)
    console.print("Next:")
    for step, does in steps:
        console.print(f"  {escape(step.ljust(width))}   {does}")


def called_as() -> str:
    """How this command is typed in this shell: by its name where that finds it, and by its path where it does not."""
    own = Path(sys.argv[0])
    found = shutil.which("lem")
    if own.name != "lem" or not own.is_file() or (found and os.path.samefile(found, own)):
        return "lem"
    return os.path.relpath(own)
