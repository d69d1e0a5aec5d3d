"""The perfect-foresight oracle: the most that a strategy could have gained on an order if it knew every price.

Let bar j be the last in which the order trades. The order then ends in bar j; if j comes before the first allowed end
m, it ends at m with nothing left to trade. So each j has one end tau = max(m, j + 1) and one benchmark, and only the
average price is left to choose. It is best when every bar before j gets its smallest slice, bar j none, and the rest of
the order goes to the best prices first, up to the cap of each bar. The best of all j bounds every strategy on that
order.

Shapes: O = (A, M, S) as in lem.backtest.simulator; K = bars of the horizon; R = O or broadcastable to it; J = bars up
to the last one traded, by price.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lem.backtest.simulator import Market, check_terms
from lem.execution.fills import Ledger, gain
from lem.execution.orders import TOLERANCE
from lem.execution.terms import Terms


def oracle_gain(market: Market, terms: Terms) -> Tensor:
    """Largest gross gain of each order over all its ends and feasible schedules, (A, M, S), as a fraction of B.

    Args:
        market: of the arrivals.
        terms: of the orders, broadcastable to (A, M, S).

    Raises:
        OrderError: infeasible limits.
    """
    horizon = market.price_AK.shape[1]
    check_terms(terms, horizon)
    terms = replace(terms, sigma_O=market.sigma_A[:, None, None])
    price_AK, volume_AK = market.price_AK, market.volume_AK
    rows_A11 = torch.arange(len(price_AK))[:, None, None]
    ones_AK = torch.ones_like(price_AK)
    sums = [x.cumsum(1) for x in (volume_AK, volume_AK * price_AK, ones_AK, price_AK)]
    best_O = torch.tensor(-torch.inf, dtype=price_AK.dtype)
    for j in range(horizon):
        end_O = terms.m_O.clamp(min=j + 1).long() - 1
        weight_O, weighted_O, count_O, priced_O = (x[rows_A11, end_O] for x in sums)
        traded_O, value_O = _best_trades(price_AK[:, : j + 1], terms)
        ledger = Ledger(
            remaining_O=torch.zeros_like(traded_O),
            units_O=torch.where(terms.notional_O, value_O, traded_O),
            cash_O=torch.where(terms.notional_O, traded_O, value_O),
            weight_O=torch.where(terms.vwap_O, weight_O, count_O),
            weighted_O=torch.where(terms.vwap_O, weighted_O, priced_O),
        )
        enough_O = terms.max_rate_O * (j + 1) >= 1.0 - TOLERANCE
        room_O = terms.min_rate_O * j <= 1.0 + TOLERANCE
        feasible_O = (terms.n_O >= j + 1) & enough_O & room_O
        best_O = torch.maximum(best_O, torch.where(feasible_O, gain(ledger, terms), -torch.inf))
    return best_O


def _best_trades(price_AJ: Tensor, terms: Terms) -> tuple[Tensor, Tensor]:
    """The best schedule whose last trade is in the last of the given bars.

    Returns:
        Share traded, and the sum of x P (for a quantity) or of y / P (for a notional).
    """
    sorted_AJ, bar_AJ = price_AJ.sort(dim=1)
    last_AJ = bar_AJ == price_AJ.shape[1] - 1
    price_A11J, last_A11J = sorted_AJ[:, None, None], last_AJ[:, None, None]
    buys = _fill(price_A11J, last_A11J, terms)
    sells = _fill(price_A11J.flip(-1), last_A11J.flip(-1), terms)
    traded_O, quantity_O, notional_O = (torch.where(terms.sign_O > 0, *pair) for pair in zip(buys, sells, strict=True))
    return traded_O, torch.where(terms.notional_O, notional_O, quantity_O)


def _fill(price_A11J: Tensor, last_A11J: Tensor, terms: Terms) -> tuple[Tensor, Tensor, Tensor]:
    """Fill bars in the order given: share traded, sum of x P, and sum of y / P, each of shape R."""
    smallest_R1, largest_R1 = terms.min_rate_O.unsqueeze(-1), terms.max_rate_O.unsqueeze(-1)
    floor_RJ = torch.where(last_A11J, 0.0, smallest_R1)
    room_RJ = largest_R1 - floor_RJ
    spare_R1 = 1.0 - floor_RJ.sum(-1, keepdim=True)
    taken_RJ = room_RJ.cumsum(-1) - room_RJ
    slice_RJ = floor_RJ + torch.minimum(room_RJ, (spare_R1 - taken_RJ).clamp(min=0.0))
    return slice_RJ.sum(-1), (slice_RJ * price_A11J).sum(-1), (slice_RJ / price_A11J).sum(-1)
