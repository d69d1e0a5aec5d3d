"""The bound over signs: the value of the tree of signs, and at least the driftless bound on average."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lem.errors import OrderError
from lem.strategies.bounds import bound
from lem.theory.signs import signs_bound
from tests.lem.builders import brownian_steps


def by_tree(close, average, volume, m, vwap):
    """Backward over all 2^N sign paths of one path, without costs."""
    bars = len(close)
    weight = volume if vwap else np.ones(bars)

    def best(signs):
        k = len(signs)
        price, held, total = 0.0, 0.0, 0.0
        for j, sign in enumerate(signs):
            total += weight[j] * (price + sign * average[j])
            held += weight[j]
            price += sign * close[j]
        distance = price - total / held if k else 0.0
        finish = -held / (held + weight[k]) * distance if k + 1 >= m else -np.inf
        go = (best((*signs, 1)) + best((*signs, -1))) / 2 if k + 1 < bars else -np.inf
        return max(finish, go)

    return best(())


@pytest.mark.parametrize("vwap", [False, True])
@pytest.mark.parametrize("m", [1, 3, 6, 7])
def test_it_is_the_value_of_the_tree_of_signs(m, vwap):
    rng = np.random.default_rng(m)
    close, average = brownian_steps(rng, (5, 7))
    volume = rng.lognormal(0.0, 0.7, (5, 7))
    found = signs_bound(close, average, volume, m, vwap, points=2001)
    expected = [by_tree(*rows, m, vwap) for rows in zip(close, average, volume, strict=True)]
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert (found >= np.array(expected) - 1e-9).all(), "read along lines above it"


def test_on_a_driftless_market_it_is_at_least_the_bound_of_who_does_not_know_the_sizes():
    close, average = brownian_steps(np.random.default_rng(0), (4000, 12))
    ones = np.ones_like(close)
    for m in (1, 6, 9):
        values = signs_bound(close, average, ones, m, vwap=False)
        assert values.mean() >= bound(m, 12)
    assert signs_bound(close, average, ones, 12, vwap=False) == pytest.approx(0.0, abs=1e-12)


def test_costs_and_a_cap_take_from_it_and_a_dear_order_spreads_over_the_bars():
    close, average = brownian_steps(np.random.default_rng(1), (200, 6))
    ones = np.ones_like(close)
    free, dear, capped = (
        signs_bound(close, average, ones, 2, False, impact, cap)
        for impact, cap in ((0.0, 1.0), (0.3, 1.0), (0.3, 0.25))
    )
    assert (free >= dear - 1e-9).all()
    assert (dear >= capped - 1e-9).all()
    even = signs_bound(0 * close, 0 * average, ones, 6, False, 0.3)
    np.testing.assert_allclose(even, -0.3 * 6 * (1 / 6) ** 1.5, atol=1e-9)


@pytest.mark.parametrize("wrong", [(0, 0.1, 1.0), (7, 0.1, 1.0), (1, -0.1, 1.0), (1, 0.1, 0.1)])
def test_an_impossible_order_is_refused(wrong):
    m, impact, cap = wrong
    with pytest.raises(OrderError, match="allowed: m from 1 to N, an impact of 0 or more"):
        signs_bound(np.ones((1, 6)), np.ones((1, 6)), np.ones((1, 6)), m, False, impact, cap)


def test_no_order_of_the_signs_changes_it():
    rng = np.random.default_rng(3)
    close, average = brownian_steps(rng, (1, 5))
    volume = rng.lognormal(0.0, 0.7, (1, 5))
    values = [
        float(signs_bound(np.array(signs) * close, np.array(signs) * average, volume, 2, True, 0.2, 0.5)[0])
        for signs in itertools.product((1.0, -1.0), repeat=5)
    ]
    assert max(values) - min(values) < 1e-12
