from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lem.backtest.capacity import break_even, capacity, kept
from lem.backtest.simulator import simulate
from lem.errors import EvaluationError
from lem.execution.costs import BPS
from lem.execution.costs_config import CostsConfig
from lem.execution.terms import terms_for
from lem.strategies.twap import Twap
from tests.lem.builders import random_market

COSTS = CostsConfig(fee_bps=1.0, half_spread_bps=0.5, impact=0.5, order_size=0.2, participation_cap=9.0)
GROSS = np.array([12.0, 3.0, 18.0, -5.0])
NET = GROSS - 1.5 - np.array([2.0, 3.0, 1.0, 4.0])


def test_gains_at_other_costs_are_those_that_the_simulator_gives_for_the_same_slices():
    market = random_market(np.random.default_rng(0), 40, 6)
    terms = terms_for((2, 6), 6, 1.0)

    def traded(costs: CostsConfig | None) -> np.ndarray:
        return (simulate(Twap(), market, terms, costs).net_gain_O * BPS).numpy().ravel()

    gross, net = traded(None), traded(COSTS)
    for changes, how in (
        ({"order_size": 0.8}, {"size": 0.8}),
        ({"order_size": 0.05}, {"size": 0.05}),
        ({"impact": 1.0}, {"impact": 2.0}),
        ({"fee_bps": 3.0}, {"fee_bps": 2.0}),
        ({"impact": 0.25, "fee_bps": 2.0, "order_size": 0.4}, {"impact": 0.5, "fee_bps": 1.0, "size": 0.4}),
    ):
        exact = traded(COSTS.model_copy(update=changes))
        assert np.abs(exact - net).max() > 0.5, "the change of costs does something"
        np.testing.assert_allclose(kept(gross, net, COSTS, **how), exact, atol=0.06)
    assert torch.isfinite(torch.from_numpy(gross)).all()


def test_at_the_traded_size_and_the_assumed_costs_nothing_changes():
    np.testing.assert_allclose(kept(GROSS, NET, COSTS), NET, atol=1e-12)


def test_the_mean_is_zero_at_the_capacity_and_at_the_break_even():
    most = capacity(GROSS, NET, COSTS)
    assert kept(GROSS, NET, COSTS, size=most).mean() == pytest.approx(0.0, abs=1e-12)
    for fee in (0.0, 1.0, 2.0):
        times = break_even(GROSS, NET, COSTS, fee)
        assert kept(GROSS, NET, COSTS, impact=times, fee_bps=fee).mean() == pytest.approx(0.0, abs=1e-12)
    assert break_even(GROSS, NET, COSTS, 99.0) == 0.0
    assert math.isinf(break_even(GROSS, GROSS - 1.5, COSTS.model_copy(update={"impact": 0.0})))


def test_gains_of_other_orders_are_refused():
    for one in (capacity, kept, break_even):
        with pytest.raises(EvaluationError, match="allowed: finite gains of the same executed orders"):
            one(GROSS, NET[:3], COSTS)
