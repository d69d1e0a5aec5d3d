"""lem_model: the model trained for a date, a versioned asset."""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

import datetime as dt
from typing import Any

import dagster as dg

from assets.catalogue import figure
from assets.graph import UniverseGraph
from assets.run_names import TRAINING_POOL
from lem.lake import Lake
from lem.lineage.keys import parse_keys
from lem.lineage.staleness import model_is_stale
from lem.lineage.versions import Versioned
from lem.registry import ModelRecord, Registry
from lem.registry.records import utc_now
from lem.universe import Universe
from resources.locks import one_at_a_time
from resources.stores import LakeResource, RegistryResource


def model_figures(record: ModelRecord) -> dict[str, Any]:
    """What the UI shows of a model, beside the figures of its training."""
    return {
        "model_id": record.id,
        "weights_sha256": record.weights_sha256,
        "trained_on": f"[{record.train_start}, {record.train_end})",
        "partitions_read": len(record.inputs),
    }


def trained_since(
    lake: Lake, registry: Registry, universe: Universe, date: dt.date, moment: dt.datetime
) -> ModelRecord | None:
    """The date's model if it was registered after a moment, and from what is in the lake now."""
    made = registry.candidate(universe.name, date)
    if made is None or made.created_at < moment or model_is_stale(Versioned(lake, universe), universe, made):
        return None
    return made


def asked_at(context: dg.AssetExecutionContext) -> dt.datetime:
    """When the run of a step was asked for."""
    record = context.instance.get_run_record_by_id(context.run_id)
    return record.create_timestamp if record else utc_now()


def asset_of(graph: UniverseGraph) -> dg.AssetsDefinition:
    """The model trained for a date."""
    universe = graph.universe

    @graph.asset("lem_model", pool=TRAINING_POOL)
    def asset(
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> dg.MaterializeResult:
        from lem.training.nightly import train_for  # here, as most processes need no torch

        (date,) = [key.date for key in parse_keys(context.partition_keys)]
        fenced, models = lake.fenced(), registry.fenced()
        with one_at_a_time(lake.folder() / "locks" / f"{universe.name}.lem_model", date.toordinal()):
            # While this run waited for its turn, another one may have trained the model.
            made = trained_since(fenced, models, universe, date, asked_at(context))
            if made is not None:
                context.log.info(f"model {made.id} was trained while this run waited for its turn")
                return dg.MaterializeResult(data_version=dg.DataVersion(made.id), metadata=model_figures(made))
            night = train_for(fenced, models, universe, date)
        last = night.trained.curve[-1]
        return dg.MaterializeResult(
            data_version=dg.DataVersion(night.record.id),
            metadata=model_figures(night.record)
            | {
                "loss": figure(last.loss),
                "gain_sigma": figure(last.gain_sigma),
                "arrivals": night.trained.arrivals,
                "train_seconds": round(night.train_seconds, 1),
            },
        )

    return asset
