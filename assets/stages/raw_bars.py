"""raw_bars: what the source answered.

An asset whose bars cannot be fetched is left at its first error, and a date whose rows cannot be read is left out; all
else is fetched, and then the run fails. A day that lies in a listed outage as a whole needs no answer.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

import datetime as dt

import dagster as dg

from assets.graph import UniverseGraph
from assets.recording import Wrote, record, recorded
from lem.errors import RowsError, SourceError
from lem.lake import Lake
from lem.lineage.keys import PartitionKey, parse_keys
from lem.lineage.one_source import OneSource
from lem.lineage.revisions import store_raw
from lem.lineage.wholes import refuse_shrunk
from lem.progress import track
from lem.sources.base import RAW_SCHEMA, RawBars, Source, refuse_failed
from lem.universe import Universe
from lem.universe.calendars import expected_bars, outage_mask, partition_window
from resources.stores import LakeResource, SourceResource


def _kept(lake: Lake, universe: Universe, key: PartitionKey) -> str | None:
    """The data version of a stored day of a delisted asset, which a source may no longer have; else None."""
    delisted = universe.assets[key.symbol].delisted
    path = lake.path(universe.name, "raw_bars", key.date, key.symbol)
    if delisted is None or dt.datetime.now(dt.UTC).date() <= delisted or not lake.exists(path):
        return None
    found = lake.versions(path)
    return found.data if found else None


def asset_of(graph: UniverseGraph) -> dg.AssetsDefinition:
    """What the source answered."""
    universe = graph.universe

    @graph.asset("raw_bars")
    def asset(context: dg.AssetExecutionContext, lake: LakeResource, source: SourceResource):  # type: ignore[no-untyped-def]
        fenced, market = lake.fenced(), source.open(universe)
        keys, failed = parse_keys(context.partition_keys), dict[str, str]()
        dates = {symbol: [key.date for key in keys if key.symbol == symbol] for symbol in {key.symbol for key in keys}}
        with recorded(context) as wrote:
            for symbol in dates:
                try:
                    OneSource(fenced, universe, symbol).begin(dates[symbol])
                except SourceError as error:
                    failed[symbol] = str(error)
            for key in track(keys, f"{universe.name}: raw bars"):
                if key.symbol in failed:  # a date alone does not stop the others
                    continue
                try:
                    answer = _answer(market, universe, key)
                    refuse_shrunk(fenced, universe.name, key.symbol, answer)
                    made_with = graph.made_with("raw_bars", key)
                    written, revised = store_raw(fenced, universe.name, key.date, key.symbol, answer.table, made_with)
                except RowsError as error:
                    failed[str(key)] = str(error)
                    continue
                except SourceError as error:
                    if kept := _kept(fenced, universe, key):
                        context.log.warning(f"{key}: kept as it is stored, since the asset is delisted: {error}")
                        wrote[str(key)] = Wrote(kept, {"kept": str(error)})
                    else:
                        failed[key.symbol] = str(error)
                    continue
                figures: dict[str, object] = {
                    "rows": written.rows,
                    "source": answer.source,
                    "fetched_at": answer.fetched_at.isoformat(),
                    "path": fenced.show(written.path),
                }
                if (answer.table["adjustment"] != 1).any():
                    low, high = answer.table["adjustment"].agg(["min", "max"])
                    figures |= {"adjusted": True, "adjustment range": f"{low:.10g} to {high:.10g}"}
                if revised:
                    figures["revised"] = f"{revised} -> {written.data_version}"
                wrote[str(key)] = Wrote(written.data_version, figures)
            for symbol in sorted(set(dates) - set(failed)):
                OneSource(fenced, universe, symbol).end()
            refuse_failed(failed)
        yield from record(context, wrote)

    return asset


def _answer(market: Source, universe: Universe, key: PartitionKey) -> RawBars:
    """What the source answers; nothing where it fails, but every bar of the day lies in a listed outage.

    Raises:
        SourceError: the source does not answer, and bars are wanted.
    """
    try:
        return market.fetch(key.symbol, *partition_window(key.date))
    except SourceError as error:
        grid = expected_bars(universe, key.symbol, key.date)
        if not (len(grid) and outage_mask(universe, key.symbol, grid).all()):
            raise
        told = f"not read, all of the day lies in a listed outage: {error}"
        return RawBars(RAW_SCHEMA.empty_table().to_pandas(), told, dt.datetime.now(dt.UTC))
