"""The execution report of a date: gather its inputs from the lake and the registry, render it, store it."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lem.code import code_version
from lem.drift.measures import model_age
from lem.lake import Lake
from lem.lineage.keys import PartitionKey
from lem.lineage.stages import REPORT, stage_named
from lem.lineage.stored_report import (
    BACKTESTS_VERSION,
    FILES,
    PICTURE,
    REPORT_VERSION,
    SETTINGS_VERSION,
    backtests_version,
    report_path,
    settings_version,
    trailing_dates,
)
from lem.lineage.tables import read_range
from lem.registry import Registry
from lem.reports.inputs import TAPE, ReportInputs
from lem.reports.leak_reading import leaks_of
from lem.reports.orders import holes, read_orders
from lem.reports.report import Report, render_report
from lem.reports.schedule import replayed_orders
from lem.reports.sections.drift import drift_table
from lem.reports.sections.quality import data_quality, days_in_quarantine, doubted_bars, listed_outages
from lem.reports.tables import COLUMNS
from lem.training.manifest import curve_path
from lem.universe import Universe
from lem.universe.calendars import offset_partition, partition_dates
from lem.universe.windows import forward_days


@dataclass(frozen=True)
class StoredReport:
    """A report in the lake.

    Args:
        report: as it was rendered.
        paths: where each of its files lies in the lake, by the file's name.
        data_version: hash of its files.
    """

    report: Report
    paths: dict[str, str]
    data_version: str


def report_inputs(lake: Lake, registry: Registry, universe: Universe, date: dt.date) -> ReportInputs:
    """Everything the report of `date` is made of.

    Raises:
        LakeError: a backtest or a data partition that it needs is missing.
    """
    dates = trailing_dates(universe, date)
    orders, inputs = read_orders(lake, universe, dates, COLUMNS)
    covered = sorted({PartitionKey.parse(read.partition_key).date for read in inputs})
    promotions = [p for p in registry.promotions(universe.name) if p.date <= date]
    champion = registry.champion_on(universe.name, date)
    traded = orders.loc[orders["model_id"] != "", ["date", "model_id"]].drop_duplicates().sort_values("date")
    trained_to = {model: registry.model(model).train_end for model in traded["model_id"].unique()}
    return ReportInputs(
        universe=universe.name,
        date=date,
        description=universe.description,
        horizon=universe.horizon,
        bar=universe.bar,
        orders=orders,
        costs=universe.costs,
        risk_aversion=universe.backtest.risk_aversion,
        promotions=promotions,
        champion=champion,
        training_curve=lake.read_table(curve_path(universe.name, champion.id)) if champion else None,
        data_quality=data_quality(lake, universe, covered),
        versions={
            "code": code_version(),
            "champion": champion.id if champion else "none",
            "backtest partitions read": str(len(inputs)),
            BACKTESTS_VERSION: backtests_version(inputs),
            SETTINGS_VERSION: settings_version(universe),
            REPORT_VERSION: stage_named(REPORT).version,
        },
        calendar=universe.calendar,
        left_out=holes(dates, covered),
        bootstrap=universe.backtest.bootstrap,
        seed=universe.training.seed,
        trained_to={model: str(end) for model, end in trained_to.items()},
        ages={
            str(row["date"]): model_age(universe, trained_to[row["model_id"]], row["date"])
            for row in traded.to_dict("records")
        },
        tape=replayed_tape(lake, universe, orders),
        leaks=leaks_of(lake, universe, champion) if champion else None,
        drift=drift_table(lake, registry, universe, date),
        quarantine=days_in_quarantine(lake, universe, date),
        outages=listed_outages(universe, covered),
        doubts=doubted_bars(lake, universe, covered),
    )


def replayed_tape(lake: Lake, universe: Universe, orders: pd.DataFrame) -> pd.DataFrame:
    """The bars of the orders that the report replays: `lem.reports.inputs.TAPE`.

    Raises:
        LakeError: a partition of features, which their backtest read, is missing.
    """
    parts = []
    for order in replayed_orders(orders).to_dict("records"):
        first = dt.date.fromisoformat(order["date"])
        days = partition_dates(universe, first, offset_partition(universe, first, forward_days(universe)))
        table, _ = read_range(lake, universe, "features", days, order["asset"])
        parts.append(table.assign(asset=order["asset"])[TAPE])
    return pd.concat(parts).drop_duplicates(["asset", "ts"]) if parts else pd.DataFrame(columns=TAPE)


def make_report(lake: Lake, registry: Registry, universe: Universe, date: dt.date) -> StoredReport:
    """Render the report of `date` and store its tables, picture, CSV, JSON and, last, its page."""
    report = render_report(report_inputs(lake, registry, universe, date))
    contents = {f"tables/{name}.csv": csv_bytes(table) for name, table in sorted(report.tables.items())}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    contents |= {
        PICTURE: report.thumbnail,
        "report.csv": csv_bytes(report.table),
        "report.json": _json_bytes(report.summary | {"tables": hashes}),
        "report.html": report.html.encode(),
    }
    paths = {file: report_path(universe.name, date, file) for file in contents}
    for file, path in paths.items():
        lake.write_bytes(path, contents[file])
    version = hashlib.sha256(b"".join(contents[file] for file in FILES)).hexdigest()
    return StoredReport(report, paths, version)


def csv_bytes(table: pd.DataFrame) -> bytes:
    """A table as the report's CSV files have it."""
    return table.to_csv(index=False).encode()


def _json_bytes(summary: dict[str, Any]) -> bytes:
    return (json.dumps(summary, indent=1, sort_keys=True, allow_nan=False, default=str) + "\n").encode()
