"""What an execution report is made of, and the form that its tables must have."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import pandas as pd

from lem.backtest.leaks import LEAK_SCHEMA
from lem.errors import EvaluationError
from lem.execution.costs_config import CostsConfig
from lem.registry import ModelRecord, PromotionRecord

CURVE = ["step", "loss", "gain_sigma", "learning_rate"]
TAPE = ["asset", "ts", "vwap", "volume"]
DRIFT = ["reading", "name", "value", "low", "high", "usual", "threshold", "verdict"]
COUNTED = ["expected", "received", "missing", "outage", "in_outage", "no_trades", "duplicates", "estimated_vwap"]
QUALITY = ["asset", "date", *COUNTED]
QUARANTINE = ["asset", "date", "problem"]
OUTAGES = ["start", "end", "assets", "reason"]
DOUBTS = ["asset", "date", "doubt"]


@dataclass(frozen=True)
class ReportInputs:
    """What a report is made of.

    Args:
        universe: its name.
        date: the report's partition.
        description: of the universe, for its readers.
        horizon: N in bars.
        bar: length of a bar ("1h", "1d", ...).
        orders: the backtest's rows with `asset` and `date` (columns: `lem.reports.tables.COLUMNS`).
        costs: those that the backtest charged.
        risk_aversion: lambda of the orders, by which the gate weighs losses.
        promotions: decisions of up to `date`, about who trades.
        champion: who trades on the date; None without a model.
        training_curve: the champion's (columns `CURVE`); None without a model.
        data_quality: one row per asset and day (columns `QUALITY`).
        versions: of what the report was made from, by name.
        calendar: the market's.
        left_out: dates in the midst of the orders whose backtests are not there.
        bootstrap: resamples.
        seed: of the bootstrap.
        trained_to: date (ISO) that a model's training ended before, by id.
        ages: partitions since the champion's training ended, by arrival day (ISO).
        tape: bars of the replayed orders (columns `TAPE`).
        leaks: the champion's leak panel (`LEAK_SCHEMA`); None without a model.
        drift: readings of drift (columns `DRIFT`).
        quarantine: days that broke a rule (columns `QUARANTINE`).
        outages: those that the universe lists (columns `OUTAGES`).
        doubts: bars whose numbers are hardly possible together, and rows in listed outages (columns `DOUBTS`).
    """

    universe: str
    date: dt.date
    description: str
    horizon: int
    bar: str
    orders: pd.DataFrame
    costs: CostsConfig
    risk_aversion: float
    promotions: Sequence[PromotionRecord]
    champion: ModelRecord | None
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
    doubts: pd.DataFrame = field(default_factory=partial(pd.DataFrame, columns=DOUBTS))

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
            ("table of doubts", self.doubts, DOUBTS),
        ):
            _check_columns(what, table, needed)


def _check_columns(what: str, table: pd.DataFrame, needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise EvaluationError(f"{what}: missing column(s) {', '.join(missing)}; needed: {', '.join(needed)}")
