"""Where the model gains: by asset, hour, weekday, volatility, age of the model, and model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lem.reports import tables
from lem.reports.grids import INTERVAL, Grid, difference
from lem.reports.groups import TITLES, group_rank, levels_shown
from lem.reports.inputs import ReportInputs
from lem.reports.section import Material, Section
from lem.reports.verdicts import row_interval, row_verdicts, together
from lem.reports.wording import count, label, short, with_interval


def group_grids(_: ReportInputs, statistics: pd.DataFrame, __: Mapping[str, pd.DataFrame]) -> dict[str, Grid]:
    """One table `by_NAME` for each level with more than one group.

    It shows the model before costs and after, and after costs its paired difference to the rule it must beat first.
    """
    rival = tables.FIRST_RIVAL["on"]
    grids = {}
    for level in levels_shown(statistics):
        own = statistics[(statistics["level"] == level) & (statistics["strategy"] == tables.MODEL)]
        groups = sorted(own["group"].unique(), key=lambda group: group_rank(level, group))
        rows = []
        parts = {group: own[own["group"] == group] for group in groups}
        gaps = {group: gap for group, part in parts.items() if (gap := tables.one_row(part, "on", rival)) is not None}
        said = dict(zip(gaps, row_verdicts(list(gaps.values())), strict=True))
        for group, part in parts.items():
            off, on = (tables.one_row(part, costs, "") for costs in ("off", "on"))
            if off is None or on is None:
                continue
            name = short(group) if level == "model" else group
            more = difference(gaps[group], said[group]) if group in gaps else ""
            rows.append([name, with_interval(off), with_interval(on), more, count(off["orders"]), count(off["blocks"])])
        head = [TITLES[level].split()[1].rstrip(",").capitalize(), "Model before costs", "Model after costs"]
        known = sum(row_interval(gap).known for gap in gaps.values())
        grids[f"by_{level}"] = Grid(
            f"{TITLES[level]}: mean gain in {INTERVAL}{together(known)}",
            [*head, f"Model minus {label(rival)}, after costs", "Orders", "Blocks"],
            rows,
        )
    return grids


def words(_: Material) -> dict[str, Any]:
    """The names of all levels, those without a table too."""
    return {"group_names": [f"by_{name}" for name in tables.GROUPS]}


SECTION = Section("Where it gains", grids=group_grids, words=words)
