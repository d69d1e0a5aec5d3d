"""Drift: of the inputs, of the gains, and the age of the champion."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from lem.drift.measures import CLOCK, model_age
from lem.drift.reading import NotKnown, gain_drift_on, input_drift_on
from lem.drift.verdicts import DRIFTED, OLD, drift_warnings
from lem.lake import Lake
from lem.registry import Registry
from lem.reports.grids import Columns, Grid, grid_of
from lem.reports.inputs import DRIFT, ReportInputs
from lem.reports.section import Material, Section
from lem.reports.wording import number, optional, with_interval
from lem.universe import Universe


def drift_table(lake: Lake, registry: Registry, universe: Universe, date: dt.date) -> pd.DataFrame:
    """What the drift checks of `date` read.

    Returns:
        One row a reading, with the columns `DRIFT`. The column `reading` is one of:

        - `input`: `value` is the population stability index of feature `name`, `usual` the largest index that as many
          days of the training window have.
        - `gain`: `value` is the realised minus the expected gain in bps, with its interval.
        - `expectation`: `value` is the realised or the expected gain in bps, as `name` says.
        - `age`: `value` is the number of partitions since the champion's training ended.

        `verdict` is drifted, old, or why nothing can be told; "" where all is well.

    Raises:
        LakeError: a panel or a backtest cannot be read.
    """
    rows = _input_rows(lake, registry, universe, date)
    gain, limit = gain_drift_on(lake, registry, universe, date), -universe.drift.gain_tolerance_bps
    name = "Realised minus expected gain, bps"
    if isinstance(gain, NotKnown):
        rows.append(_row("gain", name, threshold=limit, verdict=f"not known: {gain.reason}"))
    else:
        apart = gain.shortfall
        verdict = DRIFTED if gain.drifted(-limit) else "" if apart.known else "too few days to say"
        rows.append(_row("gain", name, apart.mean, apart.low, apart.high, threshold=limit, verdict=verdict))
        for what, value in (("Realised gain, bps", gain.realised_bps), ("Expected gain, bps", gain.expected_bps)):
            rows.append(_row("expectation", what, value))
    champion, oldest = registry.champion_on(universe.name, date), universe.max_model_age
    if champion is not None:
        age = model_age(universe, champion.train_end, date)
        old = OLD * (age > oldest)
        rows.append(_row("age", "Age of the champion, trading days", age, threshold=oldest, verdict=old))
    return pd.DataFrame(rows, columns=DRIFT)


def _input_rows(lake: Lake, registry: Registry, universe: Universe, date: dt.date) -> list[dict[str, Any]]:
    drift, limit = input_drift_on(lake, registry, universe, date), universe.drift.psi
    if isinstance(drift, NotKnown):
        return [_row("input", "all features", threshold=limit, verdict=f"not known: {drift.reason}")]
    said = dict.fromkeys(CLOCK, "calendar, not judged") | dict.fromkeys(drift.drifted(limit), DRIFTED)
    names = sorted(drift.psi, key=lambda name: (name in CLOCK, -drift.psi[name]))
    return [
        _row("input", name, drift.psi[name], usual=drift.usual[name], threshold=limit, verdict=said.get(name, ""))
        for name in names
    ]


def _row(
    reading: str, name: str, value: float = math.nan, low: float = math.nan, high: float = math.nan, **more: Any
) -> dict[str, Any]:
    row = {"reading": reading, "name": name, "value": float(value), "low": low, "high": high}
    return row | {"usual": math.nan, "threshold": math.nan, "verdict": ""} | more


def stored(inputs: ReportInputs, _: pd.DataFrame, __: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The readings."""
    return {"drift": inputs.drift}


def grids(_: ReportInputs, __: pd.DataFrame, own: Mapping[str, pd.DataFrame]) -> dict[str, Grid]:
    """Readings of gains and age, and of each feature."""
    drift = own["drift"]
    inputs = drift[drift["reading"] == "input"]
    others = drift[drift["reading"] != "input"]
    features: Columns = [
        ("Feature", "name", str),
        ("Index", "value", lambda value: number(value, 2)),
        ("Usual, up to", "usual", lambda value: number(value, 2)),
        ("Threshold", "threshold", lambda value: number(value, 2)),
        ("Reading", "verdict", str),
    ]
    return {
        "drift": grid_of(
            "Gains and age",
            others.assign(
                shown=[
                    with_interval(r | _bps(r)) if r["reading"] == "gain" else optional(r["value"])
                    for r in others.to_dict("records")
                ]
            ),
            [
                ("What", "name", str),
                ("Value", "shown", str),
                ("Threshold", "threshold", optional),
                ("Reading", "verdict", str),
            ],
        ),
        "drift_inputs": grid_of("Inputs: population stability index of each feature", inputs, features),
    }


def _bps(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {"mean_bps": row["value"], "low_bps": row["low"], "high_bps": row["high"]}


def warnings(inputs: ReportInputs) -> list[str]:
    """What has drifted, for the first screen too."""
    return drift_warnings(inputs.drift)


def words(material: Material) -> dict[str, Any]:
    """What has drifted, in sentences."""
    return {"warnings": warnings(material.inputs)}


SECTION = Section(
    "Drift",
    reads=("drift",),
    rows={"drift": "a reading of drift: feature, gain or age, its threshold and verdict"},
    tables=stored,
    grids=grids,
    words=words,
    warnings=warnings,
)
