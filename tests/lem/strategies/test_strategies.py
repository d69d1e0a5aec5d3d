from __future__ import annotations

import numpy as np
import pytest
import torch

from lem.backtest.simulator import simulate
from lem.errors import OrderError
from lem.execution.fills import open_ledger
from lem.strategies.base import View
from lem.strategies.bounds import stopping_rule
from lem.strategies.learned import Learned
from lem.strategies.optimal_stopping import OptimalStopping
from lem.strategies.twap import Twap
from tests.lem.builders import TINY, lively_model, random_market, terms_of


@pytest.fixture
def market():
    return random_market(np.random.default_rng(0), 40, 12)


@pytest.mark.parametrize("m", [1, 6, 12])
def test_twap_trades_the_same_slice_in_every_bar_to_the_longest_end(market, m):
    done = simulate(Twap(), market, terms_of(m, 12))
    torch.testing.assert_close(done.slices_KO, torch.full_like(done.slices_KO, 1 / 12))
    assert (done.end_bar_O == 12).all()


def test_optimal_stopping_ends_in_the_first_bar_at_or_below_its_threshold(market):
    m, n = 3, 12
    done = simulate(OptimalStopping(), market, terms_of(m, n))
    price, close, volume = (x.numpy() for x in (market.price_AK, market.last_close_AK, market.volume_AK))
    threshold = stopping_rule(m, n).threshold
    for a in range(40):
        for s, (sign, vwap) in enumerate([(1, 1), (1, 1), (1, 0), (1, 0), (-1, 1), (-1, 1), (-1, 0), (-1, 0)]):
            weight = volume[a] if vwap else np.ones(n)
            for k in range(n):
                running = (weight[:k] * price[a, :k]).sum() / weight[:k].sum() if k else 1.0
                if sign * (close[a, k] - running) / float(market.sigma_A[a]) <= threshold[k]:
                    break
            assert int(done.end_bar_O[a, 0, s]) == k + 1
    assert len(done.end_bar_O.unique()) > 5


def test_optimal_stopping_mixes_limits_of_any_shape(market):
    m = torch.tensor([1.0, 5.0, 12.0]).reshape(1, 3, 1)
    n = torch.tensor([12.0, 9.0] * 20).reshape(40, 1, 1)
    together = simulate(OptimalStopping(), market, terms_of(m.clamp(max=9), n))
    for j in range(3):
        alone = simulate(OptimalStopping(), market, terms_of(m.clamp(max=9)[:, j : j + 1], n))
        assert torch.equal(together.end_bar_O[:, j : j + 1], alone.end_bar_O)


def test_a_learned_strategy_needs_a_market_with_contexts(market):
    with pytest.raises(OrderError, match="the market holds no context; build it with the model"):
        simulate(Learned(lively_model()), market, terms_of(1, 12))


def test_a_learned_strategy_finishes_at_a_probability_of_one_half():
    model, terms = lively_model(TINY.model_copy(update={"base": "even"})), terms_of(1, 12)
    shape = torch.Size((2, 1, 8))
    view = View(3, terms, open_ledger(terms, shape), torch.ones(2, 1, 1), torch.zeros(2, TINY.hidden))
    with torch.no_grad():
        model.heads.out_SD2[..., 1] = 0.0
        for bias, finishes in ((-1e-3, False), (0.0, True), (1e-3, True)):
            model.heads.out_bias_S2[:, 1] = bias
            assert (Learned(model).decide(view).finish_O == finishes).all()


def test_a_learned_strategy_is_deterministic_even_with_dropout(market):
    model = lively_model(TINY.model_copy(update={"dropout": 0.5})).train()
    view = View(
        0, terms_of(1, 12), open_ledger(terms_of(1, 12), torch.Size((2, 1, 8))), torch.ones(2, 1, 1), torch.ones(2, 8)
    )
    strategy = Learned(model)
    assert torch.equal(strategy.decide(view).slice_O, strategy.decide(view).slice_O)
