"""The Large Execution Model: a shared market context and eight allocation heads (arXiv 2509.25211)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from lem.data.features import FEATURES
from lem.errors import LakeError
from lem.model.allocation import AllocationHeads
from lem.model.base import ProgrammeBase
from lem.model.context import MarketContext
from lem.theory.table import SHAPES, shared_table, stored_table, table_hash
from lem.universe.model_config import ModelConfig


class LEM(nn.Module):
    """One network for buys and sells, VWAP and TWAP, quantity and notional, and every horizon and limit.

    Args:
        config: sizes.
        seed: of the initial weights; the global random state is left as it was.
    """

    def __init__(self, config: ModelConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.context = MarketContext(len(FEATURES), config)
            self.heads = AllocationHeads(config)
        # Of the training window, not of the network: mean volume by slot of the clock, for the rule that needs it.
        self.volume_curve_W: Tensor
        self.register_buffer("volume_curve_W", torch.ones(1))
        # Likewise: how much the rule `optimal_with_risk` pays for less risk.
        self.rule_risk: Tensor
        self.register_buffer("rule_risk", torch.zeros(()))

    def encode(self, features_BTF: Tensor, valid_BT: Tensor) -> Tensor:
        """Context of every bar, (B, T, F) -> (B, T, H); that of bar t reads bars up to t."""
        return self.context(features_BTF, valid_BT)[0]

    def weights(self) -> bytes:
        """The weights as safetensors: the same weights give the same bytes."""
        return save({name: tensor.contiguous() for name, tensor in sorted(self.state_dict().items())})


def weights_hash(weights: bytes) -> str:
    """SHA-256 of the safetensors bytes, hexadecimal."""
    return hashlib.sha256(weights).hexdigest()


def load_lem(weights: bytes, sha256: str, config: ModelConfig, stored: Callable[[str], bytes] | None = None) -> LEM:
    """A model in evaluation mode from its weights.

    Args:
        weights: safetensors.
        sha256: their hash in the manifest.
        config: sizes.
        stored: gives the file of a table of the theory by its hash, for weights from before this version's table.

    Raises:
        LakeError: the bytes do not have the manifest's hash, are not safetensors, or belong to a model of another
            size; or the table of the theory that they were trained with is neither this version's nor stored.
    """
    found = weights_hash(weights)
    if found != sha256:
        raise LakeError(f"weights: SHA-256 is {found}, the manifest says {sha256}; the object was changed, refused")
    model = LEM(config)
    try:
        tensors = load(weights)
        model.volume_curve_W = torch.empty_like(tensors["volume_curve_W"])
        tensors.setdefault("rule_risk", model.rule_risk)  # weights from before the rule
        base = model.heads.base
        # Earlier versions kept the whole table with the weights.
        own = {name: tensors.pop(f"heads.base.{name}") for name in SHAPES if f"heads.base.{name}" in tensors}
        if isinstance(base, ProgrammeBase):
            if own:
                tensors["heads.base.theory"] = base.theory
            model.load_state_dict(tensors)
            base.read(own) if own else _read_theory(base, stored)
        else:
            model.load_state_dict(tensors)
    except LakeError:
        raise
    except Exception as error:
        raise LakeError(f"weights {sha256[:12]}: not safetensors of a model of size {config!r}: {error}") from error
    return model.eval()


def _read_theory(base: ProgrammeBase, stored: Callable[[str], bytes] | None) -> None:
    """Give the base the table whose hash came with the weights."""
    wanted = bytes(base.theory.tolist()).hex()
    table, sha256 = shared_table()
    if wanted != sha256:
        if stored is None:
            raise LakeError(
                f"weights: trained with the table {wanted[:12]} of the theory, this version has {sha256[:12]}; "
                "allowed: a model of this version"
            )
        table = stored_table(stored(wanted))
        if table_hash(table) != wanted:
            raise LakeError(f"the stored table {wanted[:12]} of the theory was changed, refused")
    base.read(table, wanted)
