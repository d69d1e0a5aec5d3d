"""The code location of the fault tests: the graph of the universes, its steps in processes of their own where asked."""

import dagster as dg

from assets.factory import graph_of
from resources.opening import all_universes
from resources.stores import LakeResource, RegistryResource, SourceResource

defs = dg.Definitions.merge(
    dg.Definitions(
        resources={"lake": LakeResource(), "registry": RegistryResource(), "source": SourceResource()},
        executor=dg.multi_or_in_process_executor,
    ),
    *(graph_of(universe) for universe in all_universes().values()),
)
