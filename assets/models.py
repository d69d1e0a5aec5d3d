"""The model stages: lem_model (a versioned asset, dated by the day it may trade) and champion (the gate's decision)."""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

from dataclasses import replace

import dagster as dg

from assets.catalogue import figure
from assets.common import Stage
from assets.partitions import date_keys, days
from assets.recording import Wrote, record, recorded
from lem.registry import PromotionRecord
from resources.stores import LakeResource, RegistryResource

TRAINING_POOL = "lem_training"
"""Runs that train share this pool: the instance's limit of it says how many of them work at a time."""


def lem_model(stage: Stage) -> dg.AssetsDefinition:
    """The model trained for a date."""
    universe = stage.universe
    window = days(-universe.training.window_days, -1)

    @dg.asset(
        **stage.options("lem_model", "The Large Execution Model that may trade on this date.", kinds={"torch"}),
        partitions_def=stage.partitions.model_dates,
        pool=TRAINING_POOL,
        deps=[dg.AssetDep(stage.key("panel"), partition_mapping=window)],
    )
    def asset(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> dg.MaterializeResult:
        from lem.training.nightly import train_for  # here, as most processes need no torch

        (date,) = date_keys(context.partition_keys)
        night = train_for(lake.fenced(), registry.fenced(), universe, date)
        last, made = night.trained.curve[-1], night.record
        return dg.MaterializeResult(
            data_version=dg.DataVersion(made.id),
            metadata={
                "model_id": made.id,
                "weights_sha256": made.weights_sha256,
                "loss": figure(last.loss),
                "gain_sigma": figure(last.gain_sigma),
                "arrivals": night.trained.arrivals,
                "train_seconds": round(night.train_seconds, 1),
                "trained_on": f"[{made.train_start}, {made.train_end})",
                "partitions_read": len(made.inputs),
            },
        )

    return asset


def checks_table(decision: PromotionRecord) -> dg.TableMetadataValue:
    """The sanity checks of a decision, with what each found."""
    return dg.MetadataValue.table(
        [
            dg.TableRecord({"check": check.name, "passed": "yes" if check.passed else "NO", "found": check.text})
            for check in decision.figures.checks
        ],
        dg.TableSchema([dg.TableColumn(name, "string") for name in ("check", "passed", "found")]),
    )


def champion(stage: Stage) -> dg.AssetsDefinition:
    """Which model trades on a date, and why."""
    universe = stage.universe
    window = days(-universe.training.holdout_days, -1)

    @dg.asset(
        **stage.options(
            "champion",
            "The promotion gate's decision: which model trades on this date, and why.",
            kinds={"sqlalchemy"},
        ),
        partitions_def=stage.partitions.model_dates,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[
            stage.key("lem_model"),
            dg.AssetDep(stage.key("panel"), partition_mapping=window),
            dg.AssetDep(stage.key("champion"), partition_mapping=days(-1, -1)),
        ],
    )
    def asset(context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource):  # type: ignore[no-untyped-def]
        from lem.gate.champion import decide_champion  # here, as most processes need no torch

        store, models = lake.fenced(), registry.fenced()
        with recorded(context) as wrote:
            for date in date_keys(context.partition_keys):
                decision = decide_champion(store, models, universe, date)
                figures = {
                    "decision": decision.decision,
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
