"""A model that may trade, as training, gate, backtest and live desk hand it to each other."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from lem.errors import RegistryError
from lem.lake import Lake
from lem.model.lem import LEM, load_lem
from lem.registry import ModelRecord
from lem.universe.model_config import ModelConfig


@dataclass(frozen=True)
class Contender:
    """A model before the gate.

    Args:
        model_id: its id in the registry.
        model: the network.
        train_end: first date (UTC) after its training.
        holes: dates of its training window that were missing.
    """

    model_id: str
    model: LEM
    train_end: dt.date
    holes: tuple[dt.date, ...] = ()


def theory_path(universe: str, sha256: str) -> str:
    """Where a table of the theory lies in the lake: under the hash of what it holds (`lem.theory.table.table_hash`)."""
    return f"{universe}/theory/sha256={sha256}.npz"


def load_contender(lake: Lake, record: ModelRecord) -> Contender:
    """A registered model, verified against its manifest's hash.

    Raises:
        LakeError: the weights are missing, were changed, or are not safetensors of that size.
        RegistryError: the manifest does not say what size the model has.
    """
    if record.model_settings is None:
        raise RegistryError(
            f"model {record.id}: its manifest has no [model], so that its size is not known; allowed: a manifest as "
            "training writes it"
        )
    # Manifests from before heads corrected a theory do not say what they do instead.
    config = ModelConfig.model_validate({"base": "even", "signed": True} | record.model_settings)
    weights = lake.read_bytes(record.weights_path)
    model = load_lem(
        weights, record.weights_sha256, config, lambda sha256: lake.read_bytes(theory_path(record.universe, sha256))
    )
    return Contender(record.id, model, record.train_end)
