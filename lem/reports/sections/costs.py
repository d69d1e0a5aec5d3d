"""What costs are assumed, what they take of the gain, at what size of an order it is gone, and what other costs do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lem.execution.costs_config import CostsConfig
from lem.reports import tables
from lem.reports.capacity_curve import SIZES, curve, sensitivity_grid, sensitivity_table, sizes_grid, sizes_table
from lem.reports.figures import Picture
from lem.reports.grids import Grid, grid_by_m
from lem.reports.inputs import ReportInputs
from lem.reports.section import Material, Section
from lem.reports.wording import bar_volumes, cost_words, label, number, size


def stored(inputs: ReportInputs, orders: pd.DataFrame, _: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What is kept at other sizes, and at other costs."""
    return {"sizes": sizes_table(orders, inputs.costs), "sensitivity": sensitivity_table(orders, inputs.costs)}


def cost_grids(inputs: ReportInputs, statistics: pd.DataFrame, own: Mapping[str, pd.DataFrame]) -> dict[str, Grid]:
    """The assumptions in words, from the gain before costs to the gain after, the capacity, other sizes and costs."""
    assumed = [list(pair) for pair in cost_words(inputs.costs, inputs.horizon)]
    return {
        "costs": Grid("Costs assumed", ["What", "How much"], assumed, numeric=False),
        "budget": _budget(statistics, inputs.costs),
        "capacity": _capacity(statistics),
        "sizes": sizes_grid(own["sizes"]),
        "sensitivity": sensitivity_grid(own["sensitivity"]),
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


def pictures(_: pd.DataFrame, own: Mapping[str, pd.DataFrame]) -> dict[str, Picture]:
    """What is kept by the size of the order."""
    return {"sizes": curve(own["sizes"])} if len(own["sizes"]) else {}


def words(material: Material) -> dict[str, Any]:
    """The largest order that the cap lets through, and whether sizes are shown beyond it."""
    horizon, most = material.inputs.horizon, material.inputs.costs.participation_cap * material.inputs.horizon
    return {"horizon": horizon, "largest": bar_volumes(most), "beyond": most < max(SIZES)}


SECTION = Section(
    "Costs",
    reads=("costs", "horizon"),
    rows={
        "sizes": "what a strategy keeps at a size of the order, its slices unchanged: mean, deviation, worst 5 %",
        "sensitivity": "the same at a multiple of the assumed impact and a fee on top, with the break-evens of both",
    },
    tables=stored,
    grids=cost_grids,
    pictures=pictures,
    words=words,
)
