"""The manifest of a model: everything that made it, and nothing else, so that the same inputs give the same id."""

from __future__ import annotations

import datetime as dt
from importlib.metadata import version
from typing import Any

import pyarrow as arrow

from lem.code import code_version
from lem.lineage.stages import MODEL, STAGE_VERSION, stage_named
from lem.registry.records import InputVersion, ModelRecord, manifest_id
from lem.universe import Universe
from lem.universe.windows import TrainingWindow

LIBRARIES = ("torch", "numpy", "pandas", "pyarrow", "safetensors")
CURVE_SCHEMA = arrow.schema(
    [
        ("step", arrow.int64()),
        ("loss", arrow.float64()),
        ("gain_sigma", arrow.float64()),
        ("learning_rate", arrow.float64()),
    ]
)


def weights_path(universe: str, sha256: str) -> str:
    """Where weights lie in the lake: under their own hash."""
    return f"{universe}/weights/sha256={sha256}.safetensors"


def curve_path(universe: str, model_id: str) -> str:
    """Where a model's training curve lies in the lake."""
    return f"{universe}/training_curve/model={model_id}.parquet"


def model_record(
    universe: Universe, date: dt.date, window: TrainingWindow, inputs: list[InputVersion], weights_sha256: str
) -> ModelRecord:
    """The registry's record of a trained model; its id is the hash of its manifest.

    Args:
        universe: with the settings that the model was trained by, and the device that it was.
        date: the first on which it may trade.
        window: on which it was trained.
        inputs: the partitions that were read.
        weights_sha256: 64 hex digits.
    """
    from lem.training.device import machine  # with torch: the definitions need this module's schema alone

    manifest: dict[str, Any] = {
        "universe": universe.name,
        "usable_on": date.isoformat(),
        "train_start": window.start.isoformat(),
        "train_end": window.train_end.isoformat(),
        "gate_start": window.gate_start.isoformat(),
        "bar": universe.bar,
        "horizon": universe.horizon,
        "assets": universe.symbols,
        "features": universe.features.model_dump(mode="json"),
        "model": universe.model.model_dump(mode="json"),
        "costs": universe.costs.model_dump(mode="json"),
        "training": universe.training.model_dump(mode="json"),
        "seed": universe.training.seed,
        "code_version": code_version(),
        STAGE_VERSION: stage_named(MODEL).version,
        "libraries": {name: version(name) for name in LIBRARIES},
        "machine": machine(universe.training.device),
        "inputs": [[read.table_name, read.partition_key, read.data_version] for read in sorted(inputs)],
        "weights_sha256": weights_sha256,
    }
    return ModelRecord(
        id=manifest_id(manifest),
        universe=universe.name,
        usable_on=date,
        train_start=window.start,
        train_end=window.train_end,
        weights_sha256=weights_sha256,
        weights_path=weights_path(universe.name, weights_sha256),
        code_version=code_version(),
        seed=universe.training.seed,
        manifest=manifest,
        inputs=inputs,
    )
