"""The evaluation stages: backtest (orders of an asset and date, executed) and execution_report (one page a date)."""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

import base64
import datetime as dt
from typing import Any

import dagster as dg
import pandas as pd

from assets.catalogue import figure
from assets.common import Stage
from assets.partitions import asset_keys, date_keys, execution
from assets.recording import Wrote, record, recorded
from lem.backtest.schema import BACKTEST_SCHEMA
from lem.lineage.revisions import named, settings_of, traded_by
from lem.progress import track
from lem.universe.windows import execution_dates
from resources.stores import LakeResource, RegistryResource


def order_figures(table: pd.DataFrame) -> dict[str, float | int]:
    """The metadata of a backtest partition: orders, excluded ones, mean gain of each strategy (bps)."""
    done = table[table["status"] == "done"]
    means = done.groupby("strategy")["gain_bps"].mean()
    orders = len(table) // max(table["strategy"].nunique(), 1)
    excluded = int((table["status"] == "excluded").sum()) // max(table["strategy"].nunique(), 1)
    return {"orders": orders, "excluded": excluded} | {f"gain_bps_{name}": figure(v) for name, v in means.items()}


def backtest(stage: Stage) -> dg.AssetsDefinition:
    """The orders that arrived on a date, executed by its champion and by every rule."""
    universe = stage.universe

    @dg.asset(
        **stage.options(
            "backtest",
            "Orders that arrived on the date, executed by its champion and every rule.",
            kinds={"parquet"},
        ),
        partitions_def=stage.partitions.by_asset,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[
            dg.AssetDep(stage.key("features"), partition_mapping=execution(universe)),
            dg.AssetDep(stage.key("champion"), partition_mapping=dg.MultiToSingleDimensionPartitionMapping("date")),
        ],
    )
    def asset(context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource):  # type: ignore[no-untyped-def]
        # Here, as most processes need no torch.
        from lem.backtest.walk_forward import backtest_day
        from lem.model.contender import Contender, load_contender

        store, models, keys = lake.fenced(), registry.open(), asset_keys(context.partition_keys)
        wanted: dict[str, set[dt.date]] = {}
        for key in keys:
            wanted.setdefault(key.asset, set()).update(execution_dates(universe, key.date))
        read, champions = stage.reader(store, "features", wanted), dict[str, Contender]()
        made_with = settings_of(universe, "backtest")
        with recorded(context) as wrote:
            for key in track(keys, f"{universe.name}: backtest"):
                chosen = models.champion_on(universe.name, key.date)
                if chosen is not None and chosen.id not in champions:
                    champions[chosen.id] = load_contender(store, chosen)
                parts = [read(key.asset, date) for date in execution_dates(universe, key.date)]
                features = pd.concat([features for features, _ in parts])
                champion = champions[chosen.id] if chosen else None
                table = backtest_day(features, universe, key.asset, key.date, champion)
                path = store.path(universe.name, "backtest", key.date, key.asset)
                made_from = named(version for _, version in parts) | made_with | traded_by(chosen)
                written = store.write_table(path, table, BACKTEST_SCHEMA, made_from)
                wrote[key.text] = Wrote(
                    written.data_version, order_figures(table) | {"champion": chosen.id if chosen else "none"}
                )
        yield from record(context, wrote)

    return asset


def report_figures(summary: dict[str, Any]) -> dict[str, float | int]:
    """Numbers that the UI plots over successive reports: mean gain of each strategy (bps), orders, blocks of days."""
    pooled = [row for row in summary["statistics"] if row["level"] == "all" and not row["against"]]
    means = {f"gain_bps_{row['strategy']}": figure(row["mean_bps"]) for row in pooled if row["mean_bps"] is not None}
    return means | {"orders": summary["orders"], "blocks": summary["blocks"]}


def execution_report(stage: Stage) -> dg.AssetsDefinition:
    """The page that a desk reads."""
    universe = stage.universe

    @dg.asset(
        **stage.options(
            "execution_report",
            "What the desk reads: one page on the trailing orders, JSON and CSV beside it.",
            kinds={"html"},
        ),
        partitions_def=stage.partitions.dates,
        deps=[stage.key("backtest"), stage.key("champion")],
    )
    def asset(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> dg.MaterializeResult:
        from lem.reports.nightly import make_report  # here, as most processes need no torch and no matplotlib

        (date,) = date_keys(context.partition_keys)
        store, models = lake.fenced(), registry.open()
        stored, decision = make_report(store, models, universe, date), models.promotion(universe.name, date)
        picture = base64.b64encode(stored.report.thumbnail).decode()
        return dg.MaterializeResult(
            data_version=dg.DataVersion(stored.data_version),
            metadata={
                "report": dg.MetadataValue.path(store.show(stored.paths["report.html"])),
                "night": decision.night if decision else "no decision is recorded",
                "gain_by_m": dg.MetadataValue.md(f"![mean gain by m](data:image/png;base64,{picture})"),
                **report_figures(stored.report.summary),
                "summary": dg.MetadataValue.json({k: v for k, v in stored.report.summary.items() if k != "statistics"}),
            },
        )

    return asset
