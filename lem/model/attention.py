"""Causal multi-head attention over the lookback: a bar sees itself and at most `lookback - 1` bars before it.

Shapes: B = sequences, T = bars, H = hidden, N = heads, D = H / N.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LookbackAttention(nn.Module):
    """Scaled dot-product attention with a learned bias for each head and distance (0 = the bar itself)."""

    def __init__(self, hidden: int, heads: int, lookback: int) -> None:
        super().__init__()
        self.heads, self.lookback = heads, lookback
        self.query_key_value = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.distance_bias_NK = nn.Parameter(torch.zeros(heads, lookback))

    def forward(self, x_BTH: Tensor, valid_BT: Tensor) -> Tensor:
        """Args: x_BTH; valid_BT (bool), bars that others may look at (a bar always sees itself)."""
        batch, bars, hidden = x_BTH.shape
        q, k, v = self.query_key_value(x_BTH).view(batch, bars, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        at = torch.arange(bars, device=x_BTH.device)
        distance_TT = at[:, None] - at[None, :]
        seen_TT = (distance_TT >= 0) & (distance_TT < self.lookback)
        bias_NTT = self.distance_bias_NK[:, distance_TT.clamp(0, self.lookback - 1)]
        visible_BTT = seen_TT & (valid_BT[:, None, :] | (distance_TT == 0))
        mask_BNTT = torch.where(visible_BTT[:, None], bias_NTT, float("-inf"))
        mixed_BNTD = F.scaled_dot_product_attention(q, k, v, attn_mask=mask_BNTT)
        return self.out(mixed_BNTD.transpose(1, 2).reshape(batch, bars, hidden))
