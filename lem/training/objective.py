"""The objective: the exact expectation over the end of the order, without soft masks.

The market does not react to us, so on the path that has not ended everything is deterministic:
E[f(gain)] = sum_k pi_k prod_{j<k} (1 - pi_j) f(gain if the order finished in bar k). One pass gives the value and its
exact gradient. Maximised is E[g] - lambda/2 E[g^2] with g in sigma; where m = N nothing can be timed and the order
tracks: E|g| is minimised.

Slice k reads the context of bar k-1: the last bar that had closed when bar k opened.

Shapes: B = sequences, A = arrivals of a sequence, S = scenarios, K = bars of the horizon, T = bars, H = context.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lem.execution import Terms, advance, gain, open_ledger
from lem.model.lem import LEM


@dataclass(frozen=True)
class Tape:
    """Prices of the orders' bars, relative to the arrival price (the close before bar 0); volumes relative to their
    mean.

    price_BAK, volume_BAK: of bar k. last_close_BAK: close of bar k-1, so 1 at k = 0.
    sigma_BA: per-bar volatility at arrival (log units). accepted_BA: bool, arrivals without a gap.
    """

    price_BAK: Tensor
    volume_BAK: Tensor
    last_close_BAK: Tensor
    sigma_BA: Tensor
    accepted_BA: Tensor


@dataclass(frozen=True)
class Outcome:
    """Expectations over the end of each order: mean_BAS E[g], square_BAS E[g^2], absolute_BAS E|g|, g in sigma."""

    mean_BAS: Tensor
    square_BAS: Tensor
    absolute_BAS: Tensor


def expected_outcome(model: LEM, context_BTH: Tensor, first: int, tape: Tape, terms: Terms) -> Outcome:
    """Roll every order forward on the path that has not ended.

    Args:
        context_BTH: contexts of the sequence. first: index of the first arrival's bar 0 in it.
        terms: of shape (B, A, S) or broadcastable; its sigma is taken from the tape.
    """
    arrivals, horizon = tape.price_BAK.shape[1:]
    terms = replace(terms, sigma_O=tape.sigma_BA[..., None])
    read_BTSD = model.heads.read_context(context_BTH)
    ledger = open_ledger(terms, torch.broadcast_shapes(terms.sigma_O.shape, terms.m_O.shape))
    alive = torch.ones_like(ledger.remaining_O)
    mean = square = absolute = torch.zeros_like(alive)
    for k in range(horizon):
        read_BASD = read_BTSD[:, first + k - 1 : first + k - 1 + arrivals]
        price, volume = tape.price_BAK[..., k, None], tape.volume_BAK[..., k, None]
        slice_BAS, finish_BAS = model.heads.decide(read_BASD, ledger, terms, tape.last_close_BAK[..., k, None], k)
        ended = advance(ledger, terms, ledger.remaining_O, price, volume)
        g = gain(ended, terms) / terms.sigma_O
        here = alive * finish_BAS
        mean, square, absolute = mean + here * g, square + here * g**2, absolute + here * g.abs()
        alive = alive * (1.0 - finish_BAS)
        ledger = advance(ledger, terms, slice_BAS, price, volume)
    return Outcome(mean, square, absolute)


def objective(outcome: Outcome, terms: Terms, accepted_BA: Tensor, tracking_weight: float) -> tuple[Tensor, Tensor]:
    """Loss to minimise and the mean gain in sigma of the orders that have something to time, both scalars."""
    fixed_BAS = (terms.m_O >= terms.n_O).expand_as(outcome.mean_BAS)
    timing = outcome.mean_BAS - terms.risk_aversion_O / 2 * outcome.square_BAS
    value = torch.where(fixed_BAS, -tracking_weight * outcome.absolute_BAS, timing)
    weight = accepted_BA[..., None].to(value.dtype).expand_as(value)
    timed = weight * ~fixed_BAS
    mean_gain = (outcome.mean_BAS * timed).sum() / timed.sum().clamp(min=1.0)
    return -(value * weight).sum() / weight.sum().clamp(min=1.0), mean_gain.detach()
