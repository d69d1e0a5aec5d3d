"""Tables as the execution report prints them, and the forms that several of its sections share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lem.late import pd
from lem.reports import tables
from lem.reports.verdicts import TOO_FEW, UNCLEAR
from lem.reports.wording import NO_BREAK, label, number, with_interval

LISTED_ROWS = 60
WHEN = {"off": "before costs", "on": "after costs"}
BOUNDS = {
    "off": {"bound_bps": "Bound, driftless", "oracle_bps": "Bound, foresight"},
    "on": {"net_bound_bps": "Bound after costs, driftless"},
}
"""The bounds of tables before costs and after: columns and names."""
INTERVAL = f"bps, with 95{NO_BREAK}% interval"


@dataclass(frozen=True)
class Grid:
    """A table as printed.

    Args:
        caption: what stands above it.
        head: the heads of the columns.
        rows: the cells. A row's first cell is its header; the second and later lines of a cell are small print.
        numeric: whether the cells are numbers.
        rules: rows that have a line above.
        groups: the title of a group by the row that the group begins with.
    """

    caption: str
    head: list[str]
    rows: list[list[str]]
    numeric: bool = True
    rules: list[int] = field(default_factory=list)
    groups: dict[int, str] = field(default_factory=dict)


Columns = Sequence[tuple[str, str, Callable[[Any], str]]]
"""Head, column of the table, and how its values are printed."""


def grid_of(caption: str, part: pd.DataFrame, columns: Columns, group: str | None = None) -> Grid:
    """A table as printed, from the rows of another.

    Args:
        caption: what stands above it.
        part: the rows.
        columns: what is printed of them.
        group: a column with a strategy's name, which becomes a title above its rows; None for no titles.
    """
    rows = [[form(row[name]) for _, name, form in columns] for row in part.to_dict("records")]
    starts = np.flatnonzero(part[group] != part[group].shift()).tolist() if group else []
    groups = {start: label(part[group].iloc[start]) for start in starts} if group else {}
    return Grid(caption, [head for head, _, _ in columns], rows, groups=groups)


def with_gains(part: pd.DataFrame) -> pd.DataFrame:
    """The rows with their mean and its interval, as printed, in the column `gain`."""
    return part.assign(gain=[with_interval(row) for row in part.to_dict("records")])


def overall(table: pd.DataFrame) -> Grid:
    """One row a strategy, after costs and before, and the bounds: the table of the first screen."""
    off, on = (with_gains(tables.select(table, "all", costs)) for costs in ("off", "on"))
    rows = [
        [label(after["strategy"]), after["gain"], number(after["std_bps"]), number(after["cvar5_bps"]), before["gain"]]
        for before, after in zip(off.to_dict("records"), on.to_dict("records"), strict=True)
    ]
    bounds = [[name, *cells, "", "", ""] for name, cells in bounds_by_m(on.assign(min_bars="all"), "on").items()]
    bounds += [[name, "", "", "", *cells] for name, cells in bounds_by_m(off.assign(min_bars="all"), "off").items()]
    rows += bounds
    head = ["Strategy", "Mean after costs", "Std. dev. after", f"Worst 5{NO_BREAK}% after", "Mean before costs"]
    return Grid(
        f"All executed orders: gain in bps, with 95{NO_BREAK}% interval",
        head,
        rows,
        rules=line_above(rows, len(bounds)),
    )


def line_above(rows: list[list[str]], count: int) -> list[int]:
    """The rule above the last `count` rows."""
    return [len(rows) - count] if rows else []


def bounds_by_m(part: pd.DataFrame, costs: str) -> dict[str, list[str]]:
    """Each bound by m, from the strategy that executed most orders there.

    Args:
        part: rows of a `full_table`, one for each strategy and m.
        costs: "off" or "on": whether the bounds before costs are shown, or that after them.
    """
    if part.empty:
        return {}
    best = part.sort_values(["min_bars", "orders"], ascending=[True, False], kind="stable").drop_duplicates("min_bars")
    return {name: [number(value) for value in best[column]] for column, name in BOUNDS[costs].items()}


def cells_by_m(part: pd.DataFrame, column: str, form: Callable[[Any], str], limits: Sequence[int]) -> list[list[str]]:
    """One row a strategy, a column for each m."""
    rows = []
    for strategy in dict.fromkeys(part["strategy"]):
        own = part[part["strategy"] == strategy].set_index("min_bars")[column].to_dict()
        rows.append([label(strategy), *(form(own[m]) if m in own else "none" for m in limits)])
    return rows


def grid_by_m(caption: str, table: pd.DataFrame, costs: str, column: str, form: Callable[[Any], str]) -> Grid:
    """One row a strategy, a column for each m, all scenarios pooled."""
    part = tables.select(table, "m", costs)
    limits = sorted(part["min_bars"].unique())
    return Grid(caption, ["m =", *map(str, limits)], cells_by_m(part, column, form, limits))


def difference(row: Mapping[Any, Any], said: str) -> str:
    """A paired difference with its own interval and, where that is known, what it allows to say.

    Args:
        row: of the difference.
        said: its verdict among all that the table shows (`lem.reports.verdicts`).
    """
    gain = with_interval(row)
    return gain if said == TOO_FEW else f"{gain}\n{'unclear' if said == UNCLEAR else said}"


def flatten(values: Mapping[str, Any], prefix: str = "") -> list[list[str]]:
    """Nested mappings as rows of dotted key and value, in their own order; of long values only the length."""
    rows: list[list[str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and len(value) <= LISTED_ROWS:
            rows += flatten(value, f"{prefix}{key}.")
        elif isinstance(value, (Mapping, list, tuple)):
            rows.append([f"{prefix}{key}", ", ".join(map(str, value)) if len(value) <= 8 else f"{len(value)} items"])
        else:
            rows.append([f"{prefix}{key}", f"{value:.4g}" if isinstance(value, float) else str(value)])
    return rows
