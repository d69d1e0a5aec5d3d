"""bars: validated bars on a complete grid.

Validated in batches of an asset's dates and then written one by one: a run that is killed leaves whole partitions only.
A day whose bars break a rule is quarantined, the others are written, and then the run fails.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

import dagster as dg

from assets.graph import UniverseGraph
from assets.partitions import batches
from assets.recording import Wrote, record, recorded
from lem.data.bars import TABLE_SCHEMA as BARS_SCHEMA
from lem.lineage.doubts import doubts_on, set_doubts
from lem.lineage.keys import PartitionKey, parse_keys
from lem.lineage.quarantine import judge_days, refuse_quarantined, set_quarantine
from lem.lineage.stages import stage_named
from lem.lineage.versions import named, outages_over
from lem.progress import track
from lem.registry.records import InputVersion
from resources.stores import LakeResource


def asset_of(graph: UniverseGraph) -> dg.AssetsDefinition:
    """Validated bars on a complete grid."""
    universe = graph.universe

    @graph.asset("bars")
    def asset(context: dg.AssetExecutionContext, lake: LakeResource):  # type: ignore[no-untyped-def]
        fenced, errors = lake.fenced(), dict[str, str]()
        with recorded(context) as wrote:
            for symbol, dates in track(batches(parse_keys(context.partition_keys)), f"{universe.name}: bars (batches)"):
                batch = fenced.read_batch(fenced.path(universe.name, "raw_bars", d, symbol) for d in dates)
                read = dict(zip(dates, batch, strict=True))
                raws = {date: raw for date, (raw, _) in read.items()}
                good, bad = judge_days(raws, universe, symbol)
                doubted = doubts_on(fenced, universe, symbol, sorted(good), raws)
                for date, result in good.items():
                    path, of = fenced.path(universe.name, "bars", date, symbol), PartitionKey(symbol, date)
                    key = str(of)
                    made_from = named([InputVersion("raw_bars", key, read[date][1])]) | graph.made_with("bars", of)
                    made_from |= outages_over(universe, stage_named("bars"), of)
                    written = fenced.write_table(path, result.table, BARS_SCHEMA, made_from)
                    told = {"doubts": "\n".join(doubted[date])} if date in doubted else {}
                    wrote[key] = Wrote(written.data_version, {"rows": written.rows, **result.counts, **told})
                set_quarantine(fenced, universe.name, symbol, good, bad)
                set_doubts(fenced, universe.name, symbol, dates, doubted)
                errors |= {str(PartitionKey(symbol, date)): error for date, error in bad.items()}
            refuse_quarantined(universe.name, errors)
        yield from record(context, wrote)

    return asset
