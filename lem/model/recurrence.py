"""The loop of the TKAN's sub-layers, with its own backward pass.

A recurrence over small matrices spends its time on calling operations, not in them. So everything that does not depend
on the state is done once for all bars, before or after the loop: the products with the inputs, the derivatives of every
activation, and the gradients of all weights. The rest, in the loop, works on preallocated memory.

The backward pass is the chain rule over bars, written by hand; `d` before a name is the loss's derivative with respect
to it. Automatic differentiation of the plain equations gives the same numbers (the tests compare them).

Shapes: T = bars, B = sequences, L = KAN sub-layers, W = their width, X = 2 W, G = spline coefficients,
V = W (1 + G) basis values.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from lem.errors import TrainingError

GRID_INTERVALS = 5
SPLINE_ORDER = 3
COEFFICIENTS = GRID_INTERVALS + SPLINE_ORDER
_STEP = 2.0 / GRID_INTERVALS
_NO_GRADIENT = "TKAN: gradients do not flow through a carried state; allowed: a zero initial state in training"


def spline_middles(like: Tensor) -> Tensor:
    """Middle of each B-spline, in grid steps from 0: shape (G,)."""
    first = -(COEFFICIENTS - 1) / 2
    return first + torch.arange(COEFFICIENTS, dtype=like.dtype, device=like.device)


def kan_basis(s_LBW: Tensor, middles_G: Tensor, silu_LBW: Tensor, splines_LBWG: Tensor) -> None:
    """Write SiLU and six times the uniform cubic B-splines over [-1, 1] of every input.

    With d the distance from a spline's middle in grid steps, six times its value is (2 - d)+^3 - 4 (1 - d)+^3.
    """
    torch.ops.aten.silu.out(s_LBW, out=silu_LBW)
    distance = torch.sub(middles_G, s_LBW.clamp(-1.0, 1.0).unsqueeze(-1), alpha=1.0 / _STEP).abs_()
    outer = torch.rsub(distance, 2.0).relu_()
    inner = F.softshrink(outer, 1.0)  # (outer - 1)+, since outer is never negative
    torch.sub(outer.pow_(3), inner.pow_(3), alpha=4.0, out=splines_LBWG)


def kan_slope(s_LBW: Tensor) -> Tensor:
    """Derivatives of the values of `kan_basis`, (*, 1 + G): outside of [-1, 1] the splines' are 0."""
    out_LBWV = s_LBW.new_empty(*s_LBW.shape, 1 + COEFFICIENTS)
    sigmoid = torch.sigmoid(s_LBW)
    out_LBWV[..., 0] = sigmoid * (1.0 + s_LBW * (1.0 - sigmoid))
    distance = s_LBW.unsqueeze(-1) / _STEP - spline_middles(s_LBW)
    outer, inner = (2.0 - distance.abs()).relu_(), (1.0 - distance.abs()).relu_()
    inside = (s_LBW.abs() <= 1.0).unsqueeze(-1)
    out_LBWV[..., 1:] = distance.sign() * (12.0 * inner * inner - 3.0 * outer * outer) / _STEP * inside
    return out_LBWV


class KANMemory(torch.autograd.Function):
    """The memory k(t) = tanh(V_h k(t-1) + V_o KAN(s_x(t) + W_h k(t-1))) of all sub-layers over all bars."""

    @staticmethod
    def forward(
        ctx: Any, sx_TLBW: Tensor, first_LBW: Tensor, state_LWX: Tensor, kan_LVW: Tensor, memory_LWW: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The KAN's outputs o, (T, L, B, W), and the last k, (L, B, W).

        Args:
            ctx: torch's memory for the backward pass.
            sx_TLBW: s_x, the inputs' part of what the KAN reads.
            first_LBW: k before the first bar.
            state_LWX: W_h and V_h side by side (X = 2 W).
            kan_LVW: weights of the KAN's basis values.
            memory_LWW: V_o.
        """
        bars, layers, batch, width = sx_TLBW.shape
        s_TLBW, o_TLBW = torch.empty_like(sx_TLBW), torch.empty_like(sx_TLBW)
        k_TLBW = sx_TLBW.new_empty(bars + 1, layers, batch, width)
        basis_TLBWV = sx_TLBW.new_empty(bars, layers, batch, width, 1 + COEFFICIENTS)
        k_TLBW[0] = first_LBW
        both_LBX = sx_TLBW.new_empty(layers, batch, 2 * width)
        into_kan_LBW, into_memory_LBW = both_LBX[..., :width], both_LBX[..., width:]
        middles_G = spline_middles(sx_TLBW)
        silu_TLBW, splines_TLBWG = basis_TLBWV[..., 0], basis_TLBWV[..., 1:]
        basis_TLBV = basis_TLBWV.flatten(-2)
        rows = (x.unbind(0) for x in (sx_TLBW, s_TLBW, silu_TLBW, splines_TLBWG, basis_TLBV, o_TLBW, k_TLBW[1:]))
        before = k_TLBW[0]
        for sx, s, silu, splines, basis, o, after in zip(*rows, strict=True):
            torch.bmm(before, state_LWX, out=both_LBX)
            torch.add(sx, into_kan_LBW, out=s)
            kan_basis(s, middles_G, silu, splines)
            torch.bmm(basis, kan_LVW, out=o)
            before = torch.baddbmm(into_memory_LBW, o, memory_LWW, out=after).tanh_()
        ctx.save_for_backward(s_TLBW, k_TLBW, o_TLBW, basis_TLBV, state_LWX, kan_LVW, memory_LWW)
        last_LBW = before.clone()
        ctx.mark_non_differentiable(last_LBW)
        return o_TLBW, last_LBW

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the five inputs; that of the state before the first bar is not made.

        Raises:
            TrainingError: it is asked for.
        """
        s_TLBW, k_TLBW, o_TLBW, basis_TLBV, state_LWX, kan_LVW, memory_LWW = ctx.saved_tensors
        if ctx.needs_input_grad[1]:
            raise TrainingError(_NO_GRADIENT)
        bars, layers, batch, width = s_TLBW.shape
        do_TLBW = grads[0].contiguous().clone()
        slope_TLBWV, rest_TLBW = kan_slope(s_TLBW), 1.0 - k_TLBW[1:].square()
        dboth_TLBX = s_TLBW.new_empty(bars, layers, batch, 2 * width)
        dv_LBV = s_TLBW.new_empty(layers, batch, kan_LVW.shape[1])
        dv_LBWV = dv_LBV.view(layers, batch, width, -1)
        back_LXW, kan_LWV, memory_t_LWW = (x.transpose(1, 2).contiguous() for x in (state_LWX, kan_LVW, memory_LWW))
        dk_LBW = torch.zeros_like(s_TLBW[0])
        rows = (x.unbind(0) for x in (do_TLBW, slope_TLBWV, rest_TLBW, dboth_TLBX))
        for do, slope, rest, dboth in reversed(list(zip(*rows, strict=True))):
            dmemory = dboth[..., width:]
            torch.mul(dk_LBW, rest, out=dmemory)
            do.baddbmm_(dmemory, memory_t_LWW)
            torch.bmm(do, kan_LWV, out=dv_LBV)
            torch.sum(dv_LBWV.mul_(slope), -1, out=dboth[..., :width])
            torch.bmm(dboth, back_LXW, out=dk_LBW)

        def over_bars(x_TLBY: Tensor) -> Tensor:
            return x_TLBY.transpose(0, 1).reshape(layers, bars * batch, -1)

        do_LNW, dboth_LNX = over_bars(do_TLBW), over_bars(dboth_TLBX)
        return (
            dboth_TLBX[..., :width],
            None,
            over_bars(k_TLBW[:-1]).transpose(1, 2) @ dboth_LNX,
            over_bars(basis_TLBV).transpose(1, 2) @ do_LNW,
            over_bars(o_TLBW).transpose(1, 2) @ dboth_LNX[..., width:],
        )
