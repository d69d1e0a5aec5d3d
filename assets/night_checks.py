"""The asset check of the night: did a model come that may trade? It only warns, as yesterday's champion trades on."""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

import dagster as dg

from assets.graph import UniverseGraph
from lem.lineage.keys import parse_keys
from resources.stores import RegistryResource


def night_checks_of(graph: UniverseGraph) -> list[dg.AssetChecksDefinition]:
    """The checks of a universe's decisions."""
    universe = graph.universe

    @dg.asset_check(
        asset=graph.key("champion"),
        partitions_def=graph.partitions_of("champion"),
        description="The model that was due has come, and passes the gate's sanity checks.",
    )
    @graph.body
    def candidate_may_trade(context: dg.AssetCheckExecutionContext, registry: RegistryResource) -> dg.AssetCheckResult:
        models, dates, bad = registry.open(), [key.date for key in parse_keys(context.partition_keys)], dict[str, str]()
        for date in dates:
            decision = models.promotion(universe.name, date)
            if decision is None:
                bad[f"{date}"] = "no decision is recorded"
            elif decision.degraded:
                bad[f"{date}"] = f"the night was degraded: {decision.degraded}"
        text = "; ".join(f"{date}: {what}" for date, what in list(bad.items())[-3:])
        return dg.AssetCheckResult(
            passed=not bad,
            severity=dg.AssetCheckSeverity.WARN,
            description=text or "Every model that was due has come and may trade.",
            metadata={"decisions": len(dates), "degraded": len(bad), "details": dg.MetadataValue.json(bad)},
        )

    return [candidate_may_trade]
