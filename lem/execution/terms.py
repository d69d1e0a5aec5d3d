"""What a batch of parent orders is, in tensors: the one place where terms are made.

Shapes: O = orders, A = arrivals, M = limits, S = scenarios in the order of `lem.execution.orders.SCENARIOS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lem.execution.orders import SCENARIOS, Benchmark, Order, Scenario, Target

_HEADS = {scenario: place for place, scenario in enumerate(SCENARIOS)}
Limit = float | Sequence[float] | Tensor
"""One number for all orders, or a tensor that is broadcastable to O."""


@dataclass(frozen=True)
class Terms:
    """What the orders are, one value an order (or broadcastable).

    Args:
        sign_O: +1 buy, -1 sell.
        vwap_O: bool; the benchmark is VWAP, else TWAP.
        notional_O: bool; a notional is fixed, else a quantity.
        m_O: fewest bars, a float.
        n_O: most bars, a float.
        min_rate_O: smallest share of the order in a bar.
        max_rate_O: largest share of the order in a bar.
        risk_aversion_O: lambda of E[g] - lambda/2 E[g^2], g in sigma.
        sigma_O: per-bar volatility at arrival, log units.
        size_O: the order, in trailing mean bar volumes at arrival; 0 where it is too small to matter.
        impact_O: Y of the square-root law (`lem.execution.costs`).
        fixed_O: fee and half spread of every fill, as a fraction of its price.
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
    size_O: Tensor
    impact_O: Tensor
    fixed_O: Tensor

    @property
    def caution_O(self) -> Tensor:
        """Lambda / (1 + lambda): 0 of an order that asks for the mean alone, towards 1 of one that fears any loss."""
        return self.risk_aversion_O / (1.0 + self.risk_aversion_O)

    @property
    def whole_impact_O(self) -> Tensor:
        """c: the impact of the whole order in a single bar of mean volume, in sigma."""
        return self.impact_O * self.size_O.sqrt()


def make_terms(
    scenarios: Sequence[Scenario],
    m: Limit,
    n: Limit,
    min_rate: Limit = 0.0,
    max_rate: Limit = 1.0,
    risk_aversion: Limit = 1.0,
    dtype: torch.dtype = torch.float64,
) -> Terms:
    """Terms of orders whose last dimension is `scenarios`, whatever their limits.

    They trade without costs until `lem.execution.costs.with_costs`; sigma is 1 until a market gives it.

    Args:
        scenarios: of each order along the last dimension of O.
        m: number of bars after which an order may end.
        n: number of bars after which it must have ended.
        min_rate: smallest share of the order in a bar.
        max_rate: largest share of the order in a bar.
        risk_aversion: lambda of E[g] - lambda/2 E[g^2].
        dtype: of every column that is not bool.
    """

    def column(values: Limit) -> Tensor:
        return torch.as_tensor(values, dtype=dtype)

    return Terms(
        sign_O=column([scenario.side.sign for scenario in scenarios]),
        vwap_O=torch.tensor([scenario.benchmark is Benchmark.VWAP for scenario in scenarios], dtype=torch.bool),
        notional_O=torch.tensor([scenario.target is Target.NOTIONAL for scenario in scenarios], dtype=torch.bool),
        m_O=column(m),
        n_O=column(n),
        min_rate_O=column(min_rate),
        max_rate_O=column(max_rate),
        risk_aversion_O=column(risk_aversion),
        sigma_O=torch.ones(len(scenarios), dtype=dtype),
        **dict.fromkeys(("size_O", "impact_O", "fixed_O"), torch.zeros(len(scenarios), dtype=dtype)),
    )


def terms_of_orders(orders: Sequence[Order]) -> tuple[Terms, Tensor]:
    """Terms of any mix of parent orders in one batch, and the allocation head of each.

    The limits are feasible: `Order` refuses any others and says why.

    Returns:
        Terms of shape (O,), float64, and head_O (O,), int64: the row of each order's scenario in
        `lem.execution.orders.SCENARIOS`.
    """
    # Many live orders share one object: each is looked at once.
    kinds = {id(order): order for order in orders}
    row_of, shared = {key: row for row, key in enumerate(kinds)}, list(kinds.values())
    terms = make_terms(
        [order.scenario for order in shared],
        m=[order.min_bars for order in shared],
        n=[order.max_bars for order in shared],
        min_rate=[order.min_rate for order in shared],
        max_rate=[order.max_rate for order in shared],
        risk_aversion=[order.risk_aversion for order in shared],
    )
    head_K = torch.tensor([_HEADS[order.scenario] for order in shared], dtype=torch.int64)
    row_O = torch.tensor([row_of[id(order)] for order in orders], dtype=torch.int64)
    return Terms(**{name: x_K[row_O] for name, x_K in vars(terms).items()}), head_K[row_O]


def terms_for(min_bars: Sequence[int], horizon: int, risk_aversion: float) -> Terms:
    """Orders without rate limits, one for each m in each of the eight scenarios: broadcastable to (A, M, S), float64.

    Args:
        min_bars: the values of m, M of them.
        horizon: N of every order.
        risk_aversion: of every order.
    """
    m_M1 = torch.tensor(min_bars, dtype=torch.float64)[:, None]
    return make_terms(SCENARIOS, m_M1, horizon, risk_aversion=risk_aversion)
