"""What an execution report is made of, and the form that its tables must have."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pandas as pd

from lem.backtest.leaks import LEAK_SCHEMA
from lem.errors import EvaluationError
from lem.execution.costs_config import CostsConfig
from lem.reports.grids import QUALITY
from lem.reports.schedule import TAPE
from lem.reports.section_grids import DRIFT, OUTAGES, QUARANTINE

CURVE = ["step", "loss", "gain_sigma", "learning_rate"]


@dataclass(frozen=True)
class ReportInputs:
    """What a report is made of.

    date: the report's partition. horizon: N in bars of length `bar` ("1h", "1d", ...). orders: the backtest's rows with
    `asset` and `date` (columns: `tables.COLUMNS`). costs: those that it charged. promotions: dicts with date, decision,
    champion_id, candidate_id, reasons (list of str), figures (dict). champion_manifest, training_curve (columns
    `CURVE`): None without a model. data_quality: one row per asset and day (columns `QUALITY`). calendar: the market's.
    left_out: dates in the midst of the orders whose backtests are not there. bootstrap: resamples. trained_to: date
    (ISO) that a model's training ended before, by id. ages: partitions since the champion's training ended, by arrival
    day (ISO). tape: bars of the replayed orders (columns `TAPE`). leaks: the champion's leak panel (`LEAK_SCHEMA`),
    None without a model. drift, quarantine, outages: columns `DRIFT`, `QUARANTINE` and `OUTAGES`.
    """

    universe: str
    date: dt.date
    description: str
    horizon: int
    bar: str
    orders: pd.DataFrame
    costs: CostsConfig
    promotions: Sequence[Mapping[str, Any]]
    champion_manifest: Mapping[str, Any] | None
    training_curve: pd.DataFrame | None
    data_quality: pd.DataFrame
    versions: Mapping[str, str]
    calendar: str = "24/7"
    left_out: Sequence[dt.date] = ()
    bootstrap: int = 2000
    seed: int = 0
    trained_to: Mapping[str, str] = field(default_factory=dict)
    ages: Mapping[str, int] = field(default_factory=dict)
    tape: pd.DataFrame = field(default_factory=partial(pd.DataFrame, columns=TAPE))
    leaks: pd.DataFrame | None = None
    drift: pd.DataFrame = field(default_factory=partial(pd.DataFrame, columns=DRIFT))
    quarantine: pd.DataFrame = field(default_factory=partial(pd.DataFrame, columns=QUARANTINE))
    outages: pd.DataFrame = field(default_factory=partial(pd.DataFrame, columns=OUTAGES))

    def check(self) -> None:
        """Refuse tables that are not of the promised form; the orders are checked where they are prepared.

        Raises:
            EvaluationError: names the table, the columns that it lacks, and those that it needs.
        """
        _check_columns("data quality table", self.data_quality, QUALITY)
        if self.training_curve is not None:
            _check_columns("training curve", self.training_curve, CURVE)
        if self.leaks is not None:
            _check_columns("leak panel", self.leaks, LEAK_SCHEMA.names)
        for what, table, needed in (
            ("tape", self.tape, TAPE),
            ("drift table", self.drift, DRIFT),
            ("quarantine table", self.quarantine, QUARANTINE),
            ("outages table", self.outages, OUTAGES),
        ):
            _check_columns(what, table, needed)


def _check_columns(what: str, table: pd.DataFrame, needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise EvaluationError(f"{what}: missing column(s) {', '.join(missing)}; needed: {', '.join(needed)}")
