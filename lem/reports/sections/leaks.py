"""The leak panel of the champion: does it see what it must not?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from lem.backtest.leaks import LEAK_SCHEMA, MOST, SHIFTS, leaks_found
from lem.reports.grids import INTERVAL, Columns, Grid, grid_of
from lem.reports.inputs import ReportInputs
from lem.reports.section import Material, Section
from lem.reports.wording import count, number, with_interval


def panel_of(inputs: ReportInputs) -> pd.DataFrame:
    """The leak panel; it has no rows where there is no champion."""
    return pd.DataFrame(columns=LEAK_SCHEMA.names) if inputs.leaks is None else inputs.leaks


def stored(inputs: ReportInputs, _: pd.DataFrame, __: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The leak panel."""
    return {"leaks": panel_of(inputs)}


def grids(_: ReportInputs, __: pd.DataFrame, own: Mapping[str, pd.DataFrame]) -> dict[str, Grid]:
    """The driftless market by m, and real bars by what the model sees."""
    leaks = own["leaks"]
    plain = leaks[leaks["market"] == "driftless"]
    columns: Columns = [
        ("m", "min_bars", str),
        ("Mean gain, sigma", "gain", str),
        ("Bound, sigma", "bound", lambda value: number(value, 3)),
        ("Verdict", "verdict", str),
        ("Orders", "orders", count),
        ("Assets", "blocks", count),
    ]
    gains = [_sigma(row) for row in plain.to_dict("records")]
    real = leaks[leaks["market"] == "real"]
    limits = sorted(real["min_bars"].unique())
    rows = []
    for against in ("", next(iter(SHIFTS))):
        for sees in dict.fromkeys(real.loc[real["against"] == against, "sees"]):
            part = real[(real["sees"] == sees) & (real["against"] == against)].set_index("min_bars")
            name = f"{sees}, minus as it trades" if against else sees
            cells = [with_interval(_bps_of(part.loc[m])) for m in limits]
            rows.append([name[:1].upper() + name[1:], *cells])
    rules = [len(SHIFTS)] if len(rows) > len(SHIFTS) else []
    return {
        "leaks_driftless": grid_of(
            "Driftless market: gain of the gate’s simulated orders", plain.assign(gain=gains), columns
        ),
        "leaks_real": Grid(
            f"Real bars: mean gain by m before costs, {INTERVAL}",
            ["What the model sees, m =", *map(str, limits)],
            rows,
            rules=rules,
        ),
    }


def _sigma(row: Mapping[Any, Any]) -> str:
    if math.isnan(row["low"]):
        return f"{number(row['mean'], 3)}\nno interval"
    return f"{number(row['mean'], 3)}\n{number(row['low'], 3)} to {number(row['high'], 3)}"


def _bps_of(row: pd.Series) -> dict[str, Any]:
    return {"mean_bps": row["mean"], "low_bps": row["low"], "high_bps": row["high"]}


def problems(inputs: ReportInputs) -> list[str]:
    """What was found, for the first screen too."""
    return leaks_found(panel_of(inputs))


def words(material: Material) -> dict[str, Any]:
    """What was found, and on what it was tested."""
    inputs = material.inputs
    return {"leaks_found": problems(inputs), "most_arrivals": MOST, "horizon": inputs.horizon}


SECTION = Section(
    "Leak panel",
    reads=("leaks", "horizon"),
    rows={"leaks": "a gain of the champion's leak panel: `market` driftless (sigma) or real (bps), what it `sees`"},
    tables=stored,
    grids=grids,
    words=words,
    problems=problems,
)
