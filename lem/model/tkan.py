"""Temporal Kolmogorov-Arnold recurrence (TKAN, Genet and Inzirillo, arXiv 2405.07344).

An LSTM whose output gate is fed by recurrent KAN sub-layers:

    s_l(t) = W_lx x(t) + W_lh k_l(t-1)            input of sub-layer l, k_l its own memory
    o_l(t) = KAN_l(s_l(t))                        B-spline layer
    k_l(t) = tanh(V_h k_l(t-1) + V_o o_l(t))      the tanh is ours: it keeps a long sequence bounded
    f, i = sigmoid(W x(t) + U h(t-1) + b)         forget and input gates
    g = tanh(W_g x(t) + U_g h(t-1) + b_g)
    o(t) = sigmoid(W_o [o_1(t), ..., o_L(t)] + b_o)
    c(t) = f c(t-1) + i g,   h(t) = o(t) tanh(c(t))

Everything that does not depend on the state is multiplied once for the whole sequence, before the loop.

Shapes: B = sequences, T = bars, I = inputs, H = hidden, L = KAN sub-layers, W = their width, G = spline coefficients.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GRID_INTERVALS = 5
SPLINE_ORDER = 3


def cubic_basis(x: Tensor) -> Tensor:
    """Values of the uniform cubic B-splines over [-1, 1], one per coefficient: shape (*x, G).

    With d the distance from a basis function's centre in grid steps it is ((2 - d)+^3 - 4 (1 - d)+^3) / 6.
    """
    step = 2.0 / GRID_INTERVALS
    starts_G = torch.arange(-SPLINE_ORDER, GRID_INTERVALS, dtype=x.dtype, device=x.device) * step - 1.0
    distance = ((x.clamp(-1.0, 1.0).unsqueeze(-1) - starts_G) / step - 2.0).abs()
    outer, inner = (2.0 - distance).relu(), (1.0 - distance).relu()
    return outer * outer * outer / 6.0 - inner * inner * inner * (2.0 / 3.0)


class KANLayers(nn.Module):
    """L independent KAN layers W -> W: a SiLU base plus a cubic B-spline on [-1, 1] for every pair (Liu et al.,
    arXiv 2404.19756)."""

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        coefficients = GRID_INTERVALS + SPLINE_ORDER
        self.base_LWW = nn.Parameter(torch.randn(layers, width, width) / math.sqrt(width))
        self.spline_LVW = nn.Parameter(torch.randn(layers, width * coefficients, width) * 0.1 / math.sqrt(width))

    def forward(self, s_LBW: Tensor) -> Tensor:
        basis_LBV = cubic_basis(s_LBW).flatten(-2)
        return torch.baddbmm(torch.bmm(F.silu(s_LBW), self.base_LWW), basis_LBV, self.spline_LVW)


class TKAN(nn.Module):
    """One recurrent layer over a sequence, starting from a zero state.

    Input (B, T, I), output (B, T, H): the hidden state after each bar, which depends on no later bar.
    """

    def __init__(self, inputs: int, hidden: int, kan_layers: int, kan_width: int) -> None:
        super().__init__()
        self.hidden, self.kan_layers, self.kan_width = hidden, kan_layers, kan_width
        self.gates_x = nn.Linear(inputs, 3 * hidden)
        self.gates_h = nn.Linear(hidden, 3 * hidden, bias=False)
        self.kan_x = nn.Linear(inputs, kan_layers * kan_width)
        into_kan_LWW = torch.randn(kan_layers, kan_width, kan_width) * 0.5 / math.sqrt(kan_width)
        into_memory_LWW = torch.eye(kan_width).repeat(kan_layers, 1, 1) * 0.5
        self.memory_LWX = nn.Parameter(
            torch.cat([into_kan_LWW, into_memory_LWW], dim=-1)
        )  # W_lh beside V_h: one product
        self.memory_o_LWW = nn.Parameter(torch.randn(kan_layers, kan_width, kan_width) * 0.5 / math.sqrt(kan_width))
        self.kan = KANLayers(kan_layers, kan_width)
        self.output = nn.Linear(kan_layers * kan_width, hidden)
        with torch.no_grad():
            self.gates_x.bias[:hidden] += 1.0  # remember at first, as in every LSTM since Jozefowicz et al. 2015

    def forward(self, x_BTI: Tensor) -> Tensor:
        batch, bars, _ = x_BTI.shape
        gates_x = self.gates_x(x_BTI).unbind(
            1
        )  # unbind, not x[:, t]: the latter makes the backward pass many times slower
        kan_x = self.kan_x(x_BTI).view(batch, bars, self.kan_layers, self.kan_width).permute(1, 2, 0, 3).unbind(0)
        h_BH = c_BH = x_BTI.new_zeros(batch, self.hidden)
        memory_LBW = x_BTI.new_zeros(self.kan_layers, batch, self.kan_width)
        out = []
        for gate_x, s_x in zip(gates_x, kan_x, strict=True):
            forget, enter, new = (gate_x + self.gates_h(h_BH)).chunk(3, dim=-1)
            into_kan, into_memory = torch.bmm(memory_LBW, self.memory_LWX).chunk(2, dim=-1)
            o_LBW = self.kan(s_x + into_kan)
            memory_LBW = torch.tanh(torch.baddbmm(into_memory, o_LBW, self.memory_o_LWW))
            gate_BH = torch.sigmoid(self.output(o_LBW.transpose(0, 1).flatten(1)))
            c_BH = torch.sigmoid(forget) * c_BH + torch.sigmoid(enter) * torch.tanh(new)
            h_BH = gate_BH * torch.tanh(c_BH)
            out.append(h_BH)
        return torch.stack(out, dim=1)
