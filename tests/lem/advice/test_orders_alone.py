"""What an order is advised depends on no other order, to the last bit."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lem.advice.live_orders import BLOCK, LiveOrders
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import Order
from lem.model.lem import LEM
from lem.universe.model_config import ModelConfig
from tests.lem.builders import TINY, lively_model, random_order

HORIZON = 12
COSTS = CostsConfig(impact=1.0, order_size=0.25, participation_cap=1.0)
KINDS: dict[str, ModelConfig] = {
    "small": TINY,
    "default": ModelConfig(),
    "no theory": ModelConfig(base="even"),
    "one network": ModelConfig(independent_heads=False),
}


@cache
def model_of(kind: str) -> LEM:
    return lively_model(KINDS[kind], seed=5, scale=1.0)


def bits_of(model: LEM, orders: list[Order], market_O: np.ndarray, seed: int, markets: int, mine: int) -> list[Any]:
    """Slice and probability of the order in place `mine`, bar by bar, in markets that are the same for every seed."""
    rng = np.random.default_rng(seed)
    step_KN = np.exp(rng.normal(0.0, 0.01, (HORIZON, markets))).cumprod(axis=0)
    volume_KN = rng.lognormal(0.0, 0.5, (HORIZON, markets)) * (rng.random((HORIZON, markets)) > 0.1)
    context_KNH = torch.from_numpy(rng.standard_normal((HORIZON, markets, model.config.hidden))).float()
    sigma_N, price_N = rng.uniform(0.001, 0.03, markets), rng.uniform(0.1, 9e4, markets)
    live, out = LiveOrders(model, markets, HORIZON, COSTS), []
    size_O = 0.01 * np.where([order.scenario.target == "notional" for order in orders], price_N[market_O], 1.0)
    ids = live.open(orders, market_O, sigma_N[market_O], price_N[market_O], 1.0, size_O).tolist()
    close_N = price_N
    for k in range(HORIZON):
        slices = live.decide(context_KNH[k], close_N)
        if ids[mine] not in slices.id_O.tolist():
            break
        place = slices.id_O.tolist().index(ids[mine])
        out += [slices.slice_O[place].item(), slices.probability_O[place].item(), slices.finish_O[place].item()]
        close_N = price_N * step_KN[k]
        live.settle(close_N, volume_KN[k])
    return out


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1), others=st.integers(1, 300), markets=st.integers(1, 70), one_scenario=st.booleans()
)
def test_the_slices_of_an_order_are_the_same_bits_alone_and_among_others(kind, seed, others, markets, one_scenario):
    rng, model = np.random.default_rng(seed), model_of(kind)
    orders = [random_order(rng, HORIZON) for _ in range(others + 1)]
    if one_scenario:
        orders = [Order(orders[0].scenario, o.min_bars, o.max_bars, o.min_rate, o.max_rate, 1.0) for o in orders]
    market_O = rng.integers(markets, size=len(orders))
    mine = int(rng.integers(len(orders)))
    among = bits_of(model, orders, market_O, seed, markets, mine)
    alone = bits_of(model, [orders[mine]], market_O[mine : mine + 1], seed, markets, 0)
    assert among == alone
    assert len(among) >= 3


@pytest.mark.parametrize("kind", KINDS)
def test_contexts_are_read_in_the_same_bits_beside_any_number_of_markets(kind):
    live = LiveOrders(model_of(kind), 2 * BLOCK + 7, HORIZON)
    context_NH = torch.randn(live.markets, live.model.config.hidden, generator=torch.Generator().manual_seed(2))
    together = live._read_context(context_NH)
    for place in (0, 1, BLOCK - 1, BLOCK, live.markets - 1):
        alone = LiveOrders(model_of(kind), 1, HORIZON)._read_context(context_NH[place : place + 1])
        assert torch.equal(together[:, place], alone[:, 0])
