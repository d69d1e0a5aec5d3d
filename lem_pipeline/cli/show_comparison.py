"""What `lem report --compare` prints: two sides in comparison."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from lem.errors import LakeError
from lem.lake import Lake
from lem.registry import Registry
from lem.reports.compare import Side, compare, of_model, of_report, render_comparison
from lem.universe import Universe
from lem_pipeline.cli.reports import as_table
from lem_pipeline.planning.days import partition_day
from resources.terminal import show_table

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def show_comparison(
    console: Console,
    lake: Lake,
    registry: Callable[[], Registry],
    universe: Universe,
    names: tuple[str, str],
    save: Path | None,
) -> None:
    """Print two reports, or the orders of two models, side by side.

    Args:
        console: to print on.
        lake: with reports and backtests.
        registry: opens that of the models.
        universe: that both are of.
        names: two dates, or two ids of models.
        save: where the page of it is written, or None.

    Raises:
        LakeError: one of them is not there, or the page cannot be written.
        RegistryError: there is no such model.
    """
    sides = list[Side]()
    for name in names:
        if _DATE.fullmatch(name):
            sides.append(of_report(lake, universe, partition_day(universe, name)))
        else:
            sides.append(of_model(lake, registry(), universe, name))
    found = compare(universe.name, sides[0], sides[1])
    for grid in found.grids:
        show_table(console, as_table(grid))
    console.print(found.caution)
    if save:
        try:
            save.write_text(render_comparison(found), encoding="utf-8")
        except OSError as error:
            raise LakeError(f"{save}: cannot be written: {error}; allowed: a file in a folder that exists") from error
        console.print(f"Saved: {escape(str(save))}")
