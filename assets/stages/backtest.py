"""backtest: the orders that arrived on a date, executed by its champion and by every rule."""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

import datetime as dt

import dagster as dg
import pandas as pd

from assets.catalogue import figure
from assets.graph import UniverseGraph
from assets.recording import Wrote, record, recorded
from lem.backtest.schema import BACKTEST_SCHEMA
from lem.lineage.keys import parse_keys
from lem.lineage.versions import named, traded_by
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


def asset_of(graph: UniverseGraph) -> dg.AssetsDefinition:
    """The orders that arrived on a date, executed by its champion and by every rule."""
    universe = graph.universe

    @graph.asset("backtest")
    def asset(context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource):  # type: ignore[no-untyped-def]
        # Here, as most processes need no torch.
        from lem.backtest.walk_forward import backtest_day
        from lem.model.contender import Contender, load_contender

        fenced, models, keys = lake.fenced(), registry.open(), parse_keys(context.partition_keys)
        wanted: dict[str, set[dt.date]] = {}
        for key in keys:
            wanted.setdefault(key.symbol, set()).update(execution_dates(universe, key.date))
        read, champions = graph.reader(fenced, "features", wanted), dict[str, Contender]()
        made_with = graph.made_with("backtest")
        with recorded(context) as wrote:
            for key in track(keys, f"{universe.name}: backtest"):
                chosen = models.champion_on(universe.name, key.date)
                if chosen is not None and chosen.id not in champions:
                    champions[chosen.id] = load_contender(fenced, chosen)
                parts = [read(key.symbol, date) for date in execution_dates(universe, key.date)]
                features = pd.concat([features for features, _ in parts])
                champion = champions[chosen.id] if chosen else None
                table = backtest_day(features, universe, key.symbol, key.date, champion)
                path = fenced.path(universe.name, "backtest", key.date, key.symbol)
                traded = traded_by(chosen.id if chosen else None)
                made_from = named(version for _, version in parts) | made_with | traded
                written = fenced.write_table(path, table, BACKTEST_SCHEMA, made_from)
                wrote[str(key)] = Wrote(
                    written.data_version, order_figures(table) | {"champion": chosen.id if chosen else "none"}
                )
        yield from record(context, wrote)

    return asset
