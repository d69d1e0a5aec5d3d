"""The runs that look at the past again: what a source may have revised, and what it has adjusted again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from lem.lake import Lake
from lem.lineage.keys import PartitionKey
from lem.lineage.one_source import OneSource
from lem.lineage.revisions import rescaled
from lem.lineage.stages import Stage
from lem.lineage.tables import missing_partitions
from lem.lineage.versions import Versioned, assets_of, inputs_of
from lem.sources import open_source
from lem.universe import Universe
from lem.universe.calendars import partition_dates
from lem_pipeline.planning.absent import absent_by_asset
from lem_pipeline.planning.dates import last_data_date
from lem_pipeline.planning.steps import Step, asset_steps, span_steps


def revisited(universe: Universe, dates: Iterable[dt.date], today: dt.date) -> list[dt.date]:
    """Those of `dates` that the source may still revise: the last `source.revisit_days` days before `today`."""
    first = today - dt.timedelta(days=universe.source.capabilities.revisit_days)
    return [date for date in dates if first <= date < today]


def revisit_steps(lake: Lake, universe: Universe, dates: list[dt.date], today: dt.date) -> list[Step]:
    """The runs that fetch again, of `dates`, what is in the lake and the source may have revised since."""
    chosen = revisited(universe, dates, today)
    absent = absent_by_asset(lake, universe, "raw_bars", chosen)
    wanted = {symbol: set(chosen) - absent[symbol] if _trades(universe, symbol, today) else set() for symbol in absent}
    return asset_steps(universe, ("raw_bars",), chosen, wanted)


def _trades(universe: Universe, symbol: str, today: dt.date) -> bool:
    """Whether the asset is not delisted: afterwards a source revises nothing, and may have dropped the asset."""
    delisted = universe.assets[symbol].delisted
    return delisted is None or today <= delisted


def refetch_steps(lake: Lake, universe: Universe, dates: Sequence[dt.date]) -> list[Step]:
    """The runs that fetch again, of `dates`, what is stored from another source than the universe names.

    Raises:
        LakeError: the lake cannot be read.
        SourceError: some of `dates` would be new beside stored days of another source.
    """
    assets = [OneSource(lake, universe, symbol) for symbol in universe.symbols]
    for asset in assets:
        asset.refuse_mixture(dates)
    return asset_steps(universe, ("raw_bars",), dates, {one.asset: one.older() & set(dates) for one in assets})


def readjust_steps(lake: Lake, universe: Universe, data_root: str, today: dt.date) -> list[Step]:
    """The runs that fetch again all that is in the lake of assets whose history the source has adjusted again.

    A dividend or a split changes every day before it. So the oldest stored day and the revisited ones tell of it,
    however long ago the last run was. The oldest is fetched last: if a run is stopped on the way, the next one still
    finds the change.
    """
    if not universe.source.capabilities.adjusts_history:
        return []
    dates = partition_dates(universe, universe.start, last_data_date(universe, today))
    source, steps = open_source(universe, data_root), list[Step]()
    for symbol in (symbol for symbol in universe.symbols if _trades(universe, symbol, today)):
        absent = {key.date for key in missing_partitions(lake, universe, "raw_bars", dates, [symbol])}
        there = [date for date in dates if date not in absent]
        told = ((date, rescaled(lake, universe, source, symbol, date)) for date in there)
        oldest, changed = next((found for found in told if found[1] is not None), (None, None))
        recent = [] if changed or not oldest else revisited(universe, there, today)
        if oldest and (changed or any(rescaled(lake, universe, source, symbol, date) for date in recent)):
            for days in (set(there) - {oldest}, {oldest}):
                steps += span_steps(universe, ("raw_bars",), dates, days, [symbol])
    return steps


def outdated_steps(lake: Lake, universe: Universe, stage: Stage, dates: Sequence[dt.date]) -> list[Step]:
    """The runs that make again, of `dates`, what is there of a table and out of date.

    They go before the plan, stage by stage: where the content stays the same, nothing that is made from it is made
    again. A date on which an asset lacks its partition, or one that it reads, is left to the plan.
    """
    versioned, assets = Versioned(lake, universe), assets_of(universe, stage)
    wanted = set(versioned.stale(stage.name, dates))
    wanted -= {key.date for key in missing_partitions(lake, universe, stage.name, dates, assets)}
    needs = {date: [p for a in assets for p in inputs_of(universe, stage, PartitionKey(a, date))] for date in wanted}
    there = versioned.read({partition for inputs in needs.values() for partition in inputs})
    whole = {date for date, inputs in needs.items() if all(partition in there for partition in inputs)}
    return span_steps(universe, (stage.name,), dates, whole)
