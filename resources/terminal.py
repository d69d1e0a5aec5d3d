"""The terminal: commands, and runs that are carried out for one, write to it."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_ENDLESS = 100_000
"""Columns of a pipe or a file, where no line is too long."""

console = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else _ENDLESS)


def show_table(to: Console, table: Table) -> None:
    """Print a table whole; where the terminal is too narrow for that, line by line, with nothing cut or squeezed.

    Args:
        to: where it is printed.
        table: its cells are text; the first column names the row.
    """
    if Measurement.get(to, to.options.update(max_width=_ENDLESS), table).maximum <= to.width:
        to.print(table)
        return
    to.print(f"[italic]{table.title}[/italic]")
    for name, *cells in zip(*(column.cells for column in table.columns), strict=True):
        to.print(f"[bold]{name}[/bold]")
        for column, cell in zip(table.columns[1:], cells, strict=True):
            if cell:
                to.print(f"  {column.header}: {cell}")
