"""What is deployed of a universe: its assets and their checks."""

from __future__ import annotations

import dagster as dg

from assets.checks import checks_of
from assets.drift_checks import drift_checks_of
from assets.graph import UniverseGraph, assets_of
from assets.night_checks import night_checks_of
from lem.universe import Universe


def graph_of(universe: Universe, prefix: str = "") -> dg.Definitions:
    """The assets of all stages (`lem.lineage.stages`), and their checks.

    Args:
        universe: whose they are.
        prefix: of the names of their resources.
    """
    graph = UniverseGraph.of(universe, prefix)
    checks = [*checks_of(graph), *drift_checks_of(graph), *night_checks_of(graph)]
    return dg.Definitions(assets=assets_of(graph), asset_checks=checks)
