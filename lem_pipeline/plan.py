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
    execution_dates,
    feature_history_days,
    forward_days,
    history_dates,
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
    """The last date whose bars have all closed: the universe's end, or yesterday (UTC).

    Raises:
        UniverseError: there is no such date yet.
    """
    last = min(universe.end or today, today - dt.timedelta(days=1))
    dates = partition_dates(universe, universe.start, last)
    if not dates:
        raise UniverseError(
            f"universe {universe.name!r} has no data yet: it starts on {universe.start}, "
            f"the last closed day is {last}; allowed: a start in the past"
        )
    return dates[-1]


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


@dataclass(frozen=True)
class _Remade:
    """Dates whose data partitions are made: those that are absent, and those that read one that is made."""

    bars: set[dt.date]
    features: set[dt.date]
    panel: set[dt.date]


def _remade(lake: Lake, universe: Universe, bars: list[dt.date], features: list[dt.date], force: bool) -> _Remade:
    def absent(table: str, dates: list[dt.date]) -> set[dt.date]:
        if force:
            return set(dates)
        assets = universe.symbols if table in PER_ASSET else [None]
        return {
            dt.date.fromisoformat(key.split("|")[-1])
            for key in missing_partitions(lake, universe, table, dates, assets)
        }

    made = absent("raw_bars", bars) | absent("bars", bars)
    computed = {date for date in features if made & {date, *history_dates(universe, date)}}
    computed |= absent("features", features)
    return _Remade(made, computed, computed | absent("panel", features))


def _data_steps(universe: Universe, bars: list[dt.date], features: list[dt.date], remade: _Remade) -> list[Step]:
    return [
        *span_steps(universe, ("raw_bars", "bars"), bars, remade.bars),
        *span_steps(universe, ("features",), features, remade.features),
        *span_steps(universe, ("panel",), features, remade.panel),
    ]


def data_steps(lake: Lake, universe: Universe, bars: list[dt.date], features: list[dt.date], force: bool) -> list[Step]:
    """The runs that make these dates' bars, features and panels, and those that depend on one that is made."""
    return _data_steps(universe, bars, features, _remade(lake, universe, bars, features, force))


def report_steps(lake: Lake, registry: Registry, universe: Universe, dates: Dates, force: bool) -> list[Step]:
    """The runs that make a report: data, then models and decisions in date order, then backtests, then the page."""
    remade = _remade(lake, universe, dates.bars, dates.features, force)
    steps = _data_steps(universe, dates.bars, dates.features, remade)
    decided = set() if force else {p.date for p in registry.promotions(universe.name)}
    judged: set[dt.date] = set()
    for date in dates.decisions:
        window = training_window(universe, date)
        trains = date in dates.training and (
            force
            or registry.candidate(universe.name, date) is None
            or not remade.panel.isdisjoint(dates_before(universe, window.start, window.train_end))
        )
        if trains:
            steps.append(Step(("lem_model",), f"{date}", f"{date}"))
        gate = dates_before(universe, offset_partition(universe, window.gate_start, -warmup_days(universe)), date)
        # A decision is about the champion before it: the decisions after one that is made again are made again.
        if trains or judged or date not in decided or not remade.panel.isdisjoint(gate):
            if judged and not trains and steps[-1] == Step(("champion",), steps[-1].first, f"{max(judged)}"):
                steps[-1] = Step(("champion",), steps[-1].first, f"{date}")
            else:
                steps.append(Step(("champion",), f"{date}", f"{date}"))
            judged.add(date)
    keys = missing_partitions(lake, universe, "backtest", dates.backtest, universe.symbols)
    absent = {dt.date.fromisoformat(key.split("|")[1]) for key in keys}
    absent |= {d for d in dates.backtest if d in judged or not remade.features.isdisjoint(execution_dates(universe, d))}
    steps += span_steps(universe, ("backtest",), dates.backtest, absent)
    if steps or not lake.exists(report_path(universe.name, dates.report, "report.html")):
        steps.append(Step(("execution_report",), f"{dates.report}", f"{dates.report}"))
    return steps
