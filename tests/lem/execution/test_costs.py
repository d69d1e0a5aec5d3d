from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lem.backtest.capacity import capacity
from lem.backtest.simulator import Executions, simulate
from lem.errors import EvaluationError, OrderError
from lem.execution.costs import with_costs
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import SCENARIOS, Benchmark, Side, Target
from lem.strategies.base import Setting
from lem.strategies.optimal_stopping import OptimalStopping
from lem.strategies.rules import make_rules
from lem.strategies.twap import Twap
from lem.strategies.twap_to_m import TwapToM
from tests.lem.builders import PROPERTY, SIGMA, Erratic, random_limits, random_market, terms_of

FREE = CostsConfig(fee_bps=0, half_spread_bps=0, impact=0, order_size=0.2, participation_cap=0.2)
"""Nothing is charged and, at a cap of the order's size, nothing capped."""
CURVE_W = torch.from_numpy(np.exp(np.random.default_rng(4).normal(0, 1, 24)))
BUY_QUANTITY_TWAP = next(
    s
    for s, each in enumerate(SCENARIOS)
    if (each.side, each.benchmark, each.target) == (Side.BUY, Benchmark.TWAP, Target.QUANTITY)
)
RULES = make_rules(Setting(12, CostsConfig(), CURVE_W))


def same_bits(one: Executions, two: Executions) -> bool:
    return all(torch.equal(getattr(one, name), getattr(two, name)) for name in Executions.__dataclass_fields__)


@PROPERTY
@given(st.integers(0, 2**32 - 1), st.integers(1, 14))
def test_zero_costs_without_a_cap_change_no_bit(seed, horizon):
    rng = np.random.default_rng(seed)
    terms, market = random_limits(rng, 6, horizon), random_market(rng, 6, horizon)
    for name, make in [(rule.name, lambda rule=rule: rule) for rule in RULES] + [("erratic", lambda: Erratic(seed))]:
        without = simulate(make(), market, terms)
        assert torch.equal(without.net_gain_O, without.gain_O), name
        assert same_bits(simulate(make(), market, terms, FREE), without), name


@PROPERTY
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 14),
    *[st.floats(0, 50) for _ in range(2)],
    *[st.floats(0, 20) for _ in range(2)],
)
def test_costs_never_pay_and_change_no_decision(seed, horizon, fee, spread, impact, size):
    rng = np.random.default_rng(seed)
    terms, market = random_limits(rng, 6, horizon), random_market(rng, 6, horizon)
    size = size + 1e-3
    costs = CostsConfig(fee_bps=fee, half_spread_bps=spread, impact=impact, order_size=size, participation_cap=2 * size)
    clean, charged = (simulate(Erratic(seed), market, terms, c) for c in (None, costs))
    assert (charged.net_gain_O <= charged.gain_O + 1e-15).all()
    assert torch.isfinite(charged.net_gain_O).all()
    assert same_bits(replace(charged, net_gain_O=clean.net_gain_O), clean), "decisions see clean fills"


def test_a_fill_costs_fee_half_spread_and_the_square_root_of_participation():
    market, terms = random_market(np.random.default_rng(1), 3, 4), terms_of(4, 4)
    costs = CostsConfig(fee_bps=2, half_spread_bps=1, impact=0.7, order_size=0.5, participation_cap=0.5)
    done = simulate(Twap(), market, terms, costs)
    price, volume = market.price_AK.numpy(), market.volume_AK.numpy()
    charge = 3e-4 + 0.7 * SIGMA * np.sqrt(0.25 * 0.5 / volume)
    for s, scenario in enumerate(SCENARIOS):
        paid = price * (1 + charge) if scenario.side is Side.BUY else price / (1 + charge)
        average = paid.mean(axis=1) if scenario.target is Target.QUANTITY else 1 / (1 / paid).mean(axis=1)
        bench = done.benchmark_O[:, 0, s].numpy()
        side = 1 if scenario.side is Side.BUY else -1
        np.testing.assert_allclose(done.net_gain_O[:, 0, s], side * (bench - average) / bench, atol=1e-13)


def test_fixed_costs_cost_what_they_say_and_larger_orders_cost_more():
    market, terms = random_market(np.random.default_rng(1), 40, 12), terms_of(6, 12)

    def cost_bps(**keys) -> torch.Tensor:
        done = simulate(Twap(), market, terms, CostsConfig(**{**FREE.model_dump(), **keys}))
        return (done.gain_O - done.net_gain_O) * 1e4

    fixed = cost_bps(fee_bps=2, half_spread_bps=1)
    torch.testing.assert_close(fixed, torch.full_like(fixed, 3.0), rtol=0.1, atol=0)
    small, large = (cost_bps(impact=1, order_size=size, participation_cap=9) for size in (0.2, 0.8))
    torch.testing.assert_close(large, 2 * small, rtol=0.01, atol=0)


def test_the_cap_binds_on_the_mean_volume_whatever_volume_comes():
    market, terms = random_market(np.random.default_rng(1), 40, 12), terms_of(1, 12)
    costs = CostsConfig(order_size=0.4, participation_cap=0.1)
    done = simulate(TwapToM(), market, terms, costs)
    assert costs.largest_rate == 0.25
    assert (done.slices_KO <= 0.25).all()
    assert (done.end_bar_O == 4).all(), "m = 1 takes the four bars that the cap asks for"
    assert (simulate(TwapToM(), market, terms).end_bar_O == 1).all()


@pytest.mark.parametrize(
    ("keys", "limits", "expected"),
    [
        (
            {"order_size": 1.0, "participation_cap": 0.1},
            (1, 6),
            "an order of 1 mean bar volumes under a participation_cap of 0.1 cannot trade in 6 bars; "
            "allowed: an order of at most 0.6 mean bar volumes",
        ),
        (
            {"order_size": 0.5, "participation_cap": 0.1},
            (2, 12, 0.4),
            "an order of 0.5 mean bar volumes under a participation_cap of 0.1 has a min_rate 0.4 above it; "
            "allowed: an order of at most 0.25 mean bar volumes",
        ),
    ],
)
def test_an_order_too_large_for_its_cap_is_refused_and_says_how_large_it_may_be(keys, limits, expected):
    market, costs = random_market(np.random.default_rng(1), 2, 12), CostsConfig(**keys)
    with pytest.raises(OrderError) as error:
        simulate(Twap(), market, terms_of(*limits), costs)
    assert str(error.value) == expected
    allowed = float(expected.rsplit(" ", 4)[1])
    just = costs.model_copy(update={"order_size": allowed})
    simulate(Twap(), market, terms_of(*limits), just)


def test_the_shortest_of_many_orders_decides_whether_the_size_is_allowed():
    costs = CostsConfig(order_size=0.5, participation_cap=0.1)
    with pytest.raises(OrderError, match="cannot trade in 3 bars"):
        with_costs(terms_of(1, torch.tensor([12.0, 3.0, 6.0])), costs)
    terms = with_costs(terms_of(1, torch.tensor([12.0, 6.0]), 0.0, torch.tensor([0.1, 1.0])), costs)
    assert terms.max_rate_O.flatten().tolist() == pytest.approx([0.1, 0.2])


@pytest.mark.parametrize("key", CostsConfig.model_fields)
@pytest.mark.parametrize("value", [-1e-9, float("nan"), float("inf"), float("-inf"), "much"])
def test_negative_and_not_finite_costs_are_refused(key, value):
    with pytest.raises(ValidationError, match=key):
        CostsConfig(**{key: value})


def test_an_order_without_a_size_and_a_cap_of_nothing_are_refused():
    for key in ("order_size", "participation_cap"):
        with pytest.raises(ValidationError, match=key):
            CostsConfig(**{key: 0.0})


def test_at_its_capacity_an_order_gains_nothing():
    """A gain of 25 bps, 3 bps of fixed costs, impact growing with the square root of the size."""
    costs = CostsConfig(fee_bps=2, half_spread_bps=1, order_size=0.2, participation_cap=9)
    gross, impact = np.array([20.0, 30.0, 25.0]), np.array([4.0, 6.0, 5.0])
    size = capacity(gross, gross - 3 - impact, costs)
    assert size == pytest.approx(0.2 * (22 / 5) ** 2)
    assert (gross - 3 - impact * math.sqrt(size / 0.2)).mean() == pytest.approx(0.0)


def test_capacity_is_found_on_executions():
    """Executed again at its capacity the same slices gain nothing on average."""
    market, terms = random_market(np.random.default_rng(1), 300, 12), terms_of(6, 12)
    costs = CostsConfig(fee_bps=1, half_spread_bps=1, impact=1, order_size=0.05, participation_cap=50)
    stop = OptimalStopping()
    done = simulate(stop, market, terms, costs)
    size = capacity(done.gain_O * 1e4, done.net_gain_O * 1e4, costs)
    assert 0.05 < size < 50
    again = simulate(stop, market, terms, costs.model_copy(update={"order_size": size}))
    assert float(done.net_gain_O.mean()) > 5e-4
    assert abs(float(again.net_gain_O.mean())) < 1e-5


def test_capacity_at_its_edges():
    costs = CostsConfig(fee_bps=2, half_spread_bps=1)
    assert capacity([2.0], [-2.0], costs) == 0.0
    assert capacity([25.0], [22.0], costs.model_copy(update={"impact": 0.0})) == math.inf
    assert capacity([25.0], [22.0], costs) == math.inf
    assert math.isnan(capacity([], [], costs))
    for wrong in (([1.0], [1.0, 2.0]), ([1.0, math.nan], [1.0, 2.0])):
        with pytest.raises(EvaluationError, match="allowed: finite gains of the same executed orders"):
            capacity(*wrong, costs)


def test_transient_impact_leaves_a_share_of_what_earlier_slices_moved_for_later_ones():
    market, terms = random_market(np.random.default_rng(1), 3, 3), terms_of(3, 3)
    costs = CostsConfig(fee_bps=2, half_spread_bps=1, impact=0.7, order_size=0.5, participation_cap=0.5)
    done = simulate(Twap(), market, terms, costs, impact_decay=2.0)
    price, volume = market.price_AK.numpy(), market.volume_AK.numpy()
    own = 0.7 * SIGMA * np.sqrt(0.5 / 3 / volume)
    left = math.exp(-1 / 2)
    after = np.stack([np.zeros(3), own[:, 0] * left, (own[:, 0] * left + own[:, 1]) * left], axis=1)
    average = (price * (1 + 3e-4 + own + after)).mean(axis=1)
    bench = done.benchmark_O[:, 0, BUY_QUANTITY_TWAP].numpy()
    np.testing.assert_allclose(done.net_gain_O[:, 0, BUY_QUANTITY_TWAP], (bench - average) / bench, atol=1e-13)


@pytest.mark.parametrize("decay", [0.5, 3.0, 50.0])
def test_transient_impact_changes_no_decision_and_only_costs_more(decay):
    rng = np.random.default_rng(7)
    market, terms = random_market(rng, 20, 8), terms_of(2, 8)
    temporary, transient = (simulate(Erratic(1), market, terms, CostsConfig(), bars) for bars in (0.0, decay))
    assert same_bits(replace(transient, net_gain_O=temporary.net_gain_O), temporary)
    assert (transient.net_gain_O <= temporary.net_gain_O).all()
    assert (transient.net_gain_O < temporary.net_gain_O).float().mean() > 0.9


@pytest.mark.parametrize(("decay", "costs"), [(-1.0, CostsConfig()), (math.inf, CostsConfig()), (2.0, None)])
def test_a_decay_that_cannot_be_charged_is_refused(decay, costs):
    market = random_market(np.random.default_rng(1), 2, 4)
    with pytest.raises(OrderError, match="allowed: finite, at least 0, and 0 where there are no costs"):
        simulate(Twap(), market, terms_of(1, 4), costs, decay)
