"""The Large Execution Model: a shared market context and eight allocation heads (arXiv 2509.25211)."""

from __future__ import annotations

import hashlib

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from lem.data.features import FEATURES
from lem.errors import LakeError
from lem.model.allocation import AllocationHeads
from lem.model.context import MarketContext
from lem.universe.model_config import ModelConfig


class LEM(nn.Module):
    """One network for buys and sells, VWAP and TWAP, quantity and notional, and every horizon and limit.

    Args:
        config: sizes.
        seed: of the initial weights; the global random state is left as it was.
        solved: False leaves the theory's tables empty, to be loaded.
    """

    def __init__(self, config: ModelConfig, seed: int = 0, solved: bool = True) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.context = MarketContext(len(FEATURES), config)
            self.heads = AllocationHeads(config, solved)
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


def load_lem(weights: bytes, sha256: str, config: ModelConfig) -> LEM:
    """A model in evaluation mode from its weights.

    Raises:
        LakeError: the bytes do not have the manifest's hash, are not safetensors, or belong to a model of another
            size.
    """
    found = weights_hash(weights)
    if found != sha256:
        raise LakeError(f"weights: SHA-256 is {found}, the manifest says {sha256}; the object was changed, refused")
    model = LEM(config, solved=False)
    try:
        tensors = load(weights)
        model.volume_curve_W = torch.empty_like(tensors["volume_curve_W"])
        tensors.setdefault("rule_risk", model.rule_risk)  # weights from before the rule
        model.load_state_dict(tensors)
    except Exception as error:
        raise LakeError(f"weights {sha256[:12]}: not safetensors of a model of size {config!r}: {error}") from error
    return model.eval()
