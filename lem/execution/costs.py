"""What trading costs: fees, half spread, impact and a cap on participation, charged on the simulator's fills.

A fill costs the fraction c = fee + half spread + Y * sigma * sqrt(slice * order size / volume) of its price: a buy pays
P (1 + c), a sell gets P / (1 + c), which is P (1 - c) to first order and never negative. sigma is the asset's
volatility per bar at arrival; slice * order size / volume is our participation in the bar's own volume.

The square root of participation times volatility is the temporary impact of Almgren, Thum, Hauptmann and Li, "Direct
estimation of equity market impact" (Risk, 2005; they measure an exponent of 0.6 and, on daily volatility, a factor of
0.142), and the form of the square-root law of Bouchaud, Bonart, Donier and Gould, "Trades, Quotes and Prices"
(Cambridge, 2018, chapter 12), with Y of order one. It is paid by each slice alone: nothing of it stays in the price of
later bars.

Shapes: O = any batch of orders, as in lem.execution.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lem.errors import OrderError
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import TOLERANCE
from lem.execution.terms import Terms

BPS = 1e4


def capped(terms: Terms, costs: CostsConfig) -> Terms:
    """The orders under the participation cap: max_rate is at most participation_cap / order_size.

    The cap is on the expected volume, the trailing mean at arrival: it is known before the bar trades. The volume that
    then trades changes only the impact.

    Args:
        terms: of the orders.
        costs: `participation_cap` and `order_size`.

    Raises:
        OrderError: an order cannot trade in its time, or its smallest slice is above the cap; the message says how
            large an order may be.
    """
    if problem := costs.size_problem(int(terms.n_O.min())):
        raise OrderError(problem)
    rate, smallest = costs.largest_rate, float(terms.min_rate_O.max())
    if smallest > rate + TOLERANCE:
        raise OrderError(
            f"min_rate {smallest:g} of an order_size of {costs.order_size:g} mean bar volumes is above the "
            f"participation_cap of {costs.participation_cap:g}; allowed: an order_size of at most "
            f"{costs.participation_cap / smallest:.4g}"
        )
    return replace(terms, max_rate_O=terms.max_rate_O.clamp(max=rate))


def charged_price(costs: CostsConfig, terms: Terms, slice_O: Tensor, price_O: Tensor, volume_O: Tensor) -> Tensor:
    """Price of our fill after costs, relative to the arrival price.

    Args:
        costs: what is charged, and the size of the order.
        terms: of the orders.
        slice_O: share of the order that trades in the bar.
        price_O: the bar's volume-weighted price, relative to the arrival price.
        volume_O: the bar's volume, in trailing mean bar volumes at arrival.
    """
    fixed = (costs.fee_bps + costs.half_spread_bps) / BPS
    participation_O = slice_O * costs.order_size / volume_O
    factor_O = 1.0 + fixed + costs.impact * terms.sigma_O * participation_O.sqrt()
    return torch.where(terms.sign_O > 0, price_O * factor_O, price_O / factor_O)
