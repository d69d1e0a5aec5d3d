"""lem_model: the model trained for a date, a versioned asset."""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

import dagster as dg

from assets.catalogue import figure
from assets.graph import UniverseGraph
from lem.lineage.keys import parse_keys
from resources.stores import LakeResource, RegistryResource

TRAINING_POOL = "lem_training"
"""Runs that train share this pool: the instance's limit of it says how many of them work at a time."""


def asset_of(graph: UniverseGraph) -> dg.AssetsDefinition:
    """The model trained for a date."""
    universe = graph.universe

    @graph.asset("lem_model", pool=TRAINING_POOL)
    def asset(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> dg.MaterializeResult:
        from lem.training.nightly import train_for  # here, as most processes need no torch

        (date,) = [key.date for key in parse_keys(context.partition_keys)]
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
