"""features: the causal feature table, validated in batches of an asset's dates and then written one by one."""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

import datetime as dt
from functools import lru_cache

import dagster as dg
import pandas as pd

from assets.graph import UniverseGraph
from assets.partitions import batches
from assets.recording import Wrote, record, recorded
from lem.data.features import TABLE_SCHEMA as FEATURES_SCHEMA
from lem.data.features import check_features, features_of_days
from lem.data.tape import Tape
from lem.lineage.keys import PartitionKey, parse_keys
from lem.lineage.tables import refuse_missing
from lem.lineage.versions import named
from lem.progress import track
from lem.registry.records import InputVersion
from lem.universe.windows import history_dates
from resources.stores import LakeResource


def asset_of(graph: UniverseGraph) -> dg.AssetsDefinition:
    """The feature table."""
    universe = graph.universe

    @graph.asset("features")
    def asset(context: dg.AssetExecutionContext, lake: LakeResource):  # type: ignore[no-untyped-def]
        fenced, keys = lake.fenced(), parse_keys(context.partition_keys)
        wanted: dict[str, set[dt.date]] = {}
        for key in keys:
            wanted.setdefault(key.symbol, {key.date}).update([key.date, *history_dates(universe, key.date)])
        refuse_missing(fenced, universe, "bars", wanted)
        made_with = graph.made_with("features")

        @lru_cache(maxsize=4096)
        def tape(symbol: str, date: dt.date) -> tuple[Tape, InputVersion]:
            bars, version = fenced.read_arrow(fenced.path(universe.name, "bars", date, symbol))
            return Tape.of_arrow(bars), InputVersion("bars", str(PartitionKey(symbol, date)), version)

        with recorded(context) as wrote:
            for symbol, dates in track(batches(keys), f"{universe.name}: features (batches)"):
                parts, made_from = [], {}
                for date in dates:
                    *before, day = [tape(symbol, d) for d in (*history_dates(universe, date), date)]
                    parts.append(([bars for bars, _ in before], day[0]))
                    made_from[date] = named(version for _, version in (*before, day)) | made_with
                tables = dict(zip(dates, features_of_days(parts, universe.features, universe.clock), strict=True))
                check_features(pd.concat(tables.values(), ignore_index=True))
                for date, table in tables.items():
                    path = fenced.path(universe.name, "features", date, symbol)
                    written = fenced.write_table(path, table, FEATURES_SCHEMA, made_from[date])
                    figures = {"rows": written.rows, "valid_rows": int(table["valid"].sum())}
                    wrote[str(PartitionKey(symbol, date))] = Wrote(written.data_version, figures)
        yield from record(context, wrote)

    return asset
