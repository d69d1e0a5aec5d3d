"""What `lem advise report` prints and saves."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from lem.advice.order_report import OrderReport
from lem.advice.report_page import as_json, day_grid, day_notes, day_page, order_grids, order_notes, order_page
from lem.advice.reporting import DayReport
from lem.errors import OrderError
from lem_pipeline.cli.reports import as_table
from resources.terminal import show_table


def show_report(console: Console, report: OrderReport | DayReport, save: Path | None) -> None:
    """Print the report on an order or a day, or write it to a file.

    Args:
        console: to print on.
        report: of one order, or of a day's.
        save: a page where it ends with .html, JSON where it ends with .json; None to print.

    Raises:
        OrderError: the file has another ending, or cannot be written.
    """
    if save is None:
        if isinstance(report, OrderReport):
            grids, notes = order_grids(report), order_notes(report)
        else:
            grids, notes = [day_grid(report)], day_notes(report)
        for grid in grids:
            show_table(console, as_table(grid))
        for note in notes:
            console.print(escape(note))
        return
    if save.suffix not in (".html", ".json"):
        raise OrderError(f"--save {save}: allowed: a file that ends with .html or .json")
    if save.suffix == ".json":
        text = as_json(report)
    else:
        text = order_page(report) if isinstance(report, OrderReport) else day_page(report)
    try:
        save.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OrderError(
            f"--save {save}: cannot be written: {error}; allowed: a file in a folder that exists"
        ) from error
    console.print(f"Saved: {escape(str(save))}")
