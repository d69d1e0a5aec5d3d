"""What costs are assumed, what they take of the gain, and at what size of an order it is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lem.execution.costs_config import CostsConfig
from lem.reports import tables
from lem.reports.grids import Grid, grid_by_m
from lem.reports.inputs import ReportInputs
from lem.reports.section import Material, Section
from lem.reports.wording import bar_volumes, cost_words, label, number, size


def cost_grids(inputs: ReportInputs, statistics: pd.DataFrame, _: Mapping[str, pd.DataFrame]) -> dict[str, Grid]:
    """The assumptions in words, the way from the gain before costs to the gain after, and the capacity."""
    assumed = [list(pair) for pair in cost_words(inputs.costs, inputs.horizon)]
    return {
        "costs": Grid("Costs assumed", ["What", "How much"], assumed, numeric=False),
        "budget": _budget(statistics, inputs.costs),
        "capacity": _capacity(statistics),
    }


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
    grid = grid_by_m("Order size at which the mean gain is gone, in bar volumes", table, "on", "capacity", size)
    pooled = [size(row["capacity"]) for row in tables.select(table, "all", "on").to_dict("records")]
    rows = [[*row, last] for row, last in zip(grid.rows, pooled, strict=True)]
    return Grid(grid.caption, [*grid.head, "all"], rows)


def words(material: Material) -> dict[str, Any]:
    """The largest order that the cap lets through."""
    inputs = material.inputs
    return {"horizon": inputs.horizon, "largest": bar_volumes(inputs.costs.participation_cap * inputs.horizon)}


SECTION = Section("Costs", reads=("costs", "horizon"), grids=cost_grids, words=words)
