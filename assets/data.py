"""The data stages: raw_bars -> bars -> features, one partition per asset and date, and panel, one per date.

An asset whose bars cannot be fetched is left at its first error; the others are fetched, and then the run fails.

Bars and features are validated in batches of an asset's dates and then written one by one: a run that is killed leaves
whole partitions only. A day whose bars break a rule is quarantined, the others are written, and then the run fails.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

import datetime as dt

import dagster as dg
import pandas as pd

from assets.common import Stage
from assets.partitions import Key, asset_keys, batches, date_keys, history
from assets.recording import Wrote, record, recorded
from lem.data.bars import TABLE_SCHEMA as BARS_SCHEMA
from lem.data.features import TABLE_SCHEMA as FEATURES_SCHEMA
from lem.data.features import check_features, compute_features
from lem.data.panel import panel_table
from lem.errors import SourceError
from lem.lineage.quarantine import judge_days, refuse_quarantined, set_quarantine
from lem.lineage.revisions import named, settings_of, store_panel, store_raw
from lem.progress import track
from lem.registry.records import InputVersion
from lem.sources.base import refuse_failed
from lem.universe.calendars import partition_window
from lem.universe.windows import history_dates
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
        store, market = lake.fenced(), source.open(universe)
        failed = dict[str, str]()
        with recorded(context) as wrote:
            for key in track(asset_keys(context.partition_keys), f"{universe.name}: raw bars"):
                if key.asset in failed:
                    continue
                try:
                    answer = market.fetch(key.asset, *partition_window(key.date))
                except SourceError as error:
                    failed[key.asset] = str(error)
                    continue
                written, revised = store_raw(store, universe.name, key.date, key.asset, answer.table)
                figures: dict[str, object] = {
                    "rows": written.rows,
                    "source": answer.source,
                    "fetched_at": answer.fetched_at.isoformat(),
                    "path": store.show(written.path),
                }
                if (answer.table["adjustment"] != 1).any():
                    low, high = answer.table["adjustment"].agg(["min", "max"])
                    figures |= {"adjusted": True, "adjustment range": f"{low:.10g} to {high:.10g}"}
                if revised:
                    figures["revised"] = f"{revised} -> {written.data_version}"
                wrote[key.text] = Wrote(written.data_version, figures)
            refuse_failed(failed)
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
        store, errors = lake.fenced(), dict[str, str]()
        with recorded(context) as wrote:
            for symbol, dates in track(batches(asset_keys(context.partition_keys)), f"{universe.name}: bars (batches)"):
                read = {d: store.read_versioned(store.path(universe.name, "raw_bars", d, symbol)) for d in dates}
                good, bad = judge_days({date: raw for date, (raw, _) in read.items()}, universe, symbol)
                for date, result in good.items():
                    path, key = store.path(universe.name, "bars", date, symbol), Key(symbol, date).text
                    made_from = named([InputVersion("raw_bars", key, read[date][1])]) | settings_of(universe, "bars")
                    written = store.write_table(path, result.table, BARS_SCHEMA, made_from)
                    wrote[key] = Wrote(written.data_version, {"rows": written.rows, **result.counts})
                set_quarantine(store, universe.name, symbol, good, bad)
                errors |= {Key(symbol, date).text: error for date, error in bad.items()}
            refuse_quarantined(errors)
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
        store, keys = lake.fenced(), asset_keys(context.partition_keys)
        wanted: dict[str, set[dt.date]] = {}
        for key in keys:
            wanted.setdefault(key.asset, {key.date}).update([key.date, *history_dates(universe, key.date)])
        read, made_with = stage.reader(store, "bars", wanted), settings_of(universe, "features")
        with recorded(context) as wrote:
            for symbol, dates in track(batches(keys), f"{universe.name}: features (batches)"):
                tables, made_from = {}, {}
                for date in dates:
                    *before, day = [read(symbol, d) for d in (*history_dates(universe, date), date)]
                    past = pd.concat([bars for bars, _ in before]) if before else BARS_SCHEMA.empty_table().to_pandas()
                    tables[date] = compute_features(past, day[0], universe.features, universe.bars_per_day)
                    made_from[date] = named(version for _, version in (*before, day)) | made_with
                check_features(pd.concat(tables.values(), ignore_index=True))
                for date, table in tables.items():
                    path = store.path(universe.name, "features", date, symbol)
                    written = store.write_table(path, table, FEATURES_SCHEMA, made_from[date])
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
        store, dates = lake.fenced(), date_keys(context.partition_keys)
        read = stage.reader(store, "features", {symbol: set(dates) for symbol in universe.symbols}, keep=0)
        with recorded(context) as wrote:
            for date in track(dates, f"{universe.name}: panel"):
                parts = {symbol: read(symbol, date) for symbol in universe.symbols}
                tables = {symbol: features for symbol, (features, _) in parts.items()}
                table = panel_table(tables)
                made_from = named(version for _, version in parts.values())
                made_from |= settings_of(universe, "panel")
                written, revised = store_panel(store, universe.name, date, table, made_from)
                figures: dict[str, int | str] = {"rows": written.rows, "assets": len(tables)}
                figures["valid_rows"] = int(table["valid"].sum())
                if revised:
                    figures["revised"] = f"{revised} -> {written.data_version}"
                wrote[date.isoformat()] = Wrote(written.data_version, figures)
        yield from record(context, wrote)

    return asset
