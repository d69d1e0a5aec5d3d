"""A model made again from its manifest: the same data, config and seed, and whether the weights are the same bits.

If an input has another content now, the version that the manifest names is read, as long as it is kept
(`lem.lineage.revisions`). The code and the libraries are those of today; the result says where they differ from the
manifest's.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from importlib.metadata import version

import pandas as pd

from lem.code import code_version
from lem.data.panel import Panel
from lem.errors import TrainingError
from lem.execution.costs_config import CostsConfig
from lem.lake import Lake
from lem.lineage.keys import name_missing
from lem.lineage.revisions import superseded_path
from lem.model.lem import LEM, weights_hash
from lem.registry import ModelRecord
from lem.registry.records import InputVersion
from lem.training.device import machine
from lem.training.manifest import LIBRARIES
from lem.training.nightly import train_showing
from lem.universe.model_config import ModelConfig
from lem.universe.training_config import TrainingConfig

BEFORE = {"arrival_every": 1}
"""What a key of [training] was before there was one: manifests of that time do not name it."""


@dataclass(frozen=True)
class Rebuilt:
    """A model trained again.

    Args:
        model: with the new weights.
        weights_sha256: of the new weights; equal to the manifest's if the rebuild is exact.
        superseded: partitions that were read in a version that has been replaced since.
        differences: how code, libraries and machine differ from the manifest's, in words.
    """

    model: LEM
    weights_sha256: str
    superseded: list[str]
    differences: list[str]


def rebuild(lake: Lake, record: ModelRecord) -> Rebuilt:
    """Train a registered model again from its manifest alone. Nothing is stored.

    Args:
        lake: with the partitions that the manifest names.
        record: of the model.

    Raises:
        TrainingError: the manifest lacks what a rebuild needs, or this machine its device; or partitions have another
            content than it names, which is not kept (the message lists them all).
        LakeError: the lake cannot be read, or bytes in it were changed.
    """
    horizon, model, training, costs = _settings(record)
    table, superseded = _inputs(lake, record)
    what = f"{record.universe}: training {record.id} again"
    trained = train_showing(Panel.from_table(table), horizon, model, training, costs, what)
    return Rebuilt(trained.model, weights_hash(trained.model.weights()), superseded, differences(record))


def _settings(record: ModelRecord) -> tuple[int, ModelConfig, TrainingConfig, CostsConfig]:
    horizon, model, training, costs = (
        record.horizon,
        record.model_settings,
        record.training_settings,
        record.costs_settings,
    )
    try:
        if horizon is None or model is None or training is None or costs is None:
            raise ValueError("one of horizon, model, training and costs is not there")
        settings = ModelConfig.model_validate(model), TrainingConfig.model_validate(BEFORE | training)
        return horizon, *settings, CostsConfig.model_validate(costs)
    except ValueError as error:
        raise TrainingError(
            f"model {record.id}: its manifest cannot be read by this version: {error!r}; allowed: a manifest with "
            f"horizon, model, training and costs as code {record.code_version} wrote them"
        ) from error


def _inputs(lake: Lake, record: ModelRecord) -> tuple[pd.DataFrame, list[str]]:
    """The rows on which the model was trained, and the partitions that were read in a superseded version."""
    frames, superseded, lost = [], [], []
    for read in sorted(record.inputs, key=lambda read: read.partition_key):
        found, kept = _in_version(lake, record.universe, read)
        if found is None:
            lost.append(read.partition_key)
            continue
        frames.append(found)
        superseded += [read.partition_key] if kept else []
    if lost or not frames:
        raise TrainingError(
            f"model {record.id}: {len(lost)} of {len(record.inputs)} partitions of {record.universe}/panel no longer "
            f"have the content that it was trained on, and it is not kept: {name_missing(lost)}; allowed: a model "
            "whose inputs are there as its manifest names them, or as superseded versions"
        )
    return pd.concat(frames, ignore_index=True), superseded


def _in_version(lake: Lake, universe: str, read: InputVersion) -> tuple[pd.DataFrame | None, bool]:
    """The partition with the content that the manifest names, and whether that content is superseded."""
    date = dt.date.fromisoformat(read.partition_key)
    kept = superseded_path(universe, date, None, read.data_version, read.table_name)
    for path in (lake.path(universe, read.table_name, date), kept):
        versions = lake.versions(path) if lake.exists(path) else None
        if versions and versions.data == read.data_version:
            return lake.read_table(path), path == kept
    return None, False


def differences(record: ModelRecord) -> list[str]:
    """How code, libraries and machine differ now from those that made the model; empty if they do not."""
    device = (record.training_settings or {}).get("device", "cpu")  # a manifest without it is of a CPU
    now = {"code": code_version(), "machine": machine(device)} | {name: version(name) for name in LIBRARIES}
    then = {"code": record.code_version, "machine": record.machine} | record.libraries
    return [f"{name} was {then.get(name)}, is {now[name]}" for name in now if now[name] != then.get(name)]
