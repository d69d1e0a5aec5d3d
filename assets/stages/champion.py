"""champion: the gate's decision about a date, which model trades and why."""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

from dataclasses import replace

import dagster as dg

from assets.graph import UniverseGraph
from assets.recording import Wrote, record, recorded
from lem.lineage.keys import parse_keys
from lem.registry import PromotionRecord
from resources.stores import LakeResource, RegistryResource


def checks_table(decision: PromotionRecord) -> dg.TableMetadataValue:
    """The sanity checks of a decision, with what each found."""
    return dg.MetadataValue.table(
        [
            dg.TableRecord({"check": check.name, "passed": "yes" if check.passed else "NO", "found": check.text})
            for check in decision.figures.checks
        ],
        dg.TableSchema([dg.TableColumn(name, "string") for name in ("check", "passed", "found")]),
    )


def asset_of(graph: UniverseGraph) -> dg.AssetsDefinition:
    """Which model trades on a date, and why."""
    universe = graph.universe

    @graph.asset("champion")
    def asset(context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource):  # type: ignore[no-untyped-def]
        from lem.gate.champion import decide_champion  # here, as most processes need no torch

        fenced, models = lake.fenced(), registry.fenced()
        with recorded(context) as wrote:
            for date in [key.date for key in parse_keys(context.partition_keys)]:
                decision = decide_champion(fenced, models, universe, date)
                figures = {
                    "decision": decision.sentence,
                    "champion": decision.champion_id or "none",
                    "candidate": decision.candidate_id or "none",
                    "reasons": dg.MetadataValue.md("\n".join(f"- {reason}" for reason in decision.reasons)),
                    "sanity_checks": checks_table(decision),
                    "figures": dg.MetadataValue.json(replace(decision.figures, checks=()).to_json()),
                    "night": decision.night,
                }
                wrote[date.isoformat()] = Wrote(decision.champion_id or "none", figures)
        yield from record(context, wrote)

    return asset
