"""The programme's values, and the rule that reads its tables, on markets where the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lem.backtest.simulator import Market, simulate
from lem.errors import OrderError
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import SCENARIOS, Benchmark, Side, Target
from lem.execution.terms import terms_for
from lem.strategies.bounds import bound
from lem.strategies.optimal_stopping import OptimalStopping
from lem.strategies.optimal_with_costs import OptimalWithCosts
from lem.theory.programme import solve

LIMITS = (1, 3, 6, 9, 11, 12)
GOLDEN = {
    (0.1118, 1.0): (0.3180, 0.3171, 0.2517, 0.1242, 0.0221, -0.0323),
    (0.2236, 0.5): (0.2668, 0.2668, 0.2113, 0.0889, -0.0110, -0.0645),
    (0.5, 0.25): (0.1326, 0.1326, 0.1090, 0.0016, -0.0928, -0.1443),
}
"""Values in sigma for N = 12, solved by another program on grids of 361 x 121."""
SIGMA, ARRIVALS = 1e-4, 4000
BUY_TWAP = next(
    i
    for i, scenario in enumerate(SCENARIOS)
    if (scenario.side, scenario.benchmark, scenario.target) == (Side.BUY, Benchmark.TWAP, Target.QUANTITY)
)


@pytest.mark.parametrize(("impact", "cap"), GOLDEN)
def test_the_values_are_those_of_an_independent_solution(impact, cap):
    assert [solve(m, 12, impact, cap).value for m in LIMITS] == pytest.approx(GOLDEN[impact, cap], abs=1e-3)


def test_without_impact_it_is_optimal_stopping():
    assert [solve(m, 12, 0.0).value for m in LIMITS] == pytest.approx([bound(m, 12) for m in LIMITS], abs=1e-3)


def test_an_order_that_may_end_at_its_last_bar_only_pays_for_an_even_pace():
    assert solve(12, 12, 0.3).value == pytest.approx(-0.3 / math.sqrt(12), abs=1e-4)


def test_more_freedom_more_room_and_less_impact_are_never_worth_less():
    for impact, cap in GOLDEN:
        values = [solve(m, 12, impact, cap).value for m in LIMITS]
        assert values == sorted(values, reverse=True)
    assert solve(3, 12, 0.2, 1.0).value >= solve(3, 12, 0.2, 0.25).value >= solve(3, 12, 0.5, 0.25).value


def test_the_pace_keeps_to_the_cap_and_what_is_left_can_still_be_traded():
    solved = solve(3, 12, 0.2236, 0.25)
    shares = solved.pace_KDR.shape[2] - 1
    remaining_R = np.linspace(0, 1, shares + 1)
    assert solved.pace_KDR.max() <= 0.25 + 1e-12
    for k in range(11):
        allowed_DR = solved.go_KDR[k] > -1e6
        after_DR = remaining_R - solved.pace_KDR[k]
        assert (after_DR[allowed_DR] <= 0.25 * (11 - k) + 1e-9).all()


@pytest.mark.parametrize(
    ("limits", "impact", "cap"), [((0, 12), 0.1, 1.0), ((13, 12), 0.1, 1.0), ((1, 12), -0.1, 1.0), ((1, 12), 0.1, 0.05)]
)
def test_an_impossible_programme_is_refused(limits, impact, cap):
    with pytest.raises(OrderError, match="allowed: m from 1 to N, impact and risk of 0 or more, a cap under which"):
        solve(*limits, impact, cap)


@pytest.fixture(scope="module")
def walk():
    """A driftless market with the joint law of a bar's mean and close that the programme assumes, and even volume."""
    generator = torch.Generator().manual_seed(5)
    close_AK, own_AK = (torch.randn(ARRIVALS, 12, generator=generator, dtype=torch.float64) for _ in range(2))
    last_AK = 1 + SIGMA * torch.cat([torch.zeros(ARRIVALS, 1), close_AK.cumsum(1)[:, :-1]], dim=1)
    price_AK = last_AK + SIGMA * (close_AK / 2 + own_AK * math.sqrt(1 / 3 - 1 / 4))
    ones_AK = torch.ones_like(price_AK)
    accepted_A = torch.ones(ARRIVALS, dtype=torch.bool)
    return Market(price_AK, ones_AK, last_AK, torch.full((ARRIVALS,), SIGMA, dtype=torch.float64), accepted_A)


def earned(strategy, market, costs):
    """Mean after costs and its standard error for each m, in sigma, of buys of a quantity against TWAP."""
    done = simulate(strategy, market, terms_for(LIMITS, 12, 1.0), costs)
    gain_AM = done.net_gain_O[:, :, BUY_TWAP] / SIGMA
    return gain_AM.mean(0).tolist(), (gain_AM.std(0) / math.sqrt(ARRIVALS)).tolist()


@pytest.mark.parametrize(("size", "cap"), [(0.2, 0.1), (0.05, 0.05), (1.0, 0.25)])
def test_the_rule_earns_the_values_on_a_driftless_market(walk, size, cap):
    costs = CostsConfig(fee_bps=0, half_spread_bps=0, impact=0.5, order_size=size, participation_cap=cap)
    means, errors = earned(OptimalWithCosts(), walk, costs)
    values = [solve(m, 12, 0.5 * math.sqrt(size), cap / size).value for m in LIMITS]
    for mean, error, value in zip(means, errors, values, strict=True):
        assert abs(mean - value) <= 2 * error + 1e-3


def test_after_costs_it_earns_more_than_the_rule_that_does_not_know_them(walk):
    costs = CostsConfig(fee_bps=0, half_spread_bps=0, impact=0.5, order_size=0.2, participation_cap=0.1)
    own, blind = (earned(rule, walk, costs)[0] for rule in (OptimalWithCosts(), OptimalStopping()))
    assert all(mine > theirs for mine, theirs in zip(own[:3], blind[:3], strict=True))


def test_orders_of_other_limits_in_one_batch_are_decided_by_their_own_tables(walk):
    costs = CostsConfig(impact=0.5, order_size=0.2)
    rule = OptimalWithCosts()
    together = simulate(rule, walk, terms_for(LIMITS, 12, 1.0), costs)
    for place, m in enumerate(LIMITS):
        alone = simulate(rule, walk, terms_for((m,), 12, 1.0), costs)
        assert torch.equal(together.slices_KO[:, :, place : place + 1], alone.slices_KO)


@pytest.mark.parametrize("slices", [7, 9, 11])
def test_a_cap_of_which_the_order_has_a_whole_number_lets_it_trade_in_so_many_bars(slices):
    """Were the cap rounded down to the grid, the order would need a bar more, and have a bar fewer to end in."""
    exact, wider = (solve(1, 12, 0.3, cap).value for cap in (1 / slices, 1.02 / slices))
    less = solve(1, 12, 0.3, 0.98 / slices).value
    assert wider - exact < 0.3 * (exact - less)
