"""panel: all assets' features of a date."""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

import dagster as dg

from assets.graph import UniverseGraph
from assets.recording import Wrote, record, recorded
from lem.data.panel import panel_table
from lem.lineage.keys import parse_keys
from lem.lineage.revisions import store_panel
from lem.lineage.versions import named
from lem.progress import track
from resources.stores import LakeResource


def asset_of(graph: UniverseGraph) -> dg.AssetsDefinition:
    """All assets' features of a date."""
    universe = graph.universe

    @graph.asset("panel")
    def asset(context: dg.AssetExecutionContext, lake: LakeResource):  # type: ignore[no-untyped-def]
        fenced, dates = lake.fenced(), [key.date for key in parse_keys(context.partition_keys)]
        read = graph.reader(fenced, "features", {symbol: set(dates) for symbol in universe.symbols}, keep=0)
        with recorded(context) as wrote:
            for date in track(dates, f"{universe.name}: panel"):
                parts = {symbol: read(symbol, date) for symbol in universe.symbols}
                tables = {symbol: features for symbol, (features, _) in parts.items()}
                table = panel_table(tables)
                made_from = named(version for _, version in parts.values())
                made_from |= graph.made_with("panel")
                written, revised = store_panel(fenced, universe.name, date, table, made_from)
                figures: dict[str, int | str] = {"rows": written.rows, "assets": len(tables)}
                figures["valid_rows"] = int(table["valid"].sum())
                if revised:
                    figures["revised"] = f"{revised} -> {written.data_version}"
                wrote[date.isoformat()] = Wrote(written.data_version, figures)
        yield from record(context, wrote)

    return asset
