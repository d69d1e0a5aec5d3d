"""execution_report: the page that a desk reads."""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

import base64
from typing import Any

import dagster as dg

from assets.catalogue import figure
from assets.graph import UniverseGraph
from lem.lineage.keys import parse_keys
from resources.stores import LakeResource, RegistryResource


def report_figures(summary: dict[str, Any]) -> dict[str, float | int]:
    """Numbers that the UI plots over successive reports: mean gain of each strategy (bps), orders, blocks of days."""
    pooled = [row for row in summary["statistics"] if row["level"] == "all" and not row["against"]]
    means = {f"gain_bps_{row['strategy']}": figure(row["mean_bps"]) for row in pooled if row["mean_bps"] is not None}
    return means | {"orders": summary["orders"], "blocks": summary["blocks"]}


def asset_of(graph: UniverseGraph) -> dg.AssetsDefinition:
    """The page that a desk reads."""
    universe = graph.universe

    @graph.asset("execution_report")
    def asset(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> dg.MaterializeResult:
        # Here, as most processes need no torch and no matplotlib.
        from lem.reports.index import write_index
        from lem.reports.nightly import make_report

        (date,) = [key.date for key in parse_keys(context.partition_keys)]
        fenced, models = lake.fenced(), registry.open()
        stored, decision = make_report(fenced, models, universe, date), models.promotion(universe.name, date)
        # Not fenced: it is made of what the lake holds at this moment, whichever step began first.
        index = write_index(lake.open())
        picture = base64.b64encode(stored.report.thumbnail).decode()
        return dg.MaterializeResult(
            data_version=dg.DataVersion(stored.data_version),
            metadata={
                "report": dg.MetadataValue.path(fenced.show(stored.paths["report.html"])),
                "all_reports": dg.MetadataValue.path(fenced.show(index)),
                "night": decision.night if decision else "no decision is recorded",
                "gain_by_m": dg.MetadataValue.md(f"![mean gain by m](data:image/png;base64,{picture})"),
                **report_figures(stored.report.summary),
                "summary": dg.MetadataValue.json({k: v for k, v in stored.report.summary.items() if k != "statistics"}),
            },
        )

    return asset
