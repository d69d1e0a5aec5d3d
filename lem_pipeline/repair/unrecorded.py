"""Partitions of the lake that Dagster's history knows nothing of: a run wrote them and was killed before it said so.

A run over a range records at its end what it wrote. `lem backfill` and `lem run` leave alone what is there, so the UI
would show such partitions as missing for ever, and the automation would make them once more.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import partial

import dagster as dg

from lem.errors import LakeError
from lem.lake import Lake
from lem.lineage.keys import PartitionKey, name_missing, span
from lem.lineage.stages import Stage, tables
from lem.lineage.tables import dates_in
from lem.lineage.versions import assets_of
from lem.universe import Universe
from lem_pipeline.repair.reap import Finding, alive
from resources.dagster_internals import tags_of_event, tags_of_last_inputs


def unrecorded(
    instance: dg.DagsterInstance, lake: Lake, universes: Iterable[Universe], dead: Container[str]
) -> Iterator[Finding]:
    """One finding a table, in the order in which tables are made. To clear a finding is to record its partitions.

    Args:
        instance: whose history lacks them.
        lake: where they are.
        universes: whose tables are looked at.
        dead: ids of the runs that are dead; a table that another run in progress makes is left to that run.
    """
    graph = None
    for universe in universes:
        for stage in tables():
            key = dg.AssetKey([universe.name, stage.name])
            there = _partitions(lake, universe, stage)
            # In this order: a run that ends meanwhile has recorded all that it had written.
            if not there or any(key in (run.asset_selection or ()) for run in alive(instance, dead)):
                continue
            recorded = instance.get_materialized_partitions(key)
            there = {name: path for name, path in there.items() if name not in recorded}
            if not there:
                continue
            from lem_pipeline.build import build  # with pandas and pandera: 0.7 s, for what is hardly ever there

            graph = graph or build(universes).get_repository_def().asset_graph
            yield Finding(
                f"{len(there)} partitions of {universe.name}/{stage.name} ({name_missing(sorted(there))})",
                "they are in the lake and not in Dagster's history: their run was killed before it recorded them",
                partial(_record, instance, lake, graph.get(key), there),
                state="unrecorded",
                cleared="recorded",
            )


def _partitions(lake: Lake, universe: Universe, stage: Stage) -> dict[str, str]:
    """Path by partition key of what the lake has of the universe's dates."""
    found, last = {}, universe.end or dt.date.max
    for symbol in assets_of(universe, stage):
        folder = lake.path(universe.name, stage.name, universe.start, symbol).rpartition("/")[0]
        for date in dates_in(lake, folder, ".parquet"):
            if universe.start <= date <= last:
                found[str(PartitionKey(symbol, date))] = lake.path(universe.name, stage.name, date, symbol)
    return found


def _record(instance: dg.DagsterInstance, lake: Lake, node: dg.AssetNode, there: Mapping[str, str]) -> None:
    """An event for each partition, with the tags that its run would have given it (see `assets.recording`).

    Raises:
        LakeError: some have no data version that can be read; the others are recorded.
    """
    made_from = tags_of_last_inputs(instance, node.parent_keys - {node.key})
    versions = lake.versions_of(there.values())
    for name, path in sorted(there.items()):
        if path in versions:
            tags = made_from | tags_of_event(versions[path].data, node.code_version or "")
            event = dg.AssetMaterialization(node.key, partition=name, tags=tags, metadata={"recorded_by": "lem reap"})
            instance.report_runless_asset_event(event)
    if unread := sorted(name for name, path in there.items() if path not in versions):
        (universe, _), (first, last) = node.key.path, span(map(PartitionKey.parse, unread))
        raise LakeError(
            f"lake {lake.url}: {node.key.to_user_string()}: no data version can be read of {name_missing(unread)}, so "
            "they were not recorded: the files are damaged; make them again with: "
            f"lem backfill --universe {universe} --from {first} --to {last} --force"
        )
