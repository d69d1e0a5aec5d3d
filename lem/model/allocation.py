"""The allocation heads: one independent network for each of the eight scenarios.

A head sees the market context of the last closed bar and the order's own state, and answers two numbers: how much to
trade if the order goes on, and how likely it is to finish in this bar. The heads share nothing but the context; their
parameters lie in stacked tensors so that all eight run in one product.

Shapes: ... = any batch of orders, S = scenarios (8), H = context, J = order state, D = head width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lem.execution import Ledger, Terms, achieved, benchmark, limits, may_finish, must_finish
from lem.model.config import ModelConfig
from lem.orders import SCENARIOS

STATE_INPUTS = 14


def order_state(ledger: Ledger, terms: Terms, last_close_O: Tensor, k: int) -> Tensor:
    """What the order knows of itself before bar k, in sigma and shares: shape (*O, J).

    Args:
        last_close_O: close of bar k-1 relative to the arrival price (1 before bar 0).
    """
    running_O = benchmark(ledger)
    scale_O = terms.sign_O / terms.sigma_O
    distance_O = (last_close_O - running_O) * scale_O
    left_O = (terms.n_O - k).clamp(min=0.0)
    values = (
        ledger.remaining_O,
        distance_O,
        distance_O / math.sqrt(k + 1),
        (achieved(ledger, terms) - running_O) * scale_O,
        ledger.remaining_O - left_O / terms.n_O,
        torch.log1p(ledger.weight_O) - math.log1p(k),
        k / terms.n_O,
        (terms.m_O - k).clamp(min=0.0) / terms.n_O,
        torch.log(left_O.clamp(min=1.0)),
        terms.m_O / terms.n_O,
        (terms.m_O >= terms.n_O).to(distance_O.dtype),
        terms.min_rate_O * terms.n_O,
        1.0 / (terms.max_rate_O * terms.n_O),
        torch.log1p(terms.risk_aversion_O),
    )
    return torch.stack(torch.broadcast_tensors(*values), dim=-1).clamp(-10.0, 10.0)


class AllocationHeads(nn.Module):
    """Eight independent networks context + order state -> (pace logit, finish logit)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        scenarios, context, width = len(SCENARIOS), config.hidden, config.head_hidden

        def weight(inputs: int, outputs: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(scenarios, inputs, outputs) / math.sqrt(inputs))

        self.context_SHD = weight(context, width)
        self.state_SJD = weight(STATE_INPUTS, width)
        self.bias_SD = nn.Parameter(torch.zeros(scenarios, width))
        self.middle_SDD = weight(width, width)
        self.middle_bias_SD = nn.Parameter(torch.zeros(scenarios, width))
        self.out_SD2 = nn.Parameter(torch.zeros(scenarios, width, 2))
        self.out_bias_S2 = nn.Parameter(torch.tensor([0.0, -1.0]).repeat(scenarios, 1))
        self.dropout = nn.Dropout(config.dropout)

    def read_context(self, context_XH: Tensor) -> Tensor:
        """The context's part of every head's first layer, (..., H) -> (..., S, D): once per bar, for all orders."""
        return torch.einsum("...h,shd->...sd", context_XH, self.context_SHD) + self.bias_SD

    def forward(self, read_XSD: Tensor, state_XSJ: Tensor) -> tuple[Tensor, Tensor]:
        """Pace and finish logits, each (..., S)."""
        first = F.silu(read_XSD + torch.einsum("...sj,sjd->...sd", state_XSJ, self.state_SJD))
        second = F.silu(torch.einsum("...sd,sde->...se", self.dropout(first), self.middle_SDD) + self.middle_bias_SD)
        pace, finish = (torch.einsum("...sd,sdo->...so", second, self.out_SD2) + self.out_bias_S2).unbind(-1)
        return pace, finish

    def decide(
        self, read_XSD: Tensor, ledger: Ledger, terms: Terms, last_close_O: Tensor, k: int
    ) -> tuple[Tensor, Tensor]:
        """Slice and probability to finish in bar k, within the order's limits: each (..., S).

        The pace is a correction of the even pace over the bars left, so that an untrained head trades a TWAP.
        """
        dtype = self.out_bias_S2.dtype
        pace, finish = self(read_XSD, order_state(ledger, terms, last_close_O, k).to(dtype))
        low_O, high_O = limits(ledger, terms, k)
        room_O = high_O - low_O
        even_O = ledger.remaining_O / (terms.n_O - k).clamp(min=1.0)
        prior_O = ((even_O - low_O) / room_O.clamp(min=1e-6)).clamp(1e-3, 1 - 1e-3)
        slice_O = low_O + room_O * torch.sigmoid(pace.to(low_O.dtype) + torch.logit(prior_O))
        probability_O = torch.sigmoid(finish.to(low_O.dtype))
        probability_O = torch.where(may_finish(ledger, terms, k), probability_O, 0.0)
        return slice_O, torch.where(must_finish(ledger, terms, k), 1.0, probability_O)
