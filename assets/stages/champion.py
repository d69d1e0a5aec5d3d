"""champion: the gate's decision about a date, which model trades and why."""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

from dataclasses import replace
from typing import Any

import dagster as dg

from assets.graph import UniverseGraph
from assets.recording import Wrote, record, recorded
from assets.run_names import REDECIDE
from lem.gate.walk_forward import how_to_decide_again
from lem.lineage.keys import parse_keys
from lem.registry import PromotionRecord
from lem.registry.records import utc_now
from resources.stores import LakeResource, RegistryResource


def figures_of(decision: PromotionRecord) -> dict[str, Any]:
    """What the UI shows of a decision."""
    return {
        "decision": decision.sentence,
        "decided at": decision.decided_at.isoformat(timespec="seconds"),
        "champion": decision.champion_id or "none",
        "candidate": decision.candidate_id or "none",
        "reasons": dg.MetadataValue.md("\n".join(f"- {reason}" for reason in decision.reasons)),
        "sanity_checks": checks_table(decision),
        "figures": dg.MetadataValue.json(replace(decision.figures, checks=()).to_json()),
        "night": decision.night,
    }


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
        again = context.run.tags.get(REDECIDE) == "true"
        with recorded(context) as wrote:
            for date in [key.date for key in parse_keys(context.partition_keys)]:
                stood = None if again else models.promotion(universe.name, date)
                decision = stood or decide_champion(fenced, models, universe, date, again)
                how = f"To decide it and what follows again: {how_to_decide_again(universe, date, utc_now().date())}"
                if decision:
                    trades, figures = decision.champion_id or "none", figures_of(decision)
                    if stood:
                        context.log.info(f"{date} was decided at {figures['decided at']}, and that stands. {how}")
                else:
                    champion = models.champion_on(universe.name, date)
                    trades = champion.id if champion else "none"
                    why = f"No decision is made for {date}: later dates are decided, and those decisions stand. {how}"
                    figures = {"decision": why, "champion": trades}
                    context.log.warning(why)
                wrote[date.isoformat()] = Wrote(trades, figures)
        yield from record(context, wrote)

    return asset
