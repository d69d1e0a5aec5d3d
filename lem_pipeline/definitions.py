"""What is deployed: the asset graph of every universe file, and the resources it runs with."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from assets.factory import graph_of
from lem.universe import Universe, load_universes
from resources.settings import Settings
from resources.stores import LakeResource, RegistryResource, SourceResource


def build(universes: Mapping[str, Universe]) -> dg.Definitions:
    """Definitions of these universes."""
    resources = dg.Definitions(
        resources={"lake": LakeResource(), "registry": RegistryResource(), "source": SourceResource()},
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(resources, *(graph_of(universe) for universe in universes.values()))


defs = build(load_universes(Settings().universes))
