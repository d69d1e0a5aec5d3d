"""Causal multi-head attention over the lookback: a bar sees itself and at most `lookback - 1` bars before it.

The sequence is cut into blocks of one lookback; the queries of a block see its keys and those of the block before, so
the work grows with the sequence's length and not with its square.

Shapes: B = sequences, T = bars, H = hidden, N = heads, D = H / N, K = lookback, J = blocks, W = 2 K (keys of a block).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class AttentionState(NamedTuple):
    """Keys, values and validity of the last K - 1 bars, oldest first; bars before the market's first are not valid."""

    keys_BTH: Tensor
    values_BTH: Tensor
    valid_BT: Tensor


class LookbackAttention(nn.Module):
    """Scaled dot-product attention with a learned bias for each head and distance (0 is the bar itself).

    Args:
        hidden: H, width in and out.
        heads: N; must divide `hidden`.
        lookback: K, bars that a bar sees, itself among them.
    """

    def __init__(self, hidden: int, heads: int, lookback: int) -> None:
        super().__init__()
        self.heads, self.lookback = heads, lookback
        self.query_key_value = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.distance_bias_NK = nn.Parameter(torch.zeros(heads, lookback))

    def start(self, batch: int) -> AttentionState:
        """The state before the first bar: no valid bar."""
        zero_BTH = self.out.weight.new_zeros(batch, self.lookback - 1, self.out.in_features)
        return AttentionState(zero_BTH, zero_BTH, zero_BTH[..., 0] > 0)

    def forward(
        self, x_BTH: Tensor, valid_BT: Tensor, state: AttentionState | None = None
    ) -> tuple[Tensor, AttentionState]:
        """The mixed bars and the state after the last of them.

        Args:
            x_BTH: the bars.
            valid_BT: bool; bars that later ones may look at. A bar always sees itself.
            state: after the bars before these; if left out, there are none.
        """
        batch, bars, hidden = x_BTH.shape
        before = state or self.start(batch)
        query_BTH, key_BTH, value_BTH = self.query_key_value(x_BTH).chunk(3, dim=-1)
        keys_BTH = torch.cat([before.keys_BTH, key_BTH], dim=1)
        values_BTH = torch.cat([before.values_BTH, value_BTH], dim=1)
        seen_BT = torch.cat([before.valid_BT, valid_BT], dim=1)
        block = min(self.lookback, bars)  # a single bar, in streaming, is a block of its own
        blocks = -(-bars // block)
        window, late = block + self.lookback - 1, blocks * block - bars

        def windows(x_BTC: Tensor) -> Tensor:
            """Keys (or values) of each block, (B, J, N, W, D)."""
            padded_BTC = F.pad(x_BTC, (0, 0, 0, late))
            return padded_BTC.unfold(1, window, block).unflatten(2, (self.heads, -1)).transpose(-1, -2)

        query_BJNKD = F.pad(query_BTH, (0, 0, 0, late)).view(batch, blocks, block, self.heads, -1).transpose(2, 3)
        visible_BJW = F.pad(seen_BT, (0, late)).unfold(1, window, block)
        at = torch.arange(window, device=x_BTH.device)
        distance_KW = at[:block, None] + (self.lookback - 1) - at
        in_reach_KW = (distance_KW >= 0) & (distance_KW < self.lookback)
        bias_NKW = self.distance_bias_NK[:, distance_KW.clamp(0, self.lookback - 1)]
        allowed_BJKW = in_reach_KW & (visible_BJW.unsqueeze(2) | (distance_KW == 0))
        mask_BJNKW = torch.where(allowed_BJKW.unsqueeze(2), bias_NKW, float("-inf"))
        # Every bar sees itself, so no row is empty: the plain softmax is safe, and on a CPU faster than torch's
        # attention with a mask, which looks for empty rows.
        scores_BJNKW = query_BJNKD / math.sqrt(hidden / self.heads) @ windows(keys_BTH).transpose(-1, -2) + mask_BJNKW
        mixed_BJNKD = torch.softmax(scores_BJNKW, dim=-1) @ windows(values_BTH)
        mixed_BTH = mixed_BJNKD.transpose(2, 3).reshape(batch, blocks * block, hidden)[:, :bars]
        last = slice(bars, bars + self.lookback - 1)
        after = AttentionState(keys_BTH[:, last].detach(), values_BTH[:, last].detach(), seen_BT[:, last])
        return self.out(mixed_BTH), after
