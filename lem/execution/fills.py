"""Fills, benchmarks and gain: the one definition that training and backtest share.

A `Ledger` holds what an order knows of its own execution after k bars. `limits` says what may be traded in the next
bar, `advance` trades it at the bar's volume-weighted price, `gain` measures the result. Everything is a torch function
of tensors of any one shape, so that the trainer can differentiate through it and the simulator can run it in float64.

Prices are relative to the arrival price and sizes are shares of the parent order, which keeps float32 accurate.
Source: design of Guéant, Pu, Royer (arXiv 1312.5617) and LEMs (arXiv 2509.25211), eq. for A, B and slippage.

Shapes: every tensor has the shape of the batch of orders, written O.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lem.execution.orders import TOLERANCE
from lem.execution.terms import Terms


@dataclass(frozen=True)
class Ledger:
    """What has been traded and what the market did, after k bars.

    With slices x of a quantity or y of a notional, prices P, and the benchmark's weights w (volume for VWAP, 1 for
    TWAP), summed over the bars.

    Args:
        remaining_O: share of the order still to trade.
        units_O: what was traded: sum x of a quantity, sum y / P of a notional.
        cash_O: what was paid or received for it: sum x P of a quantity, sum y of a notional.
        weight_O: sum w.
        weighted_O: sum w P.
    """

    remaining_O: Tensor
    units_O: Tensor
    cash_O: Tensor
    weight_O: Tensor
    weighted_O: Tensor


def open_ledger(terms: Terms, shape: torch.Size) -> Ledger:
    """A ledger before the first bar."""
    zero_O = torch.zeros(shape, dtype=terms.sigma_O.dtype, device=terms.sigma_O.device)
    return Ledger(zero_O + 1.0, zero_O, zero_O, zero_O, zero_O)


def limits(ledger: Ledger, terms: Terms, k: int | Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest share that may be traded in bar k (0-based) if the order goes on.

    x_k lies in [max(min_rate, R_k - max_rate * bars_left_after), min(R_k, max_rate)], so what remains can always be
    traded in the bars that remain.

    Args:
        ledger: of the bars before k.
        terms: of the orders.
        k: one bar for all orders, or each order's own; likewise in `may_finish` and `must_finish`.
    """
    left_O = (terms.n_O - (k + 1)).clamp(min=0.0)
    high_O = torch.minimum(ledger.remaining_O, terms.max_rate_O)
    low_O = torch.maximum(terms.min_rate_O, ledger.remaining_O - terms.max_rate_O * left_O)
    return torch.minimum(low_O, high_O), high_O


def may_finish(ledger: Ledger, terms: Terms, k: int | Tensor) -> Tensor:
    """Bool: the order may trade all that remains in bar k and end there (k + 1 >= m, the cap permitting)."""
    return (terms.m_O <= k + 1) & (ledger.remaining_O <= terms.max_rate_O + TOLERANCE)


def must_finish(ledger: Ledger, terms: Terms, k: int | Tensor) -> Tensor:
    """Bool: bar k is the order's last.

    Either its time is over, or it may end and what remains is no more than the smallest slice.
    """
    last_slice_O = terms.min_rate_O.clamp(min=TOLERANCE)
    return (terms.n_O <= k + 1) | ((terms.m_O <= k + 1) & (ledger.remaining_O <= last_slice_O))


def advance(
    ledger: Ledger, terms: Terms, slice_O: Tensor, price_O: Tensor, volume_O: Tensor, fill_O: Tensor | None = None
) -> Ledger:
    """The ledger after a bar in which `slice_O` of the order traded.

    Args:
        ledger: before the bar.
        terms: of the orders.
        slice_O: share that trades.
        price_O: the bar's volume-weighted price, which enters the benchmark.
        volume_O: the bar's volume, relative to the mean at arrival.
        fill_O: price of our own trade; `price_O` where there are no costs.
    """
    fill_O = price_O if fill_O is None else fill_O
    one_O = torch.ones_like(fill_O)
    weight_O = torch.where(terms.vwap_O, volume_O, 1.0)
    return Ledger(
        remaining_O=ledger.remaining_O - slice_O,
        units_O=ledger.units_O + slice_O * torch.where(terms.notional_O, 1.0 / fill_O, one_O),
        cash_O=ledger.cash_O + slice_O * torch.where(terms.notional_O, one_O, fill_O),
        weight_O=ledger.weight_O + weight_O,
        weighted_O=ledger.weighted_O + weight_O * price_O,
    )


def benchmark(ledger: Ledger) -> Tensor:
    """B: the running VWAP or TWAP, relative to the arrival price; 1 before the first bar."""
    # A mask that adds, not torch.where: training differentiates through these functions, and this is much faster.
    none_O = (ledger.weight_O <= 0).to(ledger.weight_O.dtype)
    return ledger.weighted_O / (ledger.weight_O + none_O) + none_O


def achieved(ledger: Ledger) -> Tensor:
    """A: average price of what traded, relative to the arrival price; the benchmark while nothing has traded."""
    none_O = (ledger.units_O <= 0).to(ledger.units_O.dtype)
    return ledger.cash_O / (ledger.units_O + none_O) + none_O * benchmark(ledger)


def gain(ledger: Ledger, terms: Terms) -> Tensor:
    """The gain side * (B - A) / B, a fraction: times 1e4 it is in bps, over sigma in sigma. Positive is good."""
    return signed_gain(ledger, terms.sign_O)


def signed_gain(ledger: Ledger, sign_O: Tensor) -> Tensor:
    """The same where of the terms only the side is known: 1 of a buy, -1 of a sell."""
    benchmark_O = benchmark(ledger)
    return sign_O * (benchmark_O - achieved(ledger)) / benchmark_O
