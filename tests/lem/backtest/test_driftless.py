"""The control of everything: on a driftless market nobody gains more than the bound, and nobody anything at m = N."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lem.backtest.bootstrap import day_blocks
from lem.backtest.market import market_of
from lem.backtest.simulator import simulate
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import SCENARIOS, Benchmark, Target
from lem.execution.terms import terms_for
from lem.strategies.bounds import bound
from lem.strategies.learned import Learned
from lem.training.trainer import train
from lem.universe.model_config import ModelConfig
from lem.universe.training_config import TrainingConfig
from tests.lem.builders import brownian_panel

SIGMA, HORIZON, MIN_BARS = 1e-3, 12, (1, 6, 9, 12)
MODEL = ModelConfig(hidden=16, embedding=4, kan_layers=1, kan_width=4, heads=2, lookback=8, head_hidden=16, warmup=12)
TRAINING = TrainingConfig(
    window_days=90, steps=80, batch=6, sequence=64, learning_rate=1.5e-2, risk_aversion=(0.02, 0.2), seed=0
)


@pytest.fixture(scope="module")
def gains():
    """Mean gain over TWAP of each day's arrivals in sigma, (day, m, side); the strategy was trained on other assets."""
    trained = train(brownian_panel(60, assets=3, seed=100, sigma=SIGMA), HORIZON, MODEL, TRAINING, CostsConfig())
    panel = brownian_panel(100, assets=4, seed=200, sigma=SIGMA)
    asset_A, bar_A = np.nonzero(panel.accepted(HORIZON))
    market = market_of(panel, asset_A, bar_A, HORIZON, trained.model)
    done = simulate(Learned(trained.model), market, terms_for(MIN_BARS, HORIZON, 0.05))
    kinds = [s.benchmark is Benchmark.TWAP and s.target is Target.QUANTITY for s in SCENARIOS]
    gain_AMS = (done.gain_O[..., torch.tensor(kinds)] / SIGMA).numpy()
    block_A = day_blocks(panel.date_T[bar_A])
    return np.stack([gain_AMS[block_A == block].mean(axis=0) for block in np.unique(block_A)])


def mean_and_error(gain_DMS: np.ndarray, m: int) -> tuple[float, float]:
    """Mean over both sides, and its standard error from blocks of one day: orders of a day overlap."""
    daily = gain_DMS[:, MIN_BARS.index(m)].mean(axis=1)
    return float(daily.mean()), float(daily.std(ddof=1) / np.sqrt(len(daily)))


@pytest.mark.thorough
@pytest.mark.parametrize("m", [1, 6, 9])
def test_a_learned_strategy_gains_no_more_than_the_bound(gains, m):
    mean, error = mean_and_error(gains, m)
    assert error < 0.02
    assert mean <= bound(m, HORIZON) + 3 * error


@pytest.mark.thorough
def test_a_learned_strategy_gains_nothing_where_there_is_nothing_to_time(gains):
    mean, error = mean_and_error(gains, HORIZON)
    assert abs(mean) <= 3 * error


@pytest.mark.thorough
def test_a_learned_strategy_has_learnt_something(gains):
    mean, _ = mean_and_error(gains, 6)
    assert mean >= bound(6, HORIZON) / 2
