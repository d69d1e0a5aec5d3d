"""The orders of a report: backtests as they lie in the lake, and which days have none."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

from lem.backtest.schema import BACKTEST_SCHEMA
from lem.errors import LakeError
from lem.lake import Lake
from lem.lineage.keys import PartitionKey, name_missing
from lem.lineage.tables import missing_partitions
from lem.registry.records import InputVersion
from lem.reports.compact import encoded, stacked
from lem.reports.prepared import TEXTS
from lem.universe import Universe


def read_orders(
    lake: Lake, universe: Universe, dates: list[dt.date], columns: Sequence[str] = ("date", *BACKTEST_SCHEMA.names)
) -> tuple[pd.DataFrame, list[InputVersion]]:
    """All assets' backtests of these dates with their partition `date`, and the data versions read.

    A date without any backtest is left out, whether it lies before the first backtest or after it (`holes`).

    Args:
        lake: with the backtests.
        universe: of the orders.
        dates: their partitions, in order.
        columns: those that are kept, with all of `lem.reports.prepared.TEXTS`, which become categories.

    Raises:
        LakeError: the last date has no backtest; or some assets have a backtest of a date and others lack it; or
            partitions lack columns, as an earlier version made them.
    """
    tables, inputs = [], []
    old: dict[str, list[str]] = {}
    absent = set(missing_partitions(lake, universe, "backtest", dates, universe.symbols))
    for date in dates:
        missing = [key for symbol in universe.symbols if (key := PartitionKey(symbol, date)) in absent]
        if missing and len(missing) == len(universe.symbols) and date != dates[-1]:
            continue
        if missing:
            raise LakeError(
                f"{universe.name}/execution_report {dates[-1]}: backtests are missing: {name_missing(missing)}; "
                f"make them with: "
                f"lem run --universe {universe.name} --date {dates[-1]}"
            )
        for symbol in universe.symbols:
            table, version = lake.read_arrow(lake.path(universe.name, "backtest", date, symbol))
            name = str(PartitionKey(symbol, date))
            if lacking := [name for name in BACKTEST_SCHEMA.names if name not in table.column_names]:
                old[name] = lacking
            else:
                table = table.append_column("date", pa.array([date] * len(table), pa.date32()))
                tables.append(encoded(table.select(list(columns)), TEXTS))
            inputs.append(InputVersion("backtest", name, version))
    if old:
        lacking = sorted(set().union(*old.values()))
        raise LakeError(
            f"{universe.name}/execution_report {dates[-1]}: {len(old)} backtest partition(s) without the column(s) "
            f"{', '.join(lacking)}, made by an earlier version: {name_missing(sorted(old))}; "
            f"make them again with: lem run --universe {universe.name} --date {dates[-1]} --force"
        )
    return stacked(tables), inputs


def holes(dates: list[dt.date], covered: list[dt.date]) -> tuple[dt.date, ...]:
    """Those of `dates` without a backtest that lie after the first date with one.

    The page names them. They are no error: the automation makes a report once its own date is there, and leaves alone
    what is older than `night.catch_up_days`. If holes were errors, one old hole would stop every report that reaches
    back to it.
    """
    return tuple(date for date in dates if date not in covered and date > min(covered))
