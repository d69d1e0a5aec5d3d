"""What a batch of parent orders is, in tensors.

Shapes: O = orders, S = scenarios in the order of `lem.execution.orders.SCENARIOS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lem.execution.orders import SCENARIOS, Benchmark, Order, Target


@dataclass(frozen=True)
class Terms:
    """What the orders are, one value an order (or broadcastable).

    sign_O: +1 buy, -1 sell. vwap_O, notional_O: bool. m_O, n_O: bars (float). sigma_O: per-bar volatility at arrival.
    """

    sign_O: Tensor
    vwap_O: Tensor
    notional_O: Tensor
    m_O: Tensor
    n_O: Tensor
    min_rate_O: Tensor
    max_rate_O: Tensor
    risk_aversion_O: Tensor
    sigma_O: Tensor


def terms_of_orders(orders: Sequence[Order], dtype: torch.dtype = torch.float64) -> tuple[Terms, Tensor]:
    """Terms of any mix of parent orders in one batch, and the allocation head of each.

    Infeasible limits cannot reach this place: `Order` refuses them and says why.

    Returns:
        Terms of shape (O,), sigma_O being 1 until a market or a live state gives it; head_O (O,), int64, the row of
        each order's scenario in `lem.execution.orders.SCENARIOS`.
    """

    def column(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=dtype)

    terms = Terms(
        sign_O=column([order.scenario.side.sign for order in orders]),
        vwap_O=torch.tensor([order.scenario.benchmark is Benchmark.VWAP for order in orders], dtype=torch.bool),
        notional_O=torch.tensor([order.scenario.target is Target.NOTIONAL for order in orders], dtype=torch.bool),
        m_O=column([order.min_bars for order in orders]),
        n_O=column([order.max_bars for order in orders]),
        min_rate_O=column([order.min_rate for order in orders]),
        max_rate_O=column([order.max_rate for order in orders]),
        risk_aversion_O=column([order.risk_aversion for order in orders]),
        sigma_O=torch.ones(len(orders), dtype=dtype),
    )
    return terms, torch.tensor([SCENARIOS.index(order.scenario) for order in orders], dtype=torch.int64)


def scenario_terms() -> dict[str, Tensor]:
    """Sign, benchmark and target of the eight scenarios, each of shape (S,)."""
    return {
        "sign_O": torch.tensor([scenario.side.sign for scenario in SCENARIOS]),
        "vwap_O": torch.tensor([scenario.benchmark is Benchmark.VWAP for scenario in SCENARIOS]),
        "notional_O": torch.tensor([scenario.target is Target.NOTIONAL for scenario in SCENARIOS]),
    }
