"""The allocation heads: one independent network for each of the eight scenarios.

A head sees the market context of the last closed bar and the order's own state, and answers two numbers: how much to
trade if the order goes on, and how likely it is to finish in this bar. The heads share nothing but the context; their
parameters lie in stacked tensors so that all eight run in one product.

Shapes: O = (*X, S): any batch of orders X in each of the scenarios S (8); H = context, J = order state, D = head width.
Inside the heads the scenarios come first, (S, *X, D): then every layer is one batched product without a copy.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lem.execution.fills import Ledger, achieved, benchmark, limits
from lem.execution.orders import SCENARIOS, Benchmark, Side, Target
from lem.execution.step import allowed_end
from lem.execution.terms import Terms
from lem.model.base import Base, EvenBase, ProgrammeBase, even_pace, pace_logit
from lem.universe.model_config import ModelConfig

VOLUME_GUESSES = (1.0, 2.0, 4.0)
"""Guesses of a coming bar's volume, relative to its trailing mean, by which an order may pace itself.

A guess above 1 holds back for the rare bars whose volume is many times the mean: they make most of the VWAP.
"""
STATE_INPUTS = 13 + len(VOLUME_GUESSES)
BASE_INPUTS = 4
"""Further inputs of a head that corrects the theory: what the theory says, impact, and caution, which is the last."""


def scenario_inputs() -> Tensor:
    """Input of one network for all scenarios, (S, 3): 1 for sell, TWAP and notional, 0 for buy, VWAP and quantity."""
    return torch.tensor(
        [
            [float(s.side is Side.SELL), float(s.benchmark is Benchmark.TWAP), float(s.target is Target.NOTIONAL)]
            for s in SCENARIOS
        ]
    )


def order_state(
    ledger: Ledger, terms: Terms, last_close_O: Tensor, k: int | Tensor, base: Base | None = None
) -> Tensor:
    """What the order knows of itself before bar k, in sigma and shares: shape (S, *X, J).

    Args:
        ledger: what has been traded before bar k.
        terms: the orders' terms.
        last_close_O: close of bar k-1 relative to the arrival price (1 before bar 0).
        k: the bar (0-based) of all orders, or of each.
        base: what the theory says; it adds `BASE_INPUTS` inputs.
    """
    running_O = benchmark(ledger)
    scale_O = terms.sign_O / terms.sigma_O
    distance_O = ((last_close_O - running_O) * scale_O).clamp(-10.0, 10.0)
    left_O = (terms.n_O - k).clamp(min=0.0)
    at = torch.as_tensor(k, dtype=distance_O.dtype, device=distance_O.device)
    values = [
        ledger.remaining_O,
        distance_O,
        distance_O / torch.sqrt(at + 1.0),
        ((achieved(ledger) - running_O) * scale_O).clamp(-10.0, 10.0),
        *_benchmark_paces(ledger, terms, k),
        torch.log1p(ledger.weight_O) - torch.log1p(at),
        (at / terms.n_O).clamp(max=1.0),
        (terms.m_O - at).clamp(min=0.0) / terms.n_O,
        torch.log(left_O.clamp(min=1.0)),
        terms.m_O / terms.n_O,
        (terms.m_O >= terms.n_O).to(distance_O.dtype),
        (terms.min_rate_O * terms.n_O).clamp(max=10.0),
        1.0 / (terms.max_rate_O * terms.n_O),
        torch.log1p(terms.risk_aversion_O),
    ]
    if base is not None and base.advised_O is not None and base.margin_O is not None:
        low_O, high_O = limits(ledger, terms, k)
        values += [
            (base.advised_O - even_pace(ledger, terms, low_O, high_O, k)) / 4.0,
            base.margin_O.clamp(-2.0, 2.0),
            terms.whole_impact_O,
            terms.caution_O,
        ]
    first_SX = [value.movedim(-1, 0) for value in torch.broadcast_tensors(*values)]
    return torch.stack(first_SX, dim=-1)


def _benchmark_paces(ledger: Ledger, terms: Terms, k: int | Tensor) -> list[Tensor]:
    """Paces at which the order keeps the same share for after bar k as its benchmark does, for each volume guess.

    As differences to the even pace, divided by 4.
    """
    low_O, high_O = limits(ledger, terms, k)
    even_O = even_pace(ledger, terms, low_O, high_O, k)
    left_O = (terms.n_O - k).clamp(min=1.0)
    paces = []
    for guess in VOLUME_GUESSES:
        # In a TWAP each bar has the same weight, whatever its volume.
        bar_O = torch.where(terms.vwap_O, guess, 1.0)
        after_O = (left_O - 1.0) * bar_O / (ledger.weight_O + left_O * bar_O)
        paces.append((pace_logit(ledger.remaining_O - after_O, low_O, high_O, 1e-2) - even_O) / 4.0)
    return paces


def within_limits(
    pace_O: Tensor, finish_O: Tensor, ledger: Ledger, terms: Terms, k: int | Tensor, base: Base
) -> tuple[Tensor, Tensor]:
    """Slice and probability to finish, within the order's limits, from a head's two logits and what they correct."""
    low_O, high_O = limits(ledger, terms, k)
    low_O = low_O if base.least_O is None else base.least_O
    slice_O = low_O + (high_O - low_O) * torch.sigmoid(pace_O.to(low_O.dtype) + base.pace_O)
    finish_O = torch.sigmoid(finish_O.to(low_O.dtype) + base.finish_O)
    return slice_O, allowed_end(finish_O, ledger, terms, k)


LEAK = 0.05
"""Slope of the leaky ReLU below 0. With slope 0, a head whose units all go silent early in training stays silent."""


def _activate(x: Tensor) -> Tensor:
    """Leaky ReLU, in place."""
    return torch.ops.aten.leaky_relu_(x, LEAK)


def _back(grad: Tensor, output: Tensor) -> Tensor:
    """The gradient of the activation's input, in place, from the gradient of its output and the output."""
    return torch.ops.aten.leaky_relu_backward.grad_input(grad, output, LEAK, True, grad_input=grad)


class _Perceptron(torch.autograd.Function):
    """One hidden layer with leaky ReLU, of all scenarios at once: (S, *X, J) -> (S, R, 2).

    Written by hand to save memory: the activation works in place, and a bar's context is broadcast over the orders that
    share it instead of copied.
    """

    @staticmethod
    def forward(
        ctx: Any, read_SXD: Tensor, state_SXJ: Tensor, state_SJD: Tensor, out_SD2: Tensor, out_bias_S2: Tensor
    ) -> Tensor:
        state_SRJ = state_SXJ.flatten(1, -2)
        hidden_SRD = torch.bmm(state_SRJ, state_SJD)
        hidden_SRD.unflatten(1, state_SXJ.shape[1:-1]).add_(read_SXD)
        _activate(hidden_SRD)
        ctx.save_for_backward(state_SRJ, hidden_SRD, state_SJD, out_SD2)
        ctx.shapes = read_SXD.shape, state_SXJ.shape
        return torch.bmm(hidden_SRD, out_SD2).add_(out_bias_S2.unsqueeze(1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        state_SRJ, hidden_SRD, state_SJD, out_SD2 = ctx.saved_tensors
        read_shape, state_shape = ctx.shapes
        dout_SR2 = grads[0].contiguous()
        dhidden_SRD = _back(torch.bmm(dout_SR2, out_SD2.transpose(1, 2)), hidden_SRD)
        return (
            dhidden_SRD.unflatten(1, state_shape[1:-1]).sum_to_size(read_shape) if ctx.needs_input_grad[0] else None,
            torch.bmm(dhidden_SRD, state_SJD.transpose(1, 2)).view(state_shape) if ctx.needs_input_grad[1] else None,
            torch.bmm(state_SRJ.transpose(1, 2), dhidden_SRD),
            torch.bmm(hidden_SRD.transpose(1, 2), dout_SR2),
            dout_SR2.sum(1),
        )


class AllocationHeads(nn.Module):
    """Networks from context and order state to pace logit and finish logit: one a scenario, or one that is told it.

    Args:
        config: sizes, whether the networks are independent, and what they correct.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        scenarios, context, width, inputs = len(SCENARIOS), config.hidden, config.head_hidden, STATE_INPUTS
        theory = config.base == "programme"
        self.base: nn.Module = ProgrammeBase() if theory else EvenBase()
        inputs += BASE_INPUTS * theory
        self.scenario_S3: Tensor | None
        if not config.independent_heads:
            scenarios, inputs = 1, inputs + scenario_inputs().shape[1]
        told_S3 = None if config.independent_heads else scenario_inputs()
        self.register_buffer("scenario_S3", told_S3, persistent=False)

        def weight(inputs: int, outputs: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(scenarios, inputs, outputs) / math.sqrt(inputs))

        self.context_SHD = weight(context, width)
        self.state_SJD = weight(inputs, width)
        self.bias_SD = nn.Parameter(torch.zeros(scenarios, width))
        self.cautious = theory
        self.out_SD2 = nn.Parameter(torch.zeros(scenarios, width, 4 if theory else 2))
        self.out_bias_S2 = nn.Parameter(torch.tensor([0.0] * 4 if theory else [0.0, -1.0]).repeat(scenarios, 1))

    def read_context(self, context_XH: Tensor) -> Tensor:
        """The context's part of every head's first layer, (*X, H) -> (S, *X, D): made once a bar for all orders."""
        rows_RH = context_XH.flatten(0, -2)
        read_SRD = rows_RH @ self.context_SHD + self.bias_SD.unsqueeze(1)
        return read_SRD.expand(len(SCENARIOS), -1, -1).unflatten(1, context_XH.shape[:-1])

    def forward(self, read_SXD: Tensor, state_SXJ: Tensor) -> tuple[Tensor, Tensor]:
        """Pace and finish logits, each (*X, S).

        Args:
            read_SXD: from `read_context`; a dimension is 1 where several orders share a bar's context.
            state_SXJ: from `order_state`.
        """
        rows, caution_at = state_SXJ.shape[1:-1], state_SXJ.shape[-1] - 1
        if self.scenario_S3 is not None:
            told_S3 = self.scenario_S3.to(state_SXJ.dtype)[(slice(None),) + (None,) * len(rows)]
            state_SXJ = torch.cat([state_SXJ, told_S3.expand(-1, *rows, -1)], dim=-1)
        weights = (self.state_SJD, self.out_SD2, self.out_bias_S2)
        each = (weight.expand(len(state_SXJ), *weight.shape[1:]) for weight in weights)
        out_SR2 = _Perceptron.apply(read_SXD, state_SXJ, *each)
        out = out_SR2.unflatten(1, rows).movedim(0, -2)
        if self.cautious:
            caution = state_SXJ[..., caution_at].movedim(0, -1).unsqueeze(-1)
            # What the mean alone asks for is learnt from the orders that ask for nothing else.
            neutral = torch.where(caution > 0, out[..., :2].detach(), out[..., :2])
            out = neutral + caution * out[..., 2:]
        pace, finish = out.unbind(-1)
        return pace, finish

    def decide(
        self, read_SXD: Tensor, ledger: Ledger, terms: Terms, last_close_O: Tensor, k: int | Tensor
    ) -> tuple[Tensor, Tensor]:
        """Slice and probability to finish in bar k, within the order's limits: each of shape O = (*X, S).

        Both correct the base: an untrained head trades by the theory, or without one a TWAP.
        """
        base = self.base(ledger, terms, last_close_O, k)
        state_SXJ = order_state(ledger, terms, last_close_O, k, base).to(self.out_bias_S2.dtype)
        pace, finish = self(read_SXD, state_SXJ)
        return within_limits(pace, finish, ledger, terms, k, base)
