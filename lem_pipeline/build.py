"""The definitions of a set of universes, with the resources they run with."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import dagster as dg

from assets.factory import graph_of
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
        parts += [graph, night_job_of(universe, partial(_runnable, graph)), alerts_of(universe)]
    return _runnable(
        dg.Definitions.merge(*parts),
        {"lake": LakeResource(), "registry": RegistryResource(), "source": SourceResource()},
    )


def _runnable(defs: dg.Definitions, resources: Resources) -> dg.Definitions:
    """The definitions with what their runs need.

    Runs execute in one process: a process for each step would double their time.
    """
    return dg.Definitions.merge(dg.Definitions(resources=resources, executor=dg.in_process_executor), defs)
