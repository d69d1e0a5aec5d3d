"""Temporal Kolmogorov-Arnold recurrence (TKAN, Genet and Inzirillo, arXiv 2405.07344).

An LSTM whose output gate is fed by recurrent KAN sub-layers:

    s_l(t) = W_lx x(t) + W_lh k_l(t-1)            input of sub-layer l, k_l its own memory
    o_l(t) = KAN_l(s_l(t))                        SiLU base plus cubic B-splines (Liu et al., arXiv 2404.19756)
    k_l(t) = tanh(V_h k_l(t-1) + V_o o_l(t))      the tanh is ours: it keeps k bounded over long sequences
    f, i = sigmoid(W x(t) + U h(t-1) + b)         forget and input gates
    g = tanh(W_g x(t) + U_g h(t-1) + b_g)
    o(t) = sigmoid(W_o [o_1(t), ..., o_L(t)] + b_o)
    c(t) = f c(t-1) + i g,   h(t) = o(t) tanh(c(t))

The sub-layers do not depend on h, so they run first, over all bars. What remains is an LSTM over [x, o] whose gates f,
i and g do not see o, and whose output gate sees nothing but o: torch's own LSTM with zeros in its weights.

Shapes: B = sequences, T = bars, I = inputs, H = hidden, P = 3 H, L = KAN sub-layers, W = their width, X = 2 W.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lem.model.recurrence import COEFFICIENTS, KANMemory


class TKANState(NamedTuple):
    """What the recurrence carries from one bar to the next.

    Args:
        h_BH: the hidden state h.
        c_BH: the cell c.
        memory_LBW: the memory k of each sub-layer.
    """

    h_BH: Tensor
    c_BH: Tensor
    memory_LBW: Tensor


class TKAN(nn.Module):
    """One recurrent layer over a sequence.

    Input (B, T, I), output (B, T, H): the hidden state after each bar, which depends on no later bar.

    Args:
        inputs: I.
        hidden: H.
        kan_layers: L.
        kan_width: W.
    """

    def __init__(self, inputs: int, hidden: int, kan_layers: int, kan_width: int) -> None:
        super().__init__()
        self.hidden, self.kan_layers, self.kan_width = hidden, kan_layers, kan_width
        scale = 1.0 / math.sqrt(kan_width)
        self.gates_x = nn.Linear(inputs, 3 * hidden)
        self.gates_HP = nn.Parameter((torch.rand(hidden, 3 * hidden) * 2 - 1) / math.sqrt(hidden))
        self.kan_x = nn.Linear(inputs, kan_layers * kan_width)
        into_kan_LWW = torch.randn(kan_layers, kan_width, kan_width) * 0.5 * scale
        into_memory_LWW = torch.eye(kan_width).repeat(kan_layers, 1, 1) * 0.5
        self.state_LWX = nn.Parameter(torch.cat([into_kan_LWW, into_memory_LWW], dim=-1))  # W_lh beside V_h
        self.memory_LWW = nn.Parameter(torch.randn(kan_layers, kan_width, kan_width) * 0.5 * scale)
        weights = torch.randn(kan_layers, kan_width, COEFFICIENTS + 1, kan_width) * scale
        weights[:, :, 1:] *= 0.1 / 6.0  # the splines (six times their value) start as a small correction of the base
        self.kan_LVW = nn.Parameter(weights.flatten(1, 2))
        self.output = nn.Linear(kan_layers * kan_width, hidden)
        with torch.no_grad():
            self.gates_x.bias[hidden : 2 * hidden] += (
                1.0  # remember at first, as in every LSTM since Jozefowicz et al. 2015
            )

    def start(self, batch: int) -> TKANState:
        """The state before the first bar: zero."""
        zero = self.gates_HP.new_zeros
        return TKANState(
            zero(batch, self.hidden), zero(batch, self.hidden), zero(self.kan_layers, batch, self.kan_width)
        )

    def forward(self, x_BTI: Tensor, state: TKANState | None = None) -> tuple[Tensor, TKANState]:
        """The outputs, and the state after the last bar. Gradients flow through the bars, not into `state`."""
        batch, bars, _ = x_BTI.shape
        h_BH, c_BH, memory_LBW = state or self.start(batch)
        x_TBI = x_BTI.transpose(0, 1)
        sx_TLBW = self.kan_x(x_TBI).view(bars, batch, self.kan_layers, self.kan_width).transpose(1, 2).contiguous()
        o_TLBW, memory_LBW = KANMemory.apply(sx_TLBW, memory_LBW, self.state_LWX, self.kan_LVW, self.memory_LWW)
        both_TBI = torch.cat([x_TBI, o_TLBW.transpose(1, 2).flatten(2)], dim=-1)
        h_TBH, h_BH, c_BH = torch.lstm(
            both_TBI, (h_BH[None], c_BH[None]), self._as_lstm(), True, 1, 0.0, self.training, False, False
        )
        return h_TBH.transpose(0, 1), TKANState(h_BH[0].detach(), c_BH[0].detach(), memory_LBW)

    def _as_lstm(self) -> list[Tensor]:
        """The weights of a plain LSTM over [x, o]: input gate, forget gate and cell see x, the output gate sees o."""
        hidden, kan = self.hidden, self.output.in_features
        zero = self.gates_HP.new_zeros
        weight_x = torch.cat([self.gates_x.weight, zero(3 * hidden, kan)], dim=1)
        weight_o = torch.cat([zero(hidden, self.gates_x.in_features), self.output.weight], dim=1)
        return [
            torch.cat([weight_x, weight_o]),
            torch.cat([self.gates_HP.t(), zero(hidden, hidden)]),
            torch.cat([self.gates_x.bias, self.output.bias]),
            zero(4 * hidden),
        ]
