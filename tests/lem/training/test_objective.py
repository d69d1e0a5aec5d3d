from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lem.backtest.market import market_of
from lem.backtest.simulator import Market, simulate
from lem.data.features import FEATURES
from lem.data.panel import order_tape
from lem.execution.terms import Terms
from lem.model.lem import LEM
from lem.strategies.base import Decision
from lem.strategies.learned import Learned
from lem.training.objective import Outcome, Tape, _Shifted, expected_outcome, objective
from lem.universe.training_config import TrainingConfig
from tests.lem.builders import TINY, brownian_panel, lively_model, random_limits, random_market, terms_of

BARS, FIRST, ARRIVALS = 14, 5, 3


def tape_of(market: Market) -> Tape:
    """The same arrivals as one sequence of a training batch."""
    return Tape(
        price_BAK=market.price_AK[None],
        volume_BAK=market.volume_AK[None],
        last_close_BAK=market.last_close_AK[None],
        sigma_BA=market.sigma_A[None],
        accepted_BA=market.accepted_A[None],
    )


def as_batch(terms: Terms) -> Terms:
    """Terms of shape (A, 1, 8) as terms of shape (1, A, 8)."""
    columns = {name: getattr(terms, name) for name in Terms.__dataclass_fields__}
    return Terms(**{name: c if c.dim() < 3 else c.transpose(0, 1) for name, c in columns.items()})


def with_contexts(market: Market, context_TH: torch.Tensor) -> Market:
    """Slice k of the arrival at bar FIRST + a sees the context of the bar before."""
    arrivals, horizon = market.price_AK.shape
    before_AK = FIRST + np.arange(arrivals)[:, None] + np.arange(horizon) - 1
    return replace(market, context_AKH=context_TH[before_AK])


class FinishAt:
    """A model's pace, and the end in a given bar; keeps the probabilities to finish that the model named."""

    name = "finish_at"

    def __init__(self, model: LEM, end: int) -> None:
        self.model, self.end, self.probabilities = model, end, []

    def decide(self, view):
        read = self.model.heads.read_context(view.context_AH).unsqueeze(2)
        slice_O, finish_O = self.model.heads.decide(read, view.ledger, view.terms, view.last_close_A11, view.k)
        self.probabilities.append(finish_O)
        return Decision(slice_O, torch.full_like(finish_O, view.k == self.end, dtype=torch.bool))


@torch.no_grad()
@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_the_expectation_is_the_sum_over_all_ends(seed, horizon):
    rng = np.random.default_rng(seed)
    model, market = lively_model(seed=seed % 997).double(), random_market(rng, ARRIVALS, horizon)
    terms = random_limits(rng, ARRIVALS, horizon)
    context_TH = torch.randn(BARS, TINY.hidden, dtype=torch.float64)
    expected = [torch.zeros(ARRIVALS, 8, dtype=torch.float64) for _ in range(3)]
    alive = torch.ones(ARRIVALS, 8, dtype=torch.float64)
    for end in range(horizon):
        run = FinishAt(model, end)
        gain = simulate(run, with_contexts(market, context_TH), terms).gain_O[:, 0] / market.sigma_A[:, None]
        here = alive * run.probabilities[end][:, 0]
        for total, value in zip(expected, (gain, gain**2, gain.abs()), strict=True):
            total += here * value
        alive = alive - here
    assert alive.abs().max() < 1e-12, "the order ends for sure"
    outcome = expected_outcome(model, context_TH[None], FIRST, tape_of(market), as_batch(terms))
    for found, total in zip((outcome.mean_O, outcome.square_O, outcome.absolute_O), expected, strict=True):
        torch.testing.assert_close(found[0], total, rtol=1e-9, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize("bias", [50.0, -50.0])
def test_training_and_backtest_agree_on_the_same_tape(bias):
    """An order that finishes at its first chance, or at its last one: same contexts, same slices, same gain."""
    panel = brownian_panel(5)
    panel = replace(panel, features_NTF=panel.features_NTF.astype(np.float64))
    model = lively_model(seed=4).double()
    model.heads.out_SD2[..., 1] = 0.0
    model.heads.out_bias_S2[..., 1] = bias
    low, sequence, horizon, warmup = 50, 40, 6, 8
    near = panel.cut(low, low + sequence)
    bar_A = warmup + np.arange(sequence - horizon - warmup + 1)
    row_A = np.zeros_like(bar_A)
    limits = random_limits(np.random.default_rng(1), len(bar_A), horizon)
    for terms in (terms_of(2, horizon), terms_of(3, horizon, 0.05, 0.4), limits):
        done = simulate(Learned(model), market_of(near, row_A, bar_A, horizon, model), terms)
        tape = order_tape(near, row_A, bar_A, horizon)
        market = Market(
            *(torch.from_numpy(x) for x in (tape.price_AK, tape.volume_AK, tape.last_close_AK, tape.sigma_A)),
            torch.ones(len(bar_A), dtype=torch.bool),
        )
        context = model.encode(torch.from_numpy(near.features_NTF), torch.from_numpy(near.valid_NT))
        outcome = expected_outcome(model, context, warmup, tape_of(market), as_batch(terms))
        gain = done.gain_O[:, 0] / market.sigma_A[:, None]
        assert gain.abs().max() > 0.1
        torch.testing.assert_close(outcome.mean_O[0], gain, rtol=0, atol=1e-5)
        torch.testing.assert_close(outcome.square_O[0], gain**2, rtol=0, atol=1e-5)
        if terms.max_rate_O.min() == 1:
            assert (done.end_bar_O == (2 if bias > 0 else horizon)).all()


def test_the_gradient_is_that_of_finite_differences():
    rng = np.random.default_rng(3)
    model, market = lively_model(seed=2).double(), random_market(rng, ARRIVALS, 6)
    terms = as_batch(random_limits(rng, ARRIVALS, 6))
    features = torch.from_numpy(rng.standard_normal((1, BARS, len(FEATURES))))
    valid = torch.ones(1, BARS, dtype=torch.bool)

    def loss() -> torch.Tensor:
        outcome = expected_outcome(model, model.encode(features, valid), FIRST, tape_of(market), terms)
        return objective(outcome, terms, market.accepted_A[None], TrainingConfig())[0]

    parameters = list(model.parameters())
    gradients = torch.autograd.grad(loss(), parameters)
    generator = torch.Generator().manual_seed(0)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            parameter += 1e-6 * direction
            above = loss()
            parameter -= 2e-6 * direction
            below = loss()
            parameter += 1e-6 * direction
        numeric = float(above - below) / 2e-6
        assert numeric == pytest.approx(float((gradient * direction).sum()), rel=1e-4, abs=1e-7)


def test_slices_of_training_read_the_context_of_the_bar_before():
    """The gradient of the orders that arrive at FIRST reaches no context from its last decision's bar on."""
    model, market = lively_model().double(), random_market(np.random.default_rng(0), 1, 4)
    context = torch.randn(1, BARS, TINY.hidden, dtype=torch.float64, requires_grad=True)
    outcome = expected_outcome(model, context, FIRST, tape_of(market), terms_of(1, 4))
    (gradient,) = torch.autograd.grad(outcome.mean_O.sum(), context)
    used = [t for t in range(BARS) if gradient[0, t].abs().max() > 0]
    # The last bar takes what is left whatever the model says: bars FIRST - 1 to FIRST + 1 decide slices 0 to 2.
    assert used == [FIRST - 1, FIRST, FIRST + 1]


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize(("first", "arrivals", "horizon"), [(1, 1, 1), (1, 4, 3), (5, 3, 6), (9, 3, 1)])
def test_what_the_heads_read_is_cut_and_added_up_as_by_a_plain_index(first, arrivals, horizon, every):
    read_SBTD = torch.randn(8, 2, BARS, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(horizon, 8, 2, arrivals, 3, dtype=torch.float64)
    cut = _Shifted.apply(read_SBTD, first, arrivals, every, horizon)
    starts = [first + k - 1 for k in range(horizon)]
    plain = [read_SBTD[:, :, start : start + (arrivals - 1) * every + 1 : every] for start in starts]
    assert all(torch.equal(x, y) for x, y in zip(cut, plain, strict=True))
    losses = [sum((w * x).sum() for w, x in zip(weights, parts, strict=True)) for parts in (cut, plain)]
    one, other = (torch.autograd.grad(loss, read_SBTD)[0] for loss in losses)
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_orders_that_arrive_some_bars_apart_are_those_of_every_bar_left_out():
    rng = np.random.default_rng(9)
    model, market = lively_model(seed=7).double(), random_market(rng, ARRIVALS, 6)
    terms, context = as_batch(random_limits(rng, ARRIVALS, 6)), torch.randn(1, BARS, TINY.hidden, dtype=torch.float64)
    tape, few = tape_of(market), slice(1, None, 3)
    few_tape = Tape(**{name: value[:, few] for name, value in vars(tape).items()})
    per_order = {
        name: value[:, few] if value.dim() == 3 and value.shape[1] > 1 else value for name, value in vars(terms).items()
    }
    whole = expected_outcome(model, context, FIRST, tape, terms)
    part = expected_outcome(model, context, FIRST + 1, few_tape, Terms(**per_order), every=3)
    for name in Outcome.__dataclass_fields__:
        torch.testing.assert_close(getattr(part, name), getattr(whole, name)[:, few], rtol=1e-12, atol=1e-12)


def test_several_orders_at_one_arrival_are_those_of_each_alone_and_add_up_their_gradients():
    rng = np.random.default_rng(8)
    model, market = lively_model(seed=6).double(), random_market(rng, ARRIVALS, 6)
    context = torch.randn(1, BARS, TINY.hidden, dtype=torch.float64, requires_grad=True)
    each = [as_batch(random_limits(rng, ARRIVALS, 6)) for _ in range(3)]
    columns = {name: [getattr(terms, name) for terms in each] for name in Terms.__dataclass_fields__}
    together = Terms(**{n: torch.stack(c, 2) if c[0].dim() == 3 else c[0] for n, c in columns.items()})
    tape = tape_of(market)
    whole = expected_outcome(model, context, FIRST, tape, together)
    parts = [expected_outcome(model, context, FIRST, tape, terms) for terms in each]
    assert whole.mean_O.shape == (1, ARRIVALS, 3, 8)
    for name in Outcome.__dataclass_fields__:
        expected = torch.stack([getattr(part, name) for part in parts], 2)
        torch.testing.assert_close(getattr(whole, name), expected, rtol=1e-11, atol=1e-12)
    parameters = [context, *model.heads.parameters()]
    of_whole = torch.autograd.grad(whole.mean_O.sum(), parameters)
    of_parts = torch.autograd.grad(sum(part.mean_O.sum() for part in parts), parameters)
    torch.testing.assert_close(of_whole, of_parts, rtol=1e-9, atol=1e-10)


def test_the_loss_weighs_timing_against_risk_tracks_at_m_equal_n_and_skips_gaps():
    terms = terms_of(torch.tensor([[[1.0], [4.0], [4.0]]]), 4, risk=2.0)
    full = [torch.full((1, 3, 8), v, dtype=torch.float64) for v in (0.3, 0.4, 0.5, 0.2, 0.6, 0.1)]
    accepted = torch.tensor([[True, True, False]])
    for changes, timing in (
        ({}, 0.4 - 2.0 / 2 * 0.2),
        ({"risk": "deviation"}, 0.4 - 2.0 / 2 * 0.5),
        ({"direction": 0.25, "direction_vwap": 0.25}, 0.4 - 0.25 * 0.1 - 2.0 / 2 * 0.2),
    ):
        config = TrainingConfig(tracking_weight=1.5, **({"direction": 0.0, "direction_vwap": 0.0} | changes))
        loss, gain = objective(Outcome(*full), terms, accepted, config)
        assert float(loss) == pytest.approx(-(timing / (1.0 + 2.0) - (1.5 * 0.6 + 0.1)) / 2)
        assert float(gain) == pytest.approx(0.3)
    loss, _ = objective(Outcome(*full), terms, accepted, TrainingConfig())
    spoilt = [x.clone().index_fill_(1, torch.tensor([2]), 99.0) for x in full]
    assert objective(Outcome(*spoilt), terms, accepted, TrainingConfig())[0] == loss
    assert float(objective(Outcome(*full), terms, accepted & False, TrainingConfig())[0]) == 0.0
