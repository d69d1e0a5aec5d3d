"""The definitions of a set of universes, with the resources they run with."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from assets.factory import graph_of
from lem.universe import Universe
from resources.stores import LakeResource, RegistryResource, SourceResource


def build(universes: Iterable[Universe]) -> dg.Definitions:
    """One graph for each universe. Runs execute in one process: a process for each step would double their time."""
    resources = dg.Definitions(
        resources={"lake": LakeResource(), "registry": RegistryResource(), "source": SourceResource()},
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(resources, *(graph_of(universe) for universe in universes))
