"""The simulator: executes parent orders with any strategy, on the fills and benchmarks of lem.execution.

Shapes: A = arrivals, M = limits (one order for each value of m), S = scenarios, O = (A, M, S), K = bars of the horizon,
H = context.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lem.errors import OrderError
from lem.execution.costs import charged_price, impact_of, with_costs
from lem.execution.costs_config import CostsConfig
from lem.execution.fills import achieved, benchmark, gain, open_ledger
from lem.execution.orders import check_limits
from lem.execution.step import book, step
from lem.execution.terms import Terms
from lem.numerics import reproducible
from lem.strategies.base import Strategy, View


@dataclass(frozen=True)
class Market:
    """The bars of A arrivals, float64, prices relative to the arrival price.

    Args:
        price_AK: VWAP of bar k.
        volume_AK: volume of bar k, relative to the mean at arrival.
        last_close_AK: close of bar k-1.
        sigma_A: per-bar volatility at arrival, log units.
        accepted_A: bool; no gap in the order's bars.
        context_AKH: context of bar k-1; None for rules only.
        slot_AK: int64, place of bar k on the clock (`lem.data.features.season_slots`); None on a market without a
            calendar.
    """

    price_AK: Tensor
    volume_AK: Tensor
    last_close_AK: Tensor
    sigma_A: Tensor
    accepted_A: Tensor
    context_AKH: Tensor | None = None
    slot_AK: Tensor | None = None


@dataclass(frozen=True)
class Executions:
    """What became of each order, shape (A, M, S).

    Prices are relative to the arrival price, gains are fractions of the benchmark.

    Args:
        gain_O: before costs.
        net_gain_O: of the same slices after costs; the bits of `gain_O` where there are no costs.
        achieved_O: average price before costs.
        benchmark_O: VWAP or TWAP up to the order's end.
        end_bar_O: bars used, 1 to N.
        slices_KO: share traded in each bar; they sum to 1.
    """

    gain_O: Tensor
    net_gain_O: Tensor
    achieved_O: Tensor
    benchmark_O: Tensor
    end_bar_O: Tensor
    slices_KO: Tensor


def check_terms(terms: Terms, horizon: int) -> None:
    """Refuse orders that cannot be executed on a market.

    Args:
        terms: of the orders.
        horizon: bars of the market.

    Raises:
        OrderError: names the first infeasible order's limits and what is allowed.
    """
    columns = torch.broadcast_tensors(terms.m_O, terms.n_O, terms.min_rate_O, terms.max_rate_O, terms.risk_aversion_O)
    for m, n, low, high, risk in torch.unique(torch.stack([c.flatten().double() for c in columns]), dim=1).T.tolist():
        check_limits(m, n, low, high, risk)
        if n > horizon:
            raise OrderError(f"max_bars {int(n)} on a market of {horizon} bars; allowed: at most {horizon}")


@reproducible()
def simulate(
    strategy: Strategy, market: Market, terms: Terms, costs: CostsConfig | None = None, impact_decay: float = 0.0
) -> Executions:
    """Execute orders with one strategy.

    Limits, end times and the budget hold whatever the strategy asks for (`lem.execution.step`). One thread does it: the
    bits do not depend on the machine's cores, and on tensors of this size a second thread costs more than it gains.

    With costs, the participation cap bounds the rate per bar, and a second ledger books what was paid. The strategy
    sees the fills before costs, so what they cost changes none of its decisions.

    Impact is temporary: a slice alone pays for it. With `impact_decay` it is transient: what a slice moved the price by
    decays exponentially, and later slices of the order pay what is left of it (the exponential kernel of Obizhaeva and
    Wang, "Optimal trading strategy and supply/demand dynamics", 2013). No strategy knows of that, and the benchmark is
    the market's without us. It shows how far a result rests on the assumption.

    Args:
        strategy: what decides.
        market: of the arrivals.
        terms: of the orders, broadcastable to (A, M, S).
        costs: none if left out.
        impact_decay: bars after which 1 / e of a slice's impact is left; 0 leaves nothing of it.

    Raises:
        OrderError: infeasible limits, an order too large for its participation cap, a decay that is negative, not
            finite or without costs, or the strategy asked for something that is not finite.
    """
    if not 0.0 <= impact_decay < math.inf or (impact_decay and costs is None):
        raise OrderError(f"impact_decay {impact_decay:g}; allowed: finite, at least 0, and 0 where there are no costs")
    horizon = market.price_AK.shape[1]
    check_terms(terms, horizon)
    if costs is not None:
        terms = with_costs(terms, costs)
    terms = replace(terms, sigma_O=market.sigma_A[:, None, None])
    parts = (terms.sigma_O, terms.m_O, terms.n_O, terms.sign_O, terms.max_rate_O, terms.min_rate_O)
    # Torch's own imports a computer algebra for this, a second long.
    shape = torch.Size(np.broadcast_shapes(*(p.shape for p in parts)))
    ledger = charged = open_ledger(terms, shape)
    active_O = torch.ones(shape, dtype=torch.bool)
    end_O = torch.zeros(shape, dtype=torch.int64)
    left_O = torch.zeros(shape, dtype=torch.float64) if impact_decay else None
    slices = []
    for k in range(horizon):
        last_close_A11 = market.last_close_AK[:, k, None, None]
        context_AH = None if market.context_AKH is None else market.context_AKH[:, k]
        decision = strategy.decide(View(k, terms, ledger, last_close_A11, context_AH, market.slot_AK))
        if not (torch.isfinite(decision.slice_O) | ~active_O).all():
            raise OrderError(f"strategy {strategy.name}: a slice of bar {k} is not finite")
        taken = step(ledger, terms, k, decision.slice_O, decision.finish_O)
        slice_O = torch.where(active_O, taken.slice_O, 0.0)
        bar = slice_O, market.price_AK[:, k, None, None], market.volume_AK[:, k, None, None]
        ledger = book(ledger, terms, *bar, active_O)
        if costs is not None:
            charged = book(charged, terms, *bar, active_O, charged_price(terms, *bar, left_O))
            if left_O is not None:
                own_O = torch.where(slice_O > 0, impact_of(terms, slice_O, bar[2]), 0.0)
                left_O = (left_O + own_O) * math.exp(-1.0 / impact_decay)
        end_O += active_O
        active_O = active_O & ~taken.ends_O
        slices.append(slice_O)
    slices_KO = torch.stack(slices)
    assert not active_O.any()
    assert torch.allclose(slices_KO.sum(0), torch.ones(shape, dtype=slices_KO.dtype), atol=1e-9)
    gain_O = gain(ledger, terms)
    net_gain_O = gain_O if costs is None else gain(charged, terms)
    return Executions(gain_O, net_gain_O, achieved(ledger), benchmark(ledger), end_O, slices_KO)
