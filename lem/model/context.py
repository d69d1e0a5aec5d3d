"""The shared market context: one pass over a sequence gives the context of every bar in it.

embedding -> variable selection -> TKAN layers -> gate, add and norm -> gated residual network -> causal attention over
the lookback -> gate, add and norm (LEMs, arXiv 2509.25211, shared extractor). The context of a bar does not depend on
the orders that look at it, nor on any later bar.

Shapes: B = sequences, T = bars, F = features, H = hidden.
"""

from __future__ import annotations

from torch import Tensor, nn

from lem.model.attention import LookbackAttention
from lem.model.config import ModelConfig
from lem.model.tkan import TKAN
from lem.model.variable_selection import (
    FeatureEmbedding,
    GatedAddNorm,
    GatedResidualNetwork,
    VariableSelection,
)


class MarketContext(nn.Module):
    """features_BTF, valid_BT -> context_BTH."""

    def __init__(self, features: int, config: ModelConfig) -> None:
        super().__init__()
        hidden = config.hidden
        self.embedding = FeatureEmbedding(features, config.embedding)
        self.selection = VariableSelection(features, config.embedding, config.dropout)
        self.enter = nn.Linear(config.embedding, hidden)
        self.recurrence = nn.ModuleList(
            TKAN(hidden, hidden, config.kan_layers, config.kan_width) for _ in range(config.tkan_layers)
        )
        self.after_recurrence = GatedAddNorm(hidden, config.dropout)
        self.residual = GatedResidualNetwork(hidden, hidden, hidden, config.dropout)
        self.attention = LookbackAttention(hidden, config.heads, config.lookback)
        self.after_attention = GatedAddNorm(hidden, config.dropout)

    def forward(self, features_BTF: Tensor, valid_BT: Tensor) -> Tensor:
        selected_BTH = self.enter(self.selection(self.embedding(features_BTF)))
        state_BTH = selected_BTH
        for layer in self.recurrence:
            state_BTH = layer(state_BTH)
        enriched_BTH = self.residual(self.after_recurrence(state_BTH, selected_BTH))
        return self.after_attention(self.attention(enriched_BTH, valid_BT), enriched_BTH)
