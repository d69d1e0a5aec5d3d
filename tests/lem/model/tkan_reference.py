"""The TKAN recurrence as its equations stand, bar by bar: the oracle of the fast one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lem.model.recurrence import COEFFICIENTS, GRID_INTERVALS
from lem.model.tkan import TKAN


def spline_basis(x: Tensor) -> Tensor:
    """The uniform cubic B-splines over [-1, 1] by the recursion of Cox and de Boor: shape (*x, G)."""
    step, order = 2.0 / GRID_INTERVALS, 3
    knots = torch.arange(-order, GRID_INTERVALS + order + 1, dtype=x.dtype) * step - 1.0
    # x = 1 belongs to the interval before it; the splines are continuous there.
    x = x.clamp(-1.0, 1.0).clamp(max=1.0 - 1e-7 if x.dtype == torch.float32 else 1.0 - 1e-14).unsqueeze(-1)
    basis = ((x >= knots[:-1]) & (x < knots[1:])).to(x.dtype)
    for degree in range(1, order + 1):
        left = (x - knots[: -degree - 1]) / (degree * step) * basis[..., :-1]
        right = (knots[degree + 1 :] - x) / (degree * step) * basis[..., 1:]
        basis = left + right
    return basis


def kan(s_LBW: Tensor, kan_LVW: Tensor) -> Tensor:
    """SiLU base plus splines of every input, for L layers."""
    layers, _, width = s_LBW.shape
    weight_LWGW = kan_LVW.view(layers, width, COEFFICIENTS + 1, width)
    base = torch.einsum("lbw,lwv->lbv", F.silu(s_LBW), weight_LWGW[:, :, 0])
    return base + torch.einsum("lbwg,lwgv->lbv", 6.0 * spline_basis(s_LBW), weight_LWGW[:, :, 1:])


def tkan(layer: TKAN, x_BTI: Tensor) -> Tensor:
    """The hidden state after each bar, (B, T, H), from a zero state, with the layer's own weights."""
    h_BH, c_BH, k_LBW = layer.start(len(x_BTI))
    out = []
    for x_BI in x_BTI.unbind(1):
        sx_LBW = layer.kan_x(x_BI).unflatten(-1, (layer.kan_layers, layer.kan_width)).transpose(0, 1)
        into_kan, into_memory = torch.bmm(k_LBW, layer.state_LWX).chunk(2, dim=-1)
        o_LBW = kan(sx_LBW + into_kan, layer.kan_LVW)
        k_LBW = torch.tanh(into_memory + torch.bmm(o_LBW, layer.memory_LWW))
        enter, forget, new = (layer.gates_x(x_BI) + h_BH @ layer.gates_HP).chunk(3, dim=-1)
        gate_BH = torch.sigmoid(layer.output(o_LBW.transpose(0, 1).flatten(1)))
        c_BH = torch.sigmoid(forget) * c_BH + torch.sigmoid(enter) * torch.tanh(new)
        h_BH = gate_BH * torch.tanh(c_BH)
        out.append(h_BH)
    return torch.stack(out, dim=1)
