"""What trading costs: fees, half spread, impact and a cap on participation, charged on the simulator's fills.

A fill costs the fraction c = fee + half spread + Y * sigma * sqrt(slice * order size / volume) of its price: a buy pays
P (1 + c), a sell gets P / (1 + c), which is P (1 - c) to first order and never negative. sigma is the asset's
volatility per bar at arrival; slice * order size / volume is our participation in the bar's own volume.

The square root of participation times volatility is the temporary impact of Almgren, Thum, Hauptmann and Li, "Direct
estimation of equity market impact" (Risk, 2005; they measure an exponent of 0.6 and, on daily volatility, a factor of
0.142), and the form of the square-root law of Bouchaud, Bonart, Donier and Gould, "Trades, Quotes and Prices"
(Cambridge, 2018, chapter 12), with Y of order one. It is paid by each slice alone: nothing of it stays in the price of
later bars, unless the simulator is told how slowly it decays (`lem.backtest.simulator.simulate`).

Shapes: O = any batch of orders, as in lem.execution.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lem.errors import OrderError
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import TOLERANCE
from lem.execution.terms import Limit, Terms

BPS = 1e4


def largest_size(terms: Terms, costs: CostsConfig) -> Tensor:
    """Largest size of each order, in trailing mean bar volumes, that its bars and its smallest slice can trade."""
    return costs.participation_cap * torch.minimum(terms.n_O, 1.0 / terms.min_rate_O)


def with_costs(terms: Terms, costs: CostsConfig, size: Limit | None = None, begun: bool = False) -> Terms:
    """The orders with their size and what trading costs them, under the participation cap.

    max_rate becomes at most participation_cap / size. The cap is on the expected volume, the trailing mean at arrival:
    it is known before the bar trades. The volume that then trades changes only the impact.

    Args:
        terms: of the orders.
        costs: what trading costs.
        size: of the orders, in trailing mean bar volumes; `costs.order_size` if left out.
        begun: the orders trade already. They are not refused, whatever their size: the cap stands, and what it does not
            let trade in their time is left over.

    Raises:
        OrderError: an order cannot trade in its time, or its smallest slice is above the cap; the message says how
            large an order may be.
    """
    size_O = torch.as_tensor(costs.order_size if size is None else size, dtype=terms.sigma_O.dtype)
    rate_O = costs.participation_cap / size_O
    n_O, smallest_O, size_O, rate_O = torch.broadcast_tensors(terms.n_O, terms.min_rate_O, size_O, rate_O)
    for wrong_O, most_O, why in (
        (rate_O * n_O < 1.0 - TOLERANCE, costs.participation_cap * n_O, "cannot trade in {n:g} bars"),
        (smallest_O > rate_O + TOLERANCE, costs.participation_cap / smallest_O, "has a min_rate {low:g} above it"),
    ):
        if wrong_O.any() and not begun:
            n, low, large, most = (float(x_O[wrong_O][0]) for x_O in (n_O, smallest_O, size_O, most_O))
            raise OrderError(
                f"an order of {large:.4g} mean bar volumes under a participation_cap of {costs.participation_cap:g} "
                f"{why.format(n=n, low=low)}; allowed: an order of at most {most:.4g} mean bar volumes"
            )
    return replace(
        terms,
        max_rate_O=torch.minimum(terms.max_rate_O, rate_O),
        size_O=size_O,
        impact_O=torch.full_like(size_O, costs.impact),
        fixed_O=torch.full_like(size_O, (costs.fee_bps + costs.half_spread_bps) / BPS),
    )


def impact_of(terms: Terms, slice_O: Tensor, volume_O: Tensor) -> Tensor:
    """What a slice moves its own price by, as a fraction of it.

    Args:
        terms: of the orders, with their costs.
        slice_O: share of the order that trades in the bar.
        volume_O: the bar's volume, in trailing mean bar volumes at arrival.
    """
    # Not below a hair: the root has no gradient at 0, where training may come. A slice of 0 pays nothing either way.
    participation_O = (slice_O * terms.size_O / volume_O).clamp(min=1e-12)
    return terms.impact_O * terms.sigma_O * participation_O.sqrt()


def charged_price(
    terms: Terms, slice_O: Tensor, price_O: Tensor, volume_O: Tensor, left_O: Tensor | None = None
) -> Tensor:
    """Price of our fill after costs, relative to the arrival price: the one definition of what trading costs.

    Args:
        terms: of the orders, with their costs.
        slice_O: share of the order that trades in the bar.
        price_O: the bar's volume-weighted price, relative to the arrival price.
        volume_O: the bar's volume, in trailing mean bar volumes at arrival.
        left_O: what is left in the price of the impact of earlier slices, as a fraction; nothing if left out.
    """
    factor_O = 1.0 + terms.fixed_O + impact_of(terms, slice_O, volume_O)
    if left_O is not None:
        factor_O = factor_O + left_O
    return torch.where(terms.sign_O > 0, price_O * factor_O, price_O / factor_O)
