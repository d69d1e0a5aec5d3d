"""Gated residual network and variable selection (Lim et al., Temporal Fusion Transformers, arXiv 1912.09363, eq. 2-8).

Shapes: B = sequences, T = bars, F = features, E = embedding, D = any width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GatedAddNorm(nn.Module):
    """Gate, add and norm: LayerNorm(skip + GLU(dropout(x)))."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.gate = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Gate x, add it to `skip`, norm: all of the same shape, (*, D)."""
        return self.norm(skip + F.glu(self.gate(self.dropout(x)), dim=-1))


class GatedResidualNetwork(nn.Module):
    """GRN: ELU layer, linear layer, gate, add and norm. `outputs` may differ from `inputs`."""

    def __init__(self, inputs: int, hidden: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, hidden)
        self.leave = nn.Linear(hidden, outputs)
        self.skip = nn.Linear(inputs, outputs) if inputs != outputs else nn.Identity()
        self.gated = GatedAddNorm(outputs, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """From (*, inputs) to (*, outputs)."""
        return self.gated(self.leave(F.elu(self.enter(x))), self.skip(x))


class FeatureEmbedding(nn.Module):
    """Embeds each feature, one number, by itself into E dimensions."""

    def __init__(self, features: int, embedding: int) -> None:
        super().__init__()
        self.weight_FE = nn.Parameter(torch.randn(features, embedding))
        self.bias_FE = nn.Parameter(torch.zeros(features, embedding))

    def forward(self, x_BTF: Tensor) -> Tensor:
        """The embeddings, (B, T, F, E)."""
        return x_BTF.unsqueeze(-1) * self.weight_FE + self.bias_FE


class VariableSelection(nn.Module):
    """Weighs the features against each other, bar by bar.

    The weights come from a GRN over all embeddings. Each feature has a residual layer of its own; one product computes
    the F small matrices.
    """

    def __init__(self, features: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.weights = GatedResidualNetwork(features * embedding, embedding, features, dropout)
        self.own_FEE = nn.Parameter(torch.randn(features, embedding, embedding) / math.sqrt(embedding))
        self.norm = nn.LayerNorm(embedding)

    def forward(self, embedded_BTFE: Tensor) -> Tensor:
        """The weighted sum of the features' embeddings, (B, T, E)."""
        weights_BTF = torch.softmax(self.weights(embedded_BTFE.flatten(-2)), dim=-1)
        own_BTFE = torch.einsum("btfe,fed->btfd", F.elu(embedded_BTFE), self.own_FEE)
        return torch.einsum("btf,btfe->bte", weights_BTF, self.norm(embedded_BTFE + own_BTFE))
