"""How large an order may be before costs eat what it gains, and what is kept at other sizes and costs.

Everything here is computed from stored gains, so the slices and the cap are those of the traded size.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
    gross_O, net_O = _pair(gross_bps, net_bps)
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


def kept(
    gross_bps: ArrayLike,
    net_bps: ArrayLike,
    costs: CostsConfig,
    *,
    size: float | None = None,
    impact: float = 1.0,
    fee_bps: float = 0.0,
) -> NDArray[np.float64]:
    """What each order would keep with the same slices at another size or at other costs, bps, (O,).

    Of an order's costs the part that is no fee and no spread, gross - net - fixed, is its impact. It is proportional to
    the assumed impact, and to the square root of the size.

    Args:
        gross_bps: gains of executed orders before costs, (O,).
        net_bps: gains of the same orders after costs, (O,).
        costs: the costs that were charged, and the traded size.
        size: of the order, in trailing mean bar volumes; the traded one if left out.
        impact: multiple of the assumed impact.
        fee_bps: on top of the assumed fee.

    Raises:
        EvaluationError: the two are not of the same orders, or not finite.
    """
    gross_O, net_O = _pair(gross_bps, net_bps)
    fixed = costs.fee_bps + costs.half_spread_bps
    factor = impact * math.sqrt((costs.order_size if size is None else size) / costs.order_size)
    return gross_O - fixed - fee_bps - factor * (gross_O - net_O - fixed)


def break_even(gross_bps: ArrayLike, net_bps: ArrayLike, costs: CostsConfig, fee_bps: float = 0.0) -> float:
    """Multiple of the assumed impact at which the mean net gain is zero with the same slices.

    Args:
        gross_bps: gains of executed orders before costs, (O,).
        net_bps: gains of the same orders after costs, (O,).
        costs: the costs that were charged.
        fee_bps: on top of the assumed fee.

    Returns:
        0 if the fixed costs alone eat the gain, infinity if there is no impact, NaN without orders.

    Raises:
        EvaluationError: the two are not of the same orders, or not finite.
    """
    gross_O, net_O = _pair(gross_bps, net_bps)
    dearer = costs.model_copy(update={"fee_bps": costs.fee_bps + fee_bps, "order_size": 1.0})
    return math.sqrt(capacity(gross_O, net_O - fee_bps, dearer))


def _pair(gross_bps: ArrayLike, net_bps: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The gains as arrays.

    Raises:
        EvaluationError: the two are not of the same orders, or not finite.
    """
    gross_O, net_O = np.asarray(gross_bps, dtype=np.float64), np.asarray(net_bps, dtype=np.float64)
    if gross_O.shape != net_O.shape or not (np.isfinite(gross_O) & np.isfinite(net_O)).all():
        raise EvaluationError(
            f"capacity: gains {gross_O.shape} before and {net_O.shape} after costs; allowed: finite gains of the same "
            "executed orders"
        )
    return gross_O, net_O
