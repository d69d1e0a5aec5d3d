from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lem.backtest.simulator import simulate
from lem.errors import OrderError
from lem.execution.orders import SCENARIOS, Benchmark, Order, Scenario, Side, Target, check_limits
from tests.lem.builders import PROPERTY, Erratic, random_market, terms_of


def test_scenarios_are_all_eight_combinations_once():
    assert set(SCENARIOS) == {Scenario(*parts) for parts in itertools.product(Side, Benchmark, Target)}
    assert len(SCENARIOS) == 8
    assert str(SCENARIOS[0]) == "buy vwap quantity"
    assert {s.side.sign for s in SCENARIOS if s.side is Side.BUY} == {1.0}
    assert {s.side.sign for s in SCENARIOS if s.side is Side.SELL} == {-1.0}


@pytest.mark.parametrize(
    ("limits", "named", "allowed"),
    [
        ((0, 5, 0, 1, 1), "min_bars 0 with max_bars 5", "1 <= min_bars <= max_bars"),
        ((6, 5, 0, 1, 1), "min_bars 6 with max_bars 5", "1 <= min_bars <= max_bars"),
        ((2.5, 5, 0, 1, 1), "min_bars 2.5 with max_bars 5", "whole bars, 1 <= min_bars <= max_bars"),
        ((1, float("inf"), 0, 1, 1), "min_bars 1 with max_bars inf", "whole bars, 1 <= min_bars <= max_bars"),
        ((float("nan"), 5, 0, 1, 1), "min_bars nan with max_bars 5", "whole bars, 1 <= min_bars <= max_bars"),
        ((1, 5, 0.5, 0.4, 1), "min_rate 0.5 and max_rate 0.4", "0 <= min_rate <= max_rate <= 1"),
        ((1, 5, -0.1, 0.4, 1), "min_rate -0.1", "0 <= min_rate <= max_rate <= 1"),
        ((1, 5, 0, 1.1, 1), "max_rate 1.1", "0 <= min_rate <= max_rate <= 1"),
        ((1, 5, float("nan"), 1, 1), "min_rate nan", "0 <= min_rate <= max_rate <= 1"),
        ((1, 5, 0, 0.1, 1), "max_rate 0.1 over max_bars 5 trades at most 0.5", "at least 0.2"),
        ((4, 5, 0.5, 1, 1), "min_rate 0.5 over min_bars 4 trades 2 of the order", "at most 0.25"),
        ((1, 5, 0, 1, -1), "risk_aversion -1", "0 or more"),
        ((1, 5, 0, 1, float("nan")), "risk_aversion nan", "0 or more"),
        ((1, 5, 0, 1, float("inf")), "risk_aversion inf", "finite"),
    ],
)
def test_an_infeasible_order_is_refused_with_the_limit_and_what_is_allowed(limits, named, allowed):
    m, n, low, high, risk = limits
    for refuse in (
        lambda: check_limits(*limits),
        lambda: Order(SCENARIOS[0], m, n, low, high, risk),
    ):
        with pytest.raises(OrderError) as error:
            refuse()
        assert named in str(error.value)
        assert allowed in str(error.value).partition("allowed: ")[2]


def test_limits_at_the_edge_of_feasibility_are_allowed():
    for n in range(1, 40):
        check_limits(1, n, 0.0, 1 / n, 0.0)
        check_limits(n, n, 1 / n, 1 / n, 0.0)


def test_the_simulator_refuses_one_infeasible_order_among_many():
    market = random_market(np.random.default_rng(0), 3, 6)
    high = torch.tensor([1.0, 0.1, 1.0], dtype=torch.float64)
    with pytest.raises(OrderError, match=r"max_rate 0\.1 over max_bars 6.*at least 0\.1667"):
        simulate(Erratic(0), market, terms_of(1, 6, 0.0, high))
    with pytest.raises(OrderError, match="max_bars 7 on a market of 6 bars; allowed: at most 6"):
        simulate(Erratic(0), market, terms_of(1, 7))
    with pytest.raises(OrderError, match=r"min_bars 2\.5 with max_bars 6; allowed: whole bars"):
        simulate(Erratic(0), market, terms_of(2.5, 6))


@PROPERTY
@given(st.integers(-2, 20), st.integers(-2, 20), st.floats(-0.2, 1.2), st.floats(-0.2, 1.2))
def test_limits_are_refused_exactly_when_no_schedule_keeps_them(m, n, low, high):
    feasible = 1 <= m <= n and 0 <= low <= high <= 1 and high * n >= 1 - 1e-9 and low * m <= 1 + 1e-9
    if feasible:
        check_limits(m, n, low, high, 1.0)
    else:
        with pytest.raises(OrderError):
            check_limits(m, n, low, high, 1.0)
