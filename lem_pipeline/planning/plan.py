"""What a date's report needs, as runs in the order of the graph; what is in the lake already is left out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from lem.errors import UniverseError
from lem.lake import Lake
from lem.lineage.revisions import Versioned, rescaled, traded_by
from lem.lineage.staleness import decision_is_stale, model_is_stale, report_is_stale
from lem.lineage.stored_report import trailing_dates
from lem.lineage.tables import PER_ASSET, missing_partitions
from lem.registry import Registry
from lem.sources import open_source
from lem.universe import Universe
from lem.universe.calendars import offset_partition, partition_dates
from lem.universe.windows import (
    dates_before,
    execution_dates,
    feature_history_days,
    forward_days,
    gate_dates,
    history_dates,
    is_training_date,
    training_window,
    warmup_days,
)
from lem_pipeline.planning.absent import absent_by_asset, to_fetch
from lem_pipeline.planning.steps import Step


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


def span_steps(
    universe: Universe,
    tables: tuple[str, ...],
    dates: list[dt.date],
    absent: set[dt.date],
    symbols: Sequence[str] | None = None,
) -> list[Step]:
    """One step for each stretch of consecutive dates in `dates` that has absent partitions.

    Args:
        symbols: neighbours in the universe's order; without them, all of its assets.
    """
    stretches: list[list[dt.date]] = []
    before_absent = False
    for date in dates:
        if date in absent:
            if before_absent:
                stretches[-1].append(date)
            else:
                stretches.append([date])
        before_absent = date in absent
    assets = symbols or universe.symbols
    first, last = assets[0], assets[-1]
    per_asset = tables[0] in PER_ASSET
    return [
        Step(
            tables,
            f"{first}|{days[0]}" if per_asset else f"{days[0]}",
            f"{last}|{days[-1]}" if per_asset else f"{days[-1]}",
        )
        for days in stretches
    ]


def asset_steps(
    universe: Universe, tables: tuple[str, ...], dates: list[dt.date], wanted: Mapping[str, set[dt.date]]
) -> list[Step]:
    """Steps that make the wanted dates of each asset and no others; neighbours that want the same ones share theirs."""
    steps = list[Step]()
    for days, symbols in groupby(universe.symbols, key=wanted.__getitem__):
        steps += span_steps(universe, tables, dates, days, list(symbols))
    return steps


@dataclass(frozen=True)
class _Remade:
    """Dates whose data partitions are made: those that are absent or out of date, and those that read one that is made.

    raw: dates whose bars are fetched, by asset. bars: those whose bars are made, of what is fetched or was before.
    """

    raw: dict[str, set[dt.date]]
    bars: set[dt.date]
    features: set[dt.date]
    panel: set[dt.date]


def revisited(universe: Universe, dates: Iterable[dt.date], today: dt.date) -> list[dt.date]:
    """Those of `dates` that the source may still revise: the last `source.revisit_days` days before `today`."""
    first = today - dt.timedelta(days=universe.source.capabilities.revisit_days)
    return [date for date in dates if first <= date < today]


def revisit_steps(lake: Lake, universe: Universe, dates: list[dt.date], today: dt.date) -> list[Step]:
    """The runs that fetch again, of `dates`, what is in the lake and the source may have revised since."""
    chosen = revisited(universe, dates, today)
    absent = absent_by_asset(lake, universe, "raw_bars", chosen)
    return asset_steps(universe, ("raw_bars",), chosen, {symbol: set(chosen) - absent[symbol] for symbol in absent})


def readjust_steps(lake: Lake, universe: Universe, data_root: str, today: dt.date) -> list[Step]:
    """The runs that fetch again all that is in the lake of assets whose history the source has adjusted again.

    A dividend or a split changes every day before it, however long ago the last run was: the oldest stored day tells,
    and the revisited ones. The oldest is fetched last, so that a run that was stopped on the way is found again.
    """
    if not universe.source.capabilities.adjusts_history:
        return []
    dates = partition_dates(universe, universe.start, last_data_date(universe, today))
    source, steps = open_source(universe, data_root), list[Step]()
    for symbol in universe.symbols:
        absent = {_date(key) for key in missing_partitions(lake, universe, "raw_bars", dates, [symbol])}
        there = [date for date in dates if date not in absent]
        told = ((date, rescaled(lake, universe, source, symbol, date)) for date in there)
        oldest, changed = next((found for found in told if found[1] is not None), (None, None))
        recent = [] if changed or not oldest else revisited(universe, there, today)
        if oldest and (changed or any(rescaled(lake, universe, source, symbol, date) for date in recent)):
            for days in (set(there) - {oldest}, {oldest}):
                steps += span_steps(universe, ("raw_bars",), dates, days, [symbol])
    return steps


def revised_steps(lake: Lake, universe: Universe, dates: list[dt.date]) -> list[Step]:
    """The runs that validate again the bars of `dates` whose raw bars were revised.

    They go before the plan: where the bars stay the same, nothing that is made from them is made again. A date whose
    raw bars an asset lacks is left to the plan.
    """
    absent = {_date(key) for key in missing_partitions(lake, universe, "raw_bars", dates, universe.symbols)}
    return span_steps(universe, ("bars",), dates, set(Versioned(lake, universe).stale("bars", dates)) - absent)


def _remade(
    lake: Lake, versioned: Versioned, universe: Universe, bars: list[dt.date], features: list[dt.date], force: bool
) -> _Remade:
    def stale(table: str, dates: list[dt.date]) -> set[dt.date]:
        return set() if force else set(versioned.stale(table, dates))

    def absent(table: str, dates: list[dt.date]) -> set[dt.date]:
        if force:
            return set(dates)
        assets = universe.symbols if table in PER_ASSET else [None]
        return {_date(key) for key in missing_partitions(lake, universe, table, dates, assets)}

    fetched = {s: set(bars) for s in universe.symbols} if force else to_fetch(lake, versioned, universe, bars)
    made = set().union(*fetched.values()) | absent("bars", bars) | stale("bars", bars)
    computed = {date for date in features if made & {date, *history_dates(universe, date)}}
    computed |= absent("features", features) | stale("features", features)
    return _Remade(fetched, made, computed, computed | absent("panel", features) | stale("panel", features))


def _date(key: str) -> dt.date:
    return dt.date.fromisoformat(key.split("|")[-1])


def _data_steps(universe: Universe, bars: list[dt.date], features: list[dt.date], remade: _Remade) -> list[Step]:
    together = set.intersection(*remade.raw.values())
    apart = {symbol: days - together for symbol, days in remade.raw.items()}
    return [
        *asset_steps(universe, ("raw_bars",), bars, apart),
        *span_steps(universe, ("raw_bars", "bars"), bars, together),
        *span_steps(universe, ("bars",), bars, remade.bars - together),
        *span_steps(universe, ("features",), features, remade.features),
        *span_steps(universe, ("panel",), features, remade.panel),
    ]


def data_steps(lake: Lake, universe: Universe, bars: list[dt.date], features: list[dt.date], force: bool) -> list[Step]:
    """The runs that make these dates' bars, features and panels, and those that depend on one that is made."""
    remade = _remade(lake, Versioned(lake, universe), universe, bars, features, force)
    return _data_steps(universe, bars, features, remade)


def report_steps(lake: Lake, registry: Registry, universe: Universe, dates: Dates, force: bool) -> list[Step]:
    """The runs that make a report: data, then models and decisions in date order, then backtests, then the page."""
    versioned = Versioned(lake, universe)
    remade = _remade(lake, versioned, universe, dates.bars, dates.features, force)
    steps = _data_steps(universe, dates.bars, dates.features, remade)
    decided = {} if force else {p.date: p for p in registry.promotions(universe.name)}
    judged: set[dt.date] = set()
    before = registry.champion_before(universe.name, dates.decisions[0]) if dates.decisions else None
    champion = before.id if before else None
    for date in dates.decisions:
        window, candidate = training_window(universe, date), registry.candidate(universe.name, date)
        trains = date in dates.training and (
            force
            or candidate is None
            or not remade.panel.isdisjoint(dates_before(universe, window.start, window.train_end))
            or model_is_stale(versioned, universe, candidate)
        )
        if trains:
            steps.append(Step(("lem_model",), f"{date}", f"{date}"))
        # A decision is about the champion before it: the decisions after one that is made again are made again.
        if (
            trains
            or judged
            or date not in decided
            or not remade.panel.isdisjoint(gate_dates(universe, date))
            or decision_is_stale(versioned, universe, decided[date], candidate, champion)
        ):
            if judged and not trains and steps[-1] == Step(("champion",), steps[-1].first, f"{max(judged)}"):
                steps[-1] = Step(("champion",), steps[-1].first, f"{date}")
            else:
                steps.append(Step(("champion",), f"{date}", f"{date}"))
            judged.add(date)
        champion = decided[date].champion_id if date in decided else champion
    absent = {_date(key) for key in missing_partitions(lake, universe, "backtest", dates.backtest, universe.symbols)}
    traded = {d: traded_by(registry.champion_on(universe.name, d)) for d in dates.backtest}
    absent |= set(versioned.stale("backtest", dates.backtest, traded))
    absent |= {d for d in dates.backtest if d in judged or not remade.features.isdisjoint(execution_dates(universe, d))}
    steps += span_steps(universe, ("backtest",), dates.backtest, absent)
    if steps or report_is_stale(lake, versioned, universe, dates.report):
        steps.append(Step(("execution_report",), f"{dates.report}", f"{dates.report}"))
    return steps
