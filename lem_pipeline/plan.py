"""What a date's report needs, as runs in the order of the graph; what is in the lake already is left out."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from lem.calendars import offset_partition, partition_dates
from lem.errors import UniverseError
from lem.lake import Lake
from lem.registry import Registry
from lem.reports.nightly import report_path, trailing_dates
from lem.tables import PER_ASSET, missing_partitions
from lem.universe import Universe
from lem.windows import (
    dates_before,
    feature_history_days,
    forward_days,
    is_training_date,
    training_window,
    warmup_days,
)
from lem_pipeline.launch import Step


@dataclass(frozen=True)
class Dates:
    """The partition dates that each stage needs for the report of `report`, ascending."""

    report: dt.date
    backtest: list[dt.date]
    decisions: list[dt.date]
    training: list[dt.date]
    features: list[dt.date]
    bars: list[dt.date]


def last_data_date(universe: Universe, today: dt.date) -> dt.date:
    """The last date whose bars have all closed: the universe's end, or yesterday (UTC)."""
    last = min(universe.end or today, today - dt.timedelta(days=1))
    return partition_dates(universe, universe.start, last)[-1]


def latest_report_date(universe: Universe, today: dt.date) -> dt.date:
    """The last date all of whose orders have ended."""
    return offset_partition(universe, last_data_date(universe, today), -forward_days(universe))


def dates_for(universe: Universe, date: dt.date, today: dt.date) -> Dates:
    """The dates that the report of `date` needs.

    Raises:
        UniverseError: the report's orders have not ended yet, or the data begins too late to train a model for it.
    """
    latest = latest_report_date(universe, today)
    if date > latest or date not in partition_dates(universe, universe.start, latest):
        raise UniverseError(
            f"universe {universe.name!r} has no report for {date}; allowed: partition dates from "
            f"{universe.start} to {latest}, "
            f"the last one whose orders have all ended"
        )
    backtest = trailing_dates(universe, date)
    first = backtest[0]
    while not is_training_date(universe, first):
        first = offset_partition(universe, first, -1)
    decisions = partition_dates(universe, first, date)
    training = [d for d in decisions if is_training_date(universe, d)]
    start = training_window(universe, first).start
    if start < universe.start:
        needed = offset_partition(universe, universe.start, universe.training.window_days)
        raise UniverseError(
            f"universe {universe.name!r}: the first model of the report of {date} is dated {first} and is "
            f"trained on bars from {start}, "
            f"the data begins on {universe.start}; allowed: reports whose first model is dated {needed} or later"
        )
    # Statistics of the window's first features reach back; without those bars the rows would be masked.
    end = offset_partition(universe, date, forward_days(universe))
    features_from = min(start, offset_partition(universe, backtest[0], -warmup_days(universe)))
    features = dates_before(universe, features_from, end + dt.timedelta(days=1))
    bars_from = offset_partition(universe, features[0], -feature_history_days(universe))
    return Dates(
        date,
        backtest,
        decisions,
        training,
        features,
        dates_before(universe, bars_from, end + dt.timedelta(days=1)),
    )


def span_steps(universe: Universe, tables: tuple[str, ...], dates: list[dt.date], absent: set[dt.date]) -> list[Step]:
    """One step for each stretch of consecutive dates in `dates` that has absent partitions."""
    stretches: list[list[dt.date]] = []
    before_absent = False
    for date in dates:
        if date in absent:
            if before_absent:
                stretches[-1].append(date)
            else:
                stretches.append([date])
        before_absent = date in absent
    first, last = universe.symbols[0], universe.symbols[-1]
    per_asset = tables[0] in PER_ASSET
    return [
        Step(
            tables,
            f"{first}|{days[0]}" if per_asset else f"{days[0]}",
            f"{last}|{days[-1]}" if per_asset else f"{days[-1]}",
        )
        for days in stretches
    ]


def data_steps(lake: Lake, universe: Universe, bars: list[dt.date], features: list[dt.date], force: bool) -> list[Step]:
    """The runs that make these dates' bars, features and panels."""

    def absent(table: str, dates: list[dt.date]) -> set[dt.date]:
        if force:
            return set(dates)
        assets = universe.symbols if table in PER_ASSET else [None]
        return {
            dt.date.fromisoformat(key.split("|")[-1])
            for key in missing_partitions(lake, universe, table, dates, assets)
        }

    return [
        *span_steps(universe, ("raw_bars", "bars"), bars, absent("raw_bars", bars) | absent("bars", bars)),
        *span_steps(universe, ("features",), features, absent("features", features)),
        *span_steps(universe, ("panel",), features, absent("panel", features)),
    ]


def report_steps(lake: Lake, registry: Registry, universe: Universe, dates: Dates, force: bool) -> list[Step]:
    """The runs that make a report: data, then models and decisions in date order, then backtests, then the page."""
    steps = data_steps(lake, universe, dates.bars, dates.features, force)
    decided = {p.date for p in registry.promotions(universe.name)}
    redo = force or bool(steps)
    for date in dates.decisions:
        if date in dates.training and (redo or registry.candidate(universe.name, date) is None):
            steps.append(Step(("lem_model",), f"{date}", f"{date}"))
            redo = True  # a decision is about the models before it: the ones after it are made again
        if redo or date not in decided:
            steps.append(Step(("champion",), f"{date}", f"{date}"))
            redo = True
    keys = missing_partitions(lake, universe, "backtest", dates.backtest, universe.symbols)
    absent = set(dates.backtest) if redo else {dt.date.fromisoformat(key.split("|")[1]) for key in keys}
    steps += span_steps(universe, ("backtest",), dates.backtest, absent)
    if steps or not lake.exists(report_path(universe.name, dates.report, "report.html")):
        steps.append(Step(("execution_report",), f"{dates.report}", f"{dates.report}"))
    return steps
