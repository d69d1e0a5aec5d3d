"""The simple rules, each against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lem.backtest.simulator import simulate
from lem.strategies.bang_bang import BangBang
from lem.strategies.bounds import stopping_rule
from lem.strategies.optimal_stopping import stopping_thresholds
from lem.strategies.twap_to_m import TwapToM
from tests.lem.builders import PROPERTY, random_limits, random_market, terms_of

SIGNS = [1, 1, 1, 1, -1, -1, -1, -1]
VWAP = [1, 1, 0, 0] * 2


@pytest.fixture
def market():
    return random_market(np.random.default_rng(0), 40, 12)


@pytest.mark.parametrize("m", [1, 5, 12])
def test_twap_to_m_trades_the_same_slice_in_every_bar_to_its_first_end(market, m):
    done = simulate(TwapToM(), market, terms_of(m, 12))
    assert (done.end_bar_O == m).all()
    expected = torch.zeros_like(done.slices_KO)
    expected[:m] = 1 / m
    torch.testing.assert_close(done.slices_KO, expected)


def test_twap_to_m_under_a_cap_ends_as_soon_as_the_cap_lets_it(market):
    done = simulate(TwapToM(), market, terms_of(2, 12, 0.0, 0.3))
    assert (done.end_bar_O == 4).all()
    torch.testing.assert_close(done.slices_KO[:4, 0, 0, 0], torch.tensor([0.3, 0.3, 0.3, 0.1], dtype=torch.float64))


def test_bang_bang_is_fast_below_the_benchmark_for_a_buy_and_above_it_for_a_sell(market):
    m, n = 3, 12
    done = simulate(BangBang(), market, terms_of(m, n))
    price, close, volume = (x.numpy() for x in (market.price_AK, market.last_close_AK, market.volume_AK))
    for a in range(40):
        for s, (sign, vwap) in enumerate(zip(SIGNS, VWAP, strict=True)):
            weight, remaining, end = volume[a] if vwap else np.ones(n), 1.0, 0
            for k in range(n):
                running = (weight[:k] * price[a, :k]).sum() / weight[:k].sum() if k else 1.0
                even = remaining / (n - k)
                asked = 2 * max(1 / n, even) if sign * (close[a, k] - running) < 0 else even / 2
                slice_ = remaining if k == n - 1 else min(asked, remaining)
                assert float(done.slices_KO[k, a, 0, s]) == pytest.approx(slice_, abs=1e-12)
                remaining, end = remaining - slice_, k + 1
                if remaining < 1e-9 and end >= m:
                    break
            assert int(done.end_bar_O[a, 0, s]) == end
    assert (done.end_bar_O < n).any()
    assert done.end_bar_O.min() >= n / 2


def test_bang_bang_with_nothing_left_waits_for_its_first_end(market):
    done = simulate(BangBang(), market, terms_of(10, 12))
    early_O = (done.slices_KO[9:] == 0).all(0)
    assert early_O.any()
    assert (done.end_bar_O[early_O] == 10).all()


@PROPERTY
@given(st.integers(0, 2**32 - 1), st.integers(1, 10), st.integers(0, 12))
def test_thresholds_of_many_orders_are_those_of_each(seed, horizon, k):
    terms = random_limits(np.random.default_rng(seed), 9, horizon)
    found = stopping_thresholds(terms, k)
    for a in range(9):
        m, n = int(terms.m_O[a]), int(terms.n_O[a])
        assert float(found[a]) == (stopping_rule(m, n).threshold[k] if k < n else float("inf"))
