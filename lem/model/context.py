"""The shared market context: one pass over a sequence gives the context of every bar in it.

embedding -> variable selection -> TKAN layers -> gate, add and norm -> gated residual network -> causal attention over
the lookback -> gate, add and norm (LEMs, arXiv 2509.25211, shared extractor). The context of a bar does not depend on
the orders that look at it, nor on any later bar.

Shapes: B = sequences, T = bars, F = features, H = hidden.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lem.data.features import FEATURES, SIGNED
from lem.model.attention import AttentionState, LookbackAttention
from lem.model.tkan import TKAN, TKANState
from lem.model.variable_selection import (
    FeatureEmbedding,
    GatedAddNorm,
    GatedResidualNetwork,
    VariableSelection,
)
from lem.universe.model_config import ModelConfig


class LSTMState(NamedTuple):
    """What a plain LSTM carries from one bar to the next: output and cell."""

    h_1BH: Tensor
    c_1BH: Tensor


class PlainLSTM(nn.Module):
    """An LSTM in place of the TKAN, for comparison: the same width in and out."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True)

    def forward(self, x_BTH: Tensor, state: LSTMState | None = None) -> tuple[Tensor, LSTMState]:
        """The outputs (B, T, H), and the state after the last bar, without gradients."""
        h_BTH, last = self.lstm(x_BTH, None if state is None else tuple(state))
        return h_BTH, LSTMState(*(part_1BH.detach() for part_1BH in last))


class ContextState(NamedTuple):
    """What a market carries from one bar to the next; its size does not grow with the history.

    Args:
        recurrence: state of each recurrent layer.
        attention: keys and values of the last bars; None without attention.
    """

    recurrence: tuple[TKANState | LSTMState, ...]
    attention: AttentionState | None


class MarketContext(nn.Module):
    """From features (B, T, F) and validity (B, T) to the context (B, T, H).

    Args:
        features: F.
        config: sizes, and which parts the context has.
    """

    def __init__(self, features: int, config: ModelConfig) -> None:
        super().__init__()
        hidden, dropout = config.hidden, config.dropout
        self.signed = config.signed
        self.sizes_F: Tensor
        self.register_buffer("sizes_F", torch.tensor([name in SIGNED for name in FEATURES]), persistent=False)
        self.enter: nn.Module = nn.Linear(features, hidden)
        if config.variable_selection:
            self.enter = nn.Sequential(
                FeatureEmbedding(features, config.embedding),
                VariableSelection(features, config.embedding, dropout),
                nn.Linear(config.embedding, hidden),
            )
        self.recurrence = nn.ModuleList()
        if config.recurrence != "none":
            for _ in range(config.tkan_layers):
                tkan = config.recurrence == "tkan"
                self.recurrence.append(
                    TKAN(hidden, hidden, config.kan_layers, config.kan_width) if tkan else PlainLSTM(hidden)
                )
        self.after_recurrence = GatedAddNorm(hidden, dropout)
        self.residual = GatedResidualNetwork(hidden, hidden, hidden, dropout)
        self.attention, self.after_attention = None, None
        if config.attention:
            self.attention = LookbackAttention(hidden, config.heads, config.lookback)
            self.after_attention = GatedAddNorm(hidden, dropout)

    def forward(
        self, features_BTF: Tensor, valid_BT: Tensor, state: ContextState | None = None
    ) -> tuple[Tensor, ContextState]:
        """Context of every bar, and the state after the last bar.

        With a carried state the bars continue those before them, and the contexts are the same as in one pass.
        """
        selected_BTH = self.enter(
            features_BTF if self.signed else torch.where(self.sizes_F, features_BTF.abs(), features_BTF)
        )
        carried = state.recurrence if state else (None,) * len(self.recurrence)
        state_BTH, after = selected_BTH, []
        for layer, before in zip(self.recurrence, carried, strict=True):
            state_BTH, last = layer(state_BTH, before)
            after.append(last)
        enriched_BTH = self.residual(self.after_recurrence(state_BTH, selected_BTH))
        if self.attention is None or self.after_attention is None:
            return enriched_BTH, ContextState(tuple(after), None)
        mixed_BTH, attended = self.attention(enriched_BTH, valid_BT, state.attention if state else None)
        return self.after_attention(mixed_BTH, enriched_BTH), ContextState(tuple(after), attended)
