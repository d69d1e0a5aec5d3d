"""The definitions of a set of universes, with the resources they run with."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from assets.factory import graph_of
from lem.universe import Universe
from lem_pipeline.automation import with_automation
from lem_pipeline.running.night import night_of
from resources.stores import LakeResource, RegistryResource, SourceResource


def build(universes: Iterable[Universe]) -> dg.Definitions:
    """For each universe its graph, its automation and its nightly schedule.

    Runs execute in one process: a process for each step would double their time.
    """
    resources = dg.Definitions(
        resources={"lake": LakeResource(), "registry": RegistryResource(), "source": SourceResource()},
        executor=dg.in_process_executor,
    )
    graphs = [
        part for universe in universes for part in (with_automation(universe, graph_of(universe)), night_of(universe))
    ]
    return dg.Definitions.merge(resources, *graphs)
