"""raw_bars: what the source answered.

An asset whose bars cannot be fetched is left at its first error; the others are fetched, and then the run fails.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

import dagster as dg

from assets.graph import UniverseGraph
from assets.recording import Wrote, record, recorded
from lem.errors import SourceError
from lem.lineage.keys import parse_keys
from lem.lineage.revisions import store_raw
from lem.progress import track
from lem.sources.base import refuse_failed
from lem.universe.calendars import partition_window
from resources.stores import LakeResource, SourceResource


def asset_of(graph: UniverseGraph) -> dg.AssetsDefinition:
    """What the source answered."""
    universe = graph.universe

    @graph.asset("raw_bars")
    def asset(context: dg.AssetExecutionContext, lake: LakeResource, source: SourceResource):  # type: ignore[no-untyped-def]
        fenced, market = lake.fenced(), source.open(universe)
        made_with = graph.made_with("raw_bars")
        failed = dict[str, str]()
        with recorded(context) as wrote:
            for key in track(parse_keys(context.partition_keys), f"{universe.name}: raw bars"):
                if key.symbol in failed:
                    continue
                try:
                    answer = market.fetch(key.symbol, *partition_window(key.date))
                except SourceError as error:
                    failed[key.symbol] = str(error)
                    continue
                written, revised = store_raw(fenced, universe.name, key.date, key.symbol, answer.table, made_with)
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
            refuse_failed(failed)
        yield from record(context, wrote)

    return asset
