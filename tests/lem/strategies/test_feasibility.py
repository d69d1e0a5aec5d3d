"""Whatever the order, the strategy and the costs: the budget, the caps and the end times hold exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lem.backtest.simulator import simulate
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import SCENARIOS, Order
from lem.execution.terms import Terms, terms_of_orders
from lem.strategies.base import Setting
from lem.strategies.learned import Learned
from lem.strategies.rules import make_rules
from tests.lem.builders import PROPERTY, Erratic, lively_model, random_limits, random_market, random_order

ORDERS, EXACT = 8, 1e-9
CURVE_W = torch.from_numpy(np.exp(np.random.default_rng(4).normal(0, 1, 24)))
STRATEGIES = {rule.name: rule for rule in make_rules(Setting(14, CostsConfig(), CURVE_W))}


def random_costs(rng: np.random.Generator, orders: list[Order]) -> CostsConfig:
    """Costs under whose cap each of the orders can still be traded."""
    tightest = max(max(1 / order.max_bars, order.min_rate) for order in orders)
    rate, size = tightest * (1 + 2 * rng.random() ** 2), np.exp(rng.normal(-1, 1))
    return CostsConfig(
        fee_bps=rng.random() * 5, half_spread_bps=rng.random() * 3, impact=rng.random() * 2,
        order_size=size, participation_cap=size * rate,
    )  # fmt: skip


def check(done, orders: list[Order], rate: float) -> None:
    """done: of orders (O, 1, 1). rate: largest share that the participation cap allows in a bar."""
    slices_KO, end_O = done.slices_KO[:, :, 0, 0].numpy(), done.end_bar_O[:, 0, 0].numpy()
    for a, order in enumerate(orders):
        x, end = slices_KO[:, a], int(end_O[a])
        remaining = 1.0 - np.concatenate([[0.0], x.cumsum()])
        assert abs(x.sum() - 1.0) < EXACT
        assert order.min_bars <= end <= order.max_bars
        assert (x >= 0).all()
        assert (x <= min(order.max_rate, rate) + EXACT).all()
        assert (x[end:] == 0).all()
        assert (x[:end] >= np.minimum(order.min_rate, remaining[:end]) - EXACT).all()
        left = remaining[order.min_bars : end]
        assert (left > EXACT / 2).all(), "it ends in the first bar from m on with nothing remaining"


def strategy_of(name: str, seed: int):
    return Erratic(seed, 0.4) if name == "erratic" else STRATEGIES[name]


SLOW = "optimal_with_costs"
"""Trades as `optimal_with_risk` does with a price of risk of 0; both solve a programme an order."""


@pytest.mark.parametrize(
    "name",
    [*(pytest.param(name, marks=pytest.mark.slow) if name == SLOW else name for name in STRATEGIES), "erratic"],
)
@PROPERTY
@given(st.integers(0, 2**32 - 1), st.integers(1, 14))
def test_budget_caps_and_ends_hold_for_random_orders_with_costs_on_and_off(name, seed, horizon):
    rng = np.random.default_rng(seed)
    orders = [random_order(rng, horizon) for _ in range(ORDERS)]
    terms = Terms(*(column[:, None, None] for column in vars(terms_of_orders(orders)[0]).values()))
    market, costs = random_market(rng, ORDERS, horizon), random_costs(rng, orders)
    check(simulate(strategy_of(name, seed), market, terms), orders, 1.0)
    with_costs = simulate(strategy_of(name, seed), market, terms, costs)
    check(with_costs, orders, costs.largest_rate)
    assert (with_costs.net_gain_O <= with_costs.gain_O + 1e-15).all()


@PROPERTY
@given(st.integers(0, 2**32 - 1), st.integers(1, 14))
def test_a_model_keeps_budget_caps_and_ends_with_costs_on_and_off(seed, horizon):
    rng = np.random.default_rng(seed)
    model = lively_model(seed=seed % 1000, scale=3.0)
    terms, market = random_limits(rng, ORDERS, horizon), random_market(rng, ORDERS, horizon)
    generator = torch.Generator().manual_seed(seed)
    context = torch.randn((ORDERS, horizon, model.config.hidden), generator=generator)
    market = type(market)(**{**vars(market), "context_AKH": context})
    tightest = float(torch.maximum(1 / terms.n_O, terms.min_rate_O).max())
    costs = CostsConfig(order_size=0.5, participation_cap=0.5 * tightest)
    limits = [x[:, 0, 0].tolist() for x in (terms.m_O, terms.n_O, terms.min_rate_O, terms.max_rate_O)]
    for charged, rate in ((None, 1.0), (costs, costs.largest_rate)):
        done = simulate(Learned(model), market, terms, charged)
        for head, scenario in enumerate(SCENARIOS):
            orders = [Order(scenario, int(m), int(n), *rates) for m, n, *rates in zip(*limits, strict=True)]
            one = type(done)(**{k: v[..., head : head + 1] for k, v in vars(done).items()})
            check(one, orders, rate)
