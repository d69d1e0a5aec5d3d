"""Asset checks: each reads what was stored and tests it again, so a check can be run by itself at any time.

In a run over a range a check gives one verdict for the range. The costly proofs (causality) take the range's last
partition that has rows.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

from collections.abc import Callable
from itertools import groupby
from typing import Any

import dagster as dg
import pandas as pd

from assets.graph import UniverseGraph
from assets.partitions import batches
from lem.backtest.schema import expected_rows
from lem.data.bars import check_bars
from lem.data.feature_causality import features_are_causal
from lem.data.features import check_features
from lem.data.panel import Panel
from lem.errors import LemError
from lem.lake import Lake
from lem.lineage.doubts import doubts_on
from lem.lineage.keys import PartitionKey, parse_keys
from lem.lineage.tables import read_range
from lem.universe.calendars import expected_bars
from lem.universe.windows import dates_before, history_dates, training_window
from resources.stores import LakeResource, RegistryResource

Problems = dict[str, str]
DOUBTS_SHOWN = 8
BATCH = 31
"""Partitions that are read at a time."""


def verdict(problems: Problems, checked: int, **figures: Any) -> dg.AssetCheckResult:
    """Passed when there is no problem; the first twenty problems are in the metadata, by partition."""
    shown = dict(list(problems.items())[:20])
    metadata = {"partitions_checked": checked, "problems": len(problems), **figures}
    return dg.AssetCheckResult(passed=not problems, metadata=metadata | {"details": dg.MetadataValue.json(shown)})


def _each(
    graph: UniverseGraph, lake: Lake, table: str, keys: list[str], test: Callable[[Any, pd.DataFrame], str | None]
) -> Problems:
    problems, parsed = {}, parse_keys(keys)
    for at in range(0, len(parsed), BATCH):
        batch = parsed[at : at + BATCH]
        paths = [lake.path(graph.universe.name, table, key.date, key.asset) for key in batch]
        for key, (frame, _) in zip(batch, lake.read_batch(paths), strict=True):
            text = test(key, frame)
            if text:
                problems[str(key)] = text
    return problems


def _schema(
    graph: UniverseGraph, lake: Lake, table: str, keys: list[str], check: Callable[[pd.DataFrame], Any]
) -> Problems:
    """Validate each asset's partitions as one table: a validation costs the same for a day and for a year."""
    problems: Problems = {}
    for asset, group in groupby(parse_keys(keys), key=lambda key: key.asset):
        days = [key.date for key in group]
        read = lake.read_batch(lake.path(graph.universe.name, table, day, asset) for day in days)
        try:
            check(pd.concat([frame for frame, _ in read], ignore_index=True))
        except LemError as error:
            problems[f"{asset}|{days[0]} to {days[-1]}"] = str(error)
    return problems


def checks_of(graph: UniverseGraph) -> list[dg.AssetChecksDefinition]:
    """All checks of a universe's assets."""
    universe = graph.universe

    @dg.asset_check(
        asset=graph.key("bars"), partitions_def=graph.partitions_of("bars"), description="Every expected bar has a row."
    )
    @graph.body
    def complete(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> dg.AssetCheckResult:
        outages = 0

        def test(key: Any, table: pd.DataFrame) -> str | None:
            nonlocal outages
            outages += int((table["flag"] == "outage").sum())
            expected = expected_bars(universe, key.symbol, key.date)
            whole = pd.DatetimeIndex(table["ts"]).equals(expected)
            return None if whole else f"{len(table)} bars, expected {len(expected)}"

        keys = list(context.partition_keys)
        return verdict(_each(graph, lake.open(), "bars", keys, test), len(keys), bars_in_known_outages=outages)

    @dg.asset_check(
        asset=graph.key("bars"),
        partitions_def=graph.partitions_of("bars"),
        description="The table keeps its schema and rules.",
    )
    @graph.body
    def schema(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> dg.AssetCheckResult:
        keys = list(context.partition_keys)
        return verdict(_schema(graph, lake.open(), "bars", keys, check_bars), len(keys))

    @dg.asset_check(
        asset=graph.key("bars"),
        partitions_def=graph.partitions_of("bars"),
        description="No number is hardly possible beside the others, and the source has nothing in a listed outage.",
    )
    @graph.body
    def plausible(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> dg.AssetCheckResult:
        store, keys, found = lake.open(), list(context.partition_keys), dict[str, list[str]]()
        for symbol, dates in batches(parse_keys(keys)):
            of_days = doubts_on(store, universe, symbol, dates)
            found |= {str(PartitionKey(symbol, date)): lines for date, lines in of_days.items()}
        shown = [f"{key}: {line}" for key, lines in found.items() for line in lines]
        left = len(shown) - DOUBTS_SHOWN
        more = f"; and {left} more, see: lem status -u {universe.name}" if left > 0 else ""
        return dg.AssetCheckResult(
            passed=not found,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(shown[:DOUBTS_SHOWN]) + more or "No bar is doubted.",
            metadata={
                "partitions_checked": len(keys),
                "partitions_doubted": len(found),
                "details": dg.MetadataValue.json(dict(list(found.items())[:20])),
            },
        )

    @dg.asset_check(
        asset=graph.key("features"),
        partitions_def=graph.partitions_of("features"),
        description="The table keeps its schema.",
    )
    @graph.body
    def feature_schema(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> dg.AssetCheckResult:
        keys = list(context.partition_keys)
        return verdict(_schema(graph, lake.open(), "features", keys, check_features), len(keys))

    @dg.asset_check(
        asset=graph.key("features"),
        partitions_def=graph.partitions_of("features"),
        description="Changing later bars changes no earlier feature.",
    )
    @graph.body
    def causal_features(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> dg.AssetCheckResult:
        store, keys = lake.open(), parse_keys(context.partition_keys)
        key = next((k for k in reversed(keys) if len(expected_bars(universe, k.symbol, k.date))), keys[-1])
        history, _ = read_range(store, universe, "bars", history_dates(universe, key.date), key.asset)
        day = store.read_table(store.path(universe.name, "bars", key.date, key.asset))
        leaks = features_are_causal(history, day, universe.features, universe.clock)
        return verdict({str(key): f"bars {leaks} depend on later bars"} if leaks else {}, 1, bars_perturbed=len(day))

    @dg.asset_check(
        asset=graph.key("lem_model"),
        partitions_def=graph.partitions_of("lem_model"),
        description="Changing later bars changes no slice.",
    )
    @graph.body
    def causal_model(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> dg.AssetCheckResult:
        # Here, as most processes need no torch.
        from lem.gate.causality import model_is_causal
        from lem.model.contender import load_contender
        from lem.strategies.learned import Learned

        (date,) = [key.date for key in parse_keys(context.partition_keys)]
        store, record = lake.open(), registry.open().candidate(universe.name, date)
        if record is None:
            return verdict({date.isoformat(): "no model is registered for this date"}, 1)
        window = training_window(universe, date)
        table, _ = read_range(store, universe, "panel", dates_before(universe, window.gate_start, date))
        model = load_contender(store, record).model
        leaks = model_is_causal(Panel.from_table(table), model, universe.horizon, Learned(model))
        return verdict({str(i): leak for i, leak in enumerate(leaks)}, 1, model_id=record.id)

    @dg.asset_check(
        asset=graph.key("backtest"),
        partitions_def=graph.partitions_of("backtest"),
        description="Every order is executed or excluded with a reason.",
    )
    @graph.body
    def orders_accounted_for(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> dg.AssetCheckResult:
        def test(key: Any, table: pd.DataFrame) -> str | None:
            arrivals = len(expected_bars(universe, key.symbol, key.date))
            expected = expected_rows(arrivals, universe, "lem" in set(table["strategy"]))
            done, excluded = (
                table["status"] == "done",
                (table["status"] == "excluded") & (table["reason"] != ""),
            )
            if len(table) != expected or not (done | excluded).all():
                return f"{len(table)} rows, expected {expected}; {int((~(done | excluded)).sum())} without a status"
            return None if table.loc[done, "gain_bps"].notna().all() else "an executed order has no gain"

        keys = list(context.partition_keys)
        return verdict(_each(graph, lake.open(), "backtest", keys, test), len(keys))

    return [complete, schema, plausible, feature_schema, causal_features, causal_model, orders_accounted_for]
