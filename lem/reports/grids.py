"""The tables of the execution report as they are printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from lem.execution.costs_config import CostsConfig
from lem.reports import tables
from lem.reports.headline import row_interval, verdict
from lem.reports.wording import NO_BREAK, cost_words, count, label, number, percent, size, with_interval

COUNTED = ["expected", "received", "missing", "outage", "no_trades", "duplicates", "estimated_vwap"]
QUALITY = ["asset", "date", *COUNTED]
LISTED_ROWS = 60
WHEN = {"off": "before costs", "on": "after costs"}
BOUNDS = {"bound_bps": "Bound, driftless", "oracle_bps": "Bound, foresight"}
INTERVAL = f"bps, with 95{NO_BREAK}% interval"


@dataclass(frozen=True)
class Grid:
    """A table as printed: a row's first cell is its header, lines after a cell's first are small print.

    rules: rows with a line above. groups: {row: title of the rows from there on}.
    """

    caption: str
    head: list[str]
    rows: list[list[str]]
    numeric: bool = True
    rules: list[int] = field(default_factory=list)
    groups: dict[int, str] = field(default_factory=dict)


Columns = Sequence[tuple[str, str, Callable[[Any], str]]]
"""Head, column of the table, and how its values are printed."""
SINGLE: Columns = [
    ("m", "min_bars", str),
    ("Mean", "mean_bps", number),
    ("Mean, sigma", "mean_sigma", lambda value: number(value, 3)),
    ("Median", "median_bps", number),
    ("Std. dev.", "std_bps", number),
    (f"5{NO_BREAK}%", "p5_bps", number),
    (f"95{NO_BREAK}%", "p95_bps", number),
    (f"Worst 5{NO_BREAK}%", "cvar5_bps", number),
    ("Orders above 0", "hit_rate", percent),
]
SINGLE_END: Columns = [("Orders", "orders", count), ("Blocks", "blocks", count)]
EXCLUDED: Columns = [
    ("Reason", "reason", str),
    ("Asset", "asset", str),
    ("Orders", "orders", count),
    ("Share of the asset's orders", "share", percent),
]


def gain_grids(table: pd.DataFrame, excluded: pd.DataFrame, costs: CostsConfig) -> dict[str, Grid]:
    """The tables of gains, each before costs (`name`) and after (`name_net`), and those of the costs."""
    table = table.assign(gain=[with_interval(row) for row in table.to_dict("records")])
    grids = {"overall": _overall(table), "budget": _budget(table, costs), "capacity": _capacity(table)}
    for key, when in WHEN.items():
        name = "" if key == "off" else "_net"
        single = table[table["level"].isin(["m", "all"]) & (table["against"] == "") & (table["costs"] == key)]
        single = single.sort_values("strategy", key=lambda s: s.map(tables.strategy_rank), kind="stable")
        columns = [*SINGLE, *SINGLE_END]
        grids |= {
            f"by_m{name}": _gains(f"Mean gain by m {when}, all scenarios, {INTERVAL}", table, "m", key),
            f"versus{name}": _versus(f"Model minus rule {when}, same orders, {INTERVAL}", table, key),
            f"scenarios{name}": _gains(f"Mean gain by scenario and m {when}, {INTERVAL}", table, "scenario and m", key),
            f"statistics{name}": grid_of(f"Gain of single orders {when}, bps", single, columns, group="strategy"),
            f"bars{name}": _by_m(f"Mean bars used {when}", table, key, "end_bar", number),
        }
    return grids | {
        "fixed": _fixed(table),
        "excluded": grid_of("Orders not executed", excluded, EXCLUDED),
    }


def assumptions(costs: CostsConfig, horizon: int) -> Grid:
    """The costs assumed, in words."""
    return Grid("Costs assumed", ["What", "How much"], [list(pair) for pair in cost_words(costs, horizon)], False)


def grid_of(caption: str, part: pd.DataFrame, columns: Columns, group: str | None = None) -> Grid:
    """A table of `columns`, with the strategy as a title above its rows where `group` names that column."""
    rows = [[form(row[name]) for _, name, form in columns] for row in part.to_dict("records")]
    starts = np.flatnonzero(part[group] != part[group].shift()).tolist() if group else []
    groups = {start: label(part[group].iloc[start]) for start in starts} if group else {}
    return Grid(caption, [head for head, _, _ in columns], rows, groups=groups)


def _overall(table: pd.DataFrame) -> Grid:
    """One row a strategy, before and after costs, and the bounds."""
    off, on = (tables.select(table, "all", costs) for costs in ("off", "on"))
    rows = [
        [label(before["strategy"]), before["gain"], after["gain"], number(after["cvar5_bps"])]
        for before, after in zip(off.to_dict("records"), on.to_dict("records"), strict=True)
    ]
    bounds = _bounds(off.assign(min_bars="all"))
    rows += [[name, *cells, "", ""] for name, cells in bounds.items()]
    head = ["Strategy", "Mean gain before costs", "Mean gain after costs", f"Worst 5{NO_BREAK}% after costs"]
    return Grid(
        f"All executed orders: gain in bps, with 95{NO_BREAK}% interval", head, rows, rules=_last(rows, len(bounds))
    )


def _last(rows: list[list[str]], count: int) -> list[int]:
    """The rule above the last `count` rows."""
    return [len(rows) - count] if rows else []


def _bounds(part: pd.DataFrame) -> dict[str, list[str]]:
    """Each bound by m, from the strategy that executed most orders there."""
    if part.empty:
        return {}
    best = part.sort_values(["min_bars", "orders"], ascending=[True, False], kind="stable").drop_duplicates("min_bars")
    return {name: [number(value) for value in best[column]] for column, name in BOUNDS.items()}


def _cells(part: pd.DataFrame, column: str, form: Callable[[Any], str], limits: Sequence[int]) -> list[list[str]]:
    """One row a strategy, a column for each m."""
    rows = []
    for strategy in dict.fromkeys(part["strategy"]):
        own = part[part["strategy"] == strategy].set_index("min_bars")[column].to_dict()
        rows.append([label(strategy), *(form(own[m]) if m in own else "none" for m in limits)])
    return rows


def _gains(caption: str, table: pd.DataFrame, level: str, costs: str) -> Grid:
    """Mean gains, a row for each strategy and a column for each m, and the bounds below them."""
    part = tables.select(table, level, costs)
    limits = sorted(part["min_bars"].unique())
    scenario = tables.SCENARIO if level == "scenario and m" else []
    rows: list[list[str]] = []
    rules, groups = [], {}
    for key, group in part.groupby(scenario, sort=True) if scenario else [((), part)] * bool(len(part)):
        if key:
            title = " ".join(PRICES.get(str(name), str(name)) for name in key)
            groups[len(rows)] = title[:1].upper() + title[1:]
        rows += _cells(group, "gain", str, limits)
        rules.append(len(rows))
        rows += [[name, *cells] for name, cells in _bounds(group).items()]
    return Grid(caption, ["m =", *map(str, limits)], rows, rules=rules, groups=groups)


PRICES = {"vwap": "VWAP", "twap": "TWAP"}


def _fixed(table: pd.DataFrame) -> Grid:
    """Mean gains against the order's own benchmark and against prices that do not move with its end."""
    columns: Columns = [("Strategy", "strategy", label), ("Own benchmark, to the order’s end", "mean_bps", number)]
    heads = ("Arrival price", "VWAP of all N bars", "TWAP of all N bars")
    columns = [*columns, *((head, name, number) for head, name in zip(heads, tables.FIXED, strict=True))]
    return grid_of(
        "Mean gain before costs against other prices, all executed orders, bps", tables.select(table, "all"), columns
    )


def _by_m(caption: str, table: pd.DataFrame, costs: str, column: str, form: Callable[[Any], str]) -> Grid:
    part = tables.select(table, "m", costs)
    limits = sorted(part["min_bars"].unique())
    return Grid(caption, ["m =", *map(str, limits)], _cells(part, column, form, limits))


def _versus(caption: str, table: pd.DataFrame, costs: str) -> Grid:
    """The model's paired differences to each rule, a row for each m and one for all orders."""
    parts = [tables.select(table, level, costs, None) for level in ("m", "all")]
    rivals = sorted(set(parts[1]["against"]), key=tables.strategy_rank)
    rows = []
    for part in parts:
        for m, group in part.groupby("min_bars", sort=True):
            said = {row["against"]: _difference(row) for row in group.to_dict("records")}
            rows.append([str(m), *(said.get(rival, "none") for rival in rivals)])
    return Grid(caption, ["m", *map(label, rivals)], rows, rules=_last(rows, 1))


def _difference(row: Mapping[Any, Any]) -> str:
    gap = row_interval(row)
    said = verdict(gap)
    return f"{row['gain']}\n{'unclear' if said == 'not distinguishable' else said}" if gap.known else row["gain"]


def _budget(table: pd.DataFrame, costs: CostsConfig) -> Grid:
    """From the gain before costs to the gain after, one row a strategy."""
    off, on = (tables.select(table, "all", key).to_dict("records") for key in ("off", "on"))
    fixed = costs.fee_bps + costs.half_spread_bps
    rows = [
        [
            label(before["strategy"]),
            number(before["mean_bps"]),
            number(after["capped_bps"] - before["mean_bps"]),
            number(-fixed),
            number(after["mean_bps"] - after["capped_bps"] + fixed),
            number(after["mean_bps"]),
        ]
        for before, after in zip(off, on, strict=True)
    ]
    head = ["Strategy", "Before costs", "Cap", "Fee and spread", "Impact", "After costs"]
    return Grid("What costs take, all executed orders, mean bps", head, rows)


def _capacity(table: pd.DataFrame) -> Grid:
    """The size at which each strategy's mean gain is gone, by m and over all orders."""
    grid = _by_m("Order size at which the mean gain is gone, in bar volumes", table, "on", "capacity", size)
    pooled = [size(row["capacity"]) for row in tables.select(table, "all", "on").to_dict("records")]
    rows = [[*row, last] for row, last in zip(grid.rows, pooled, strict=True)]
    return Grid(grid.caption, [*grid.head, "all"], rows)


def flatten(values: Mapping[str, Any], prefix: str = "") -> list[list[str]]:
    """Nested mappings as rows of dotted key and value, in their own order; long values as their length."""
    rows: list[list[str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and len(value) <= LISTED_ROWS:
            rows += flatten(value, f"{prefix}{key}.")
        elif isinstance(value, (Mapping, list, tuple)):
            rows.append([f"{prefix}{key}", ", ".join(map(str, value)) if len(value) <= 8 else f"{len(value)} items"])
        else:
            rows.append([f"{prefix}{key}", f"{value:.4g}" if isinstance(value, float) else str(value)])
    return rows
