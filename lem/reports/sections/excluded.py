"""The orders that were not executed, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lem.reports import tables, tallies
from lem.reports.grids import Columns, Grid, grid_of
from lem.reports.inputs import ReportInputs
from lem.reports.section import Material, Section
from lem.reports.wording import count, percent

EXCLUDED: Columns = [
    ("Reason", "reason", str),
    ("Asset", "asset", str),
    ("Orders", "orders", count),
    ("Share of the asset's orders", "share", percent),
]


def counts(orders: pd.DataFrame) -> dict[str, int]:
    """Parent orders of a prepared table: all, and the excluded ones."""
    excluded = orders[orders["status"] == "excluded"]
    return {
        "all": len(orders.drop_duplicates(tables.ORDER)),
        "excluded": len(excluded.drop_duplicates(tables.ORDER)),
    }


def stored(_: ReportInputs, orders: pd.DataFrame, __: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By reason and asset."""
    return {"excluded": tallies.excluded_table(orders)}


def grids(_: ReportInputs, __: pd.DataFrame, own: Mapping[str, pd.DataFrame]) -> dict[str, Grid]:
    """The same, printed."""
    return {"excluded": grid_of("Orders not executed", own["excluded"], EXCLUDED)}


def words(material: Material) -> dict[str, Any]:
    """How many of how many."""
    return {"counts": counts(material.orders)}


SECTION = Section(
    "Excluded orders",
    rows={"excluded": "a reason why orders of an asset were not executed, and how many"},
    tables=stored,
    grids=grids,
    words=words,
)
