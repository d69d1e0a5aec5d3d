"""The data stages: raw_bars -> bars -> features, one partition per asset and date, and panel, one per date.

Bars and features are validated in batches of an asset's dates and then written one by one: a bad day keeps its batch
from being written, and a run that is killed leaves whole partitions only.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

import datetime as dt

import dagster as dg
import pandas as pd

from assets.common import Stage
from assets.partitions import Key, asset_keys, batches, date_keys, history
from assets.recording import Wrote, record
from lem.bars import TABLE_SCHEMA as BARS_SCHEMA
from lem.bars import validate_days
from lem.calendars import partition_window
from lem.features import TABLE_SCHEMA as FEATURES_SCHEMA
from lem.features import check_features, compute_features
from lem.panel import PANEL_SCHEMA, panel_table
from lem.progress import track
from lem.sources.base import RAW_SCHEMA
from lem.tables import read_range
from lem.windows import history_dates
from resources.stores import LakeResource, SourceResource


def raw_bars(stage: Stage) -> dg.AssetsDefinition:
    """What the source answered."""
    universe = stage.universe

    @dg.asset(
        **stage.options("raw_bars", "What the source answered, untouched, with file and row.", kinds={"parquet"}),
        partitions_def=stage.partitions.by_asset,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def asset(context: dg.AssetExecutionContext, lake: LakeResource, source: SourceResource):  # type: ignore[no-untyped-def]
        store, market, wrote = lake.open(), source.open(universe), {}
        for key in track(asset_keys(context.partition_keys), f"{universe.name}: raw bars"):
            answer = market.fetch(key.asset, *partition_window(key.date))
            path = store.path(universe.name, "raw_bars", key.date, key.asset)
            written = store.write_table(path, answer.table, RAW_SCHEMA)
            figures = {
                "rows": written.rows,
                "source": answer.source,
                "fetched_at": answer.fetched_at.isoformat(),
            }
            wrote[key.text] = Wrote(written.data_version, {**figures, "path": store.show(path)})
        yield from record(context, wrote)

    return asset


def bars(stage: Stage) -> dg.AssetsDefinition:
    """Validated bars on a complete grid."""
    universe = stage.universe

    @dg.asset(
        **stage.options(
            "bars",
            "Validated bars on a complete grid: VWAP, and a flag where there is none.",
            kinds={"parquet", "pandera"},
        ),
        partitions_def=stage.partitions.by_asset,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[stage.key("raw_bars")],
    )
    def asset(context: dg.AssetExecutionContext, lake: LakeResource):  # type: ignore[no-untyped-def]
        store, wrote = lake.open(), {}
        for symbol, dates in track(batches(asset_keys(context.partition_keys)), f"{universe.name}: bars (batches)"):
            raw = {d: store.read_table(store.path(universe.name, "raw_bars", d, symbol)) for d in dates}
            for date, result in validate_days(raw, universe, symbol).items():
                path = store.path(universe.name, "bars", date, symbol)
                written = store.write_table(path, result.table, BARS_SCHEMA)
                wrote[Key(symbol, date).text] = Wrote(written.data_version, {"rows": written.rows, **result.counts})
        yield from record(context, wrote)

    return asset


def features(stage: Stage) -> dg.AssetsDefinition:
    """The feature table."""
    universe = stage.universe

    @dg.asset(
        **stage.options(
            "features",
            "Causal features; trailing statistics reach back into earlier partitions.",
            kinds={"parquet", "pandera"},
        ),
        partitions_def=stage.partitions.by_asset,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[dg.AssetDep(stage.key("bars"), partition_mapping=history(universe))],
    )
    def asset(context: dg.AssetExecutionContext, lake: LakeResource):  # type: ignore[no-untyped-def]
        store, wrote, keys = lake.open(), {}, asset_keys(context.partition_keys)
        wanted: dict[str, set[dt.date]] = {}
        for key in keys:
            wanted.setdefault(key.asset, {key.date}).update([key.date, *history_dates(universe, key.date)])
        read = stage.reader(store, "bars", wanted)
        for symbol, dates in track(batches(keys), f"{universe.name}: features (batches)"):
            tables = {}
            for date in dates:
                before = [read(symbol, day) for day in history_dates(universe, date)]
                past = pd.concat(before, ignore_index=True) if before else BARS_SCHEMA.empty_table().to_pandas()
                tables[date] = compute_features(past, read(symbol, date), universe.features, universe.bars_per_day)
            check_features(pd.concat(tables.values(), ignore_index=True))
            for date, table in tables.items():
                path = store.path(universe.name, "features", date, symbol)
                written = store.write_table(path, table, FEATURES_SCHEMA)
                figures = {"rows": written.rows, "valid_rows": int(table["valid"].sum())}
                wrote[Key(symbol, date).text] = Wrote(written.data_version, figures)
        yield from record(context, wrote)

    return asset


def panel(stage: Stage) -> dg.AssetsDefinition:
    """All assets' features of a date."""
    universe = stage.universe

    @dg.asset(
        **stage.options("panel", "All assets' features of the date: what a model is trained on.", kinds={"parquet"}),
        partitions_def=stage.partitions.dates,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[stage.key("features")],
    )
    def asset(context: dg.AssetExecutionContext, lake: LakeResource):  # type: ignore[no-untyped-def]
        store, wrote = lake.open(), {}
        for date in track(date_keys(context.partition_keys), f"{universe.name}: panel"):
            tables = {symbol: read_range(store, universe, "features", [date], symbol)[0] for symbol in universe.symbols}
            table = panel_table(tables)
            written = store.write_table(store.path(universe.name, "panel", date), table, PANEL_SCHEMA)
            figures = {"rows": written.rows, "valid_rows": int(table["valid"].sum()), "assets": len(tables)}
            wrote[date.isoformat()] = Wrote(written.data_version, figures)
        yield from record(context, wrote)

    return asset
