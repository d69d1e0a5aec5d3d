"""The objective: what an order keeps after costs, as an exact expectation over its end, without soft masks.

The market does not react to us, so on the path that has not ended everything is deterministic:
E[f(gain)] = sum_k pi_k prod_{j<k} (1 - pi_j) f(gain if the order finished in bar k). One pass gives the value and its
exact gradient.

Two things are asked of an order that has something to time (m < N), both in sigma and after impact:

- **The mean, without the martingale.** A gain is mostly noise that no strategy knows beforehand: what remains times the
  price's next moves. A mean-only objective learns that noise by heart. So in the mean the gain is replaced by its
  expectation on the path up to the decision, were the price a martingale from there on: finishing in bar k is worth
  side * ((W B + v C) / (W + v) - C) / sigma less the impact, with B and W the benchmark and its weight before bar k, C
  the last close, v the weight of bar k. Under a martingale its mean is that of the gain, for every policy, at a
  fraction of the variance. `direction` mixes the true gain in again: how far a direction may be believed. Orders
  against VWAP need some of it, since the weight v that their benchmark gives to the bar is known only after it.
- **The risk**: lambda/2 E[h(g)] of the true gain g, with the shortfall h (`lem.execution.worth`) or g^2 (the paper's).

Where m = N nothing can be timed: the order tracks its benchmark, E|gain before costs| and the impact are minimised.

Slice k reads the context of bar k-1: the last bar that had closed when bar k opened.

Shapes: B = sequences, A = arrivals of a sequence, S = scenarios, K = bars of the horizon, T = bars, H = context,
D = head width, O = (B, A, S), or (B, A, M, S) with several orders M at each arrival.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lem.execution.costs import charged_price
from lem.execution.fills import Ledger, gain, open_ledger
from lem.execution.step import fork
from lem.execution.terms import Terms
from lem.execution.worth import shortfall
from lem.model.lem import LEM
from lem.universe.training_config import TrainingConfig


@dataclass(frozen=True)
class Tape:
    """The orders' bars, with prices relative to the arrival price (the close before bar 0).

    Args:
        price_BAK: VWAP of bar k.
        volume_BAK: volume of bar k, relative to the mean at arrival.
        last_close_BAK: close of bar k-1, so 1 at k = 0.
        sigma_BA: per-bar volatility at arrival, log units.
        accepted_BA: bool, arrivals without a gap.
    """

    price_BAK: Tensor
    volume_BAK: Tensor
    last_close_BAK: Tensor
    sigma_BA: Tensor
    accepted_BA: Tensor


@dataclass(frozen=True)
class Outcome:
    """Expectations over the end of each order, g the gain after impact in sigma.

    Args:
        mean_O: E[g].
        expected_O: E of g without the martingale.
        square_O: E[g^2].
        shortfall_O: E[h(g)], h the shortfall of `lem.execution.worth`.
        absolute_O: E|g before costs|.
        impact_O: E of what impact takes.
    """

    mean_O: Tensor
    expected_O: Tensor
    square_O: Tensor
    shortfall_O: Tensor
    absolute_O: Tensor
    impact_O: Tensor


class _Shifted(torch.autograd.Function):
    """What the heads read at bar k of the orders: `arrivals` bars of a sequence, `every` apart, from first + k - 1 on.

    The backward pass adds all K gradients up in one tensor; that of a plain index makes a tensor of zeros for each.
    """

    @staticmethod
    def forward(ctx: Any, read_SBTD: Tensor, first: int, arrivals: int, every: int, horizon: int) -> tuple[Tensor, ...]:
        span = (arrivals - 1) * every + 1
        ctx.first, ctx.span, ctx.every, ctx.shape = first, span, every, read_SBTD.shape
        return tuple(read_SBTD.narrow(2, first + k - 1, span)[:, :, ::every].contiguous() for k in range(horizon))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        total_SBTD = grads[0].new_zeros(ctx.shape)
        for k, grad in enumerate(grads):
            total_SBTD.narrow(2, ctx.first + k - 1, ctx.span)[:, :, :: ctx.every].add_(grad)
        return total_SBTD, None, None, None, None


def expected_outcome(model: LEM, context_BTH: Tensor, first: int, tape: Tape, terms: Terms, every: int = 1) -> Outcome:
    """Roll every order forward on the path that has not ended.

    Args:
        model: whose heads decide.
        context_BTH: contexts of the sequence.
        first: index of the first arrival's bar 0 in the sequence.
        tape: the orders' bars.
        terms: of shape O or broadcastable; its sigma is taken from the tape.
        every: bars from one arrival to the next.
    """
    arrivals, horizon = tape.price_BAK.shape[1:]
    shared = terms.m_O.dim() - 2  # dimensions of O after (B, A)

    def each(values_BA: Tensor) -> Tensor:
        return values_BA[(...,) + (None,) * shared]

    terms = replace(terms, sigma_O=each(tape.sigma_BA))
    reads = _Shifted.apply(model.heads.read_context(context_BTH), first, arrivals, every, horizon)
    # Fees and spread shift every schedule alike: what can be learnt is the impact.
    terms = replace(terms, fixed_O=torch.zeros_like(terms.fixed_O))
    ledger = charged = open_ledger(terms, torch.broadcast_shapes(terms.sigma_O.shape, terms.m_O.shape))
    alive = torch.ones_like(ledger.remaining_O)
    sums = [torch.zeros_like(alive)] * len(fields(Outcome))
    bars = zip(*(x.unbind(-1) for x in (tape.price_BAK, tape.volume_BAK, tape.last_close_BAK)), reads, strict=True)
    for k, (price_BA, volume_BA, last_close_BA, read_SBAD) in enumerate(bars):
        price, volume, last_close = each(price_BA), each(volume_BA), each(last_close_BA)
        read = read_SBAD if shared == 1 else read_SBAD.unsqueeze(3)
        slice_O, finish_O = model.heads.decide(read, ledger, terms, last_close, k)
        known = terms.sign_O * (expected_benchmark(ledger, terms, last_close, volume) - last_close) / terms.sigma_O
        fill = partial(charged_price, terms, price_O=price, volume_O=volume)
        ended_charged, charged = fork(charged, terms, slice_O, price, volume, fill)
        ended, ledger = fork(ledger, terms, slice_O, price, volume)
        gross, g = (gain(one, terms) / terms.sigma_O for one in (ended, ended_charged))
        impact = gross - g
        values = (g, known - impact, g**2, shortfall(g), gross.abs(), impact)
        here = alive * finish_O
        sums = [total + here * value for total, value in zip(sums, values, strict=True)]
        alive = alive * (1.0 - finish_O)
    return Outcome(*sums)


def expected_benchmark(ledger: Ledger, terms: Terms, last_close_O: Tensor, volume_O: Tensor) -> Tensor:
    """The benchmark after a bar whose price is the last close: what is expected of it where prices are a martingale.

    Args:
        ledger: before the bar.
        terms: of the orders.
        last_close_O: close of the bar before.
        volume_O: the bar's volume, relative to the mean at arrival.
    """
    weight_O = torch.where(terms.vwap_O, volume_O, 1.0)
    return (ledger.weighted_O + weight_O * last_close_O) / (ledger.weight_O + weight_O)


@dataclass(frozen=True)
class Counts:
    """Numbers of a batch's orders, as scalar tensors; 1 instead of 0, since sums are divided by them.

    Args:
        orders: without a gap.
        timed: without a gap, and with something to time (m < N).
    """

    orders: Tensor
    timed: Tensor


def count_orders(terms: Terms, accepted_BA: Tensor, shape_O: torch.Size) -> Counts:
    """The counts of a batch; they follow from what was drawn, without any outcome.

    Args:
        terms: of the orders.
        accepted_BA: bool, arrivals without a gap.
        shape_O: of the orders.
    """
    weight_O = _weights(accepted_BA, shape_O).to(terms.m_O.dtype)
    return Counts(weight_O.sum().clamp(min=1.0), (weight_O * (terms.m_O < terms.n_O)).sum().clamp(min=1.0))


def _weights(accepted_BA: Tensor, shape_O: torch.Size) -> Tensor:
    return accepted_BA[(...,) + (None,) * (len(shape_O) - 2)].expand(shape_O)


def objective(
    outcome: Outcome, terms: Terms, accepted_BA: Tensor, config: TrainingConfig, counts: Counts | None = None
) -> tuple[Tensor, Tensor]:
    """Loss to minimise and the mean gain in sigma of the orders that have something to time, both scalars.

    Args:
        outcome: of the orders.
        terms: of the orders.
        accepted_BA: bool, arrivals without a gap; other orders do not count.
        config: how far directions are believed, what risk is, and `tracking_weight`, the weight of orders with m = N.
        counts: what the sums are divided by; if left out, the counts of these orders. Where these are a share of a
            batch, take the counts of the whole batch: then losses and gains of all shares add up to those of the batch.
    """
    counts = counts or count_orders(terms, accepted_BA, outcome.mean_O.shape)
    fixed_O = (terms.m_O >= terms.n_O).expand_as(outcome.mean_O)
    believed_O = torch.where(terms.vwap_O, config.direction_vwap, config.direction).to(outcome.mean_O)
    mean_O = outcome.expected_O + believed_O * (outcome.mean_O - outcome.expected_O)
    risk_O = outcome.shortfall_O if config.risk == "shortfall" else outcome.square_O
    # Divided by 1 + lambda, so that those that fear most do not decide alone what is learnt.
    timing = (mean_O - terms.risk_aversion_O / 2 * risk_O) / (1.0 + terms.risk_aversion_O)
    tracking = config.tracking_weight * outcome.absolute_O + outcome.impact_O
    value = torch.where(fixed_O, -tracking, timing)
    weight = _weights(accepted_BA, value.shape).to(value.dtype)
    mean_gain = (outcome.mean_O * (weight * ~fixed_O)).sum() / counts.timed
    return -(value * weight).sum() / counts.orders, mean_gain.detach()
