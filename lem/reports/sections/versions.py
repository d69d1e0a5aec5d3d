"""What the page was made from, and how to make it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lem.reports.grids import Grid, flatten
from lem.reports.inputs import ReportInputs
from lem.reports.section import Material, Section


def grids(inputs: ReportInputs, _: pd.DataFrame, __: Mapping[str, pd.DataFrame]) -> dict[str, Grid]:
    """Code, champion, and the backtests that were read."""
    return {"versions": Grid("Versions", ["What", "Version"], flatten(inputs.versions), numeric=False)}


def words(material: Material) -> dict[str, Any]:
    """What a second making needs to know."""
    inputs = material.inputs
    asked = {"bootstrap": inputs.bootstrap, "seed": inputs.seed, "universe": inputs.universe}
    return asked | {"date": inputs.date.isoformat(), "block_days": material.block_days}


SECTION = Section(
    "Versions and how to reproduce",
    reads=("versions", "bootstrap", "seed", "universe", "date"),
    grids=grids,
    words=words,
)
