"""How large an order may be before costs eat what it gains."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from lem.errors import EvaluationError
from lem.execution.costs_config import CostsConfig


def capacity(gross_bps: ArrayLike, net_bps: ArrayLike, costs: CostsConfig) -> float:
    """Size of an order, in trailing mean bar volumes, at which the mean net gain is zero with the same slices.

    Fees and spread cost the same share of any size; impact grows with the square root of the size. With gross gain G,
    fixed costs F and impact I at the present size, G - F - I sqrt(size / present) is zero at
    present * ((G - F) / I)^2.

    Args:
        gross_bps: gains of executed orders before costs, (O,).
        net_bps: gains of the same orders after costs, (O,).
        costs: the costs, and the present size.

    Returns:
        0 if the fixed costs alone eat the gain, infinity if there is no impact, NaN without orders.

    Raises:
        EvaluationError: the two are not of the same orders, or not finite.
    """
    gross_O, net_O = np.asarray(gross_bps, dtype=np.float64), np.asarray(net_bps, dtype=np.float64)
    if gross_O.shape != net_O.shape or not (np.isfinite(gross_O) & np.isfinite(net_O)).all():
        raise EvaluationError(
            f"capacity: gains {gross_O.shape} before and {net_O.shape} after costs; allowed: finite gains of the same "
            "executed orders"
        )
    if not gross_O.size:
        return math.nan
    fixed = costs.fee_bps + costs.half_spread_bps
    left = float(gross_O.mean()) - fixed
    if left <= 0.0:
        return 0.0
    impact = left - float(net_O.mean())
    if costs.impact == 0.0 or impact <= 0.0:
        return math.inf
    return costs.order_size * (left / impact) ** 2
