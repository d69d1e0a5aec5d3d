"""The definitions of a set of universes, with the resources they run with."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import dagster as dg

from assets.factory import graph_of
from assets.graph import UniverseGraph
from assets.live_orders import live_orders_of
from lem.universe import Universe
from lem_pipeline.automation import with_automation
from lem_pipeline.running.alert_sensor import alerts_of
from lem_pipeline.running.night_job import Resources, night_job_of
from resources.stores import LakeResource, RegistryResource, SourceResource


def build(universes: Iterable[Universe]) -> dg.Definitions:
    """For each universe its graph, its automation, its nightly schedule and its alerts."""
    parts = list[dg.Definitions]()
    for universe in universes:
        graph = with_automation(universe, graph_of(universe))
        live = dg.Definitions(assets=[live_orders_of(UniverseGraph.of(universe))])
        parts += [graph, live, night_job_of(universe, partial(_runnable, graph)), alerts_of(universe)]
    return _runnable(
        dg.Definitions.merge(*parts),
        {"lake": LakeResource(), "registry": RegistryResource(), "source": SourceResource()},
    )


def mounted(universe: Universe, resources: Resources) -> dg.Definitions:
    """One universe for the code location of another project: its resources bear its name, the executor is the other's.

    Args:
        universe: with its graph, its automation, its nightly schedule and its alerts.
        resources: that its runs use.
    """
    prefix = f"{universe.name}_"

    def runnable(given: Resources) -> dg.Definitions:
        return _runnable(graph, {f"{prefix}{name}": resource for name, resource in given.items()})

    graph = with_automation(universe, graph_of(universe, prefix))
    named = dg.Definitions(resources={f"{prefix}{name}": resource for name, resource in resources.items()})
    live = dg.Definitions(assets=[live_orders_of(UniverseGraph.of(universe, prefix))])
    night = night_job_of(universe, runnable, prefix)
    return dg.Definitions.merge(graph, live, night, alerts_of(universe, prefix), named)


def _runnable(defs: dg.Definitions, resources: Resources) -> dg.Definitions:
    """The definitions with what their runs need.

    Runs execute in one process: a process for each step would double their time.
    """
    return dg.Definitions.merge(dg.Definitions(resources=resources, executor=dg.in_process_executor), defs)
