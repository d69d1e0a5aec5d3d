from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from lem.execution.fills import Ledger
from lem.execution.orders import SCENARIOS, Benchmark
from lem.model.allocation import (
    BASE_INPUTS,
    LEAK,
    STATE_INPUTS,
    VOLUME_GUESSES,
    _benchmark_paces,
    _Perceptron,
)
from lem.model.base import even_pace
from tests.lem.builders import PROPERTY, TINY, lively_model, terms_of

S = 8


def plain(read_SXD, state_SXJ, state_SJD, out_SD2, out_bias_S2):
    """The perceptron as it is written down, one scenario after the other."""
    out_SR2 = []
    for s, state_XJ in enumerate(state_SXJ):
        hidden_XD = F.leaky_relu(state_XJ @ state_SJD[s] + read_SXD[s], LEAK)
        out_SR2.append(hidden_XD.flatten(0, -2) @ out_SD2[s] + out_bias_S2[s])
    return torch.stack(out_SR2)


def perceptron_inputs(rows, read_rows, inputs=5, width=6):
    shapes = (
        (S, *read_rows, width),
        (S, *rows, inputs),
        (S, inputs, width),
        (S, width, 2),
        (S, 2),
    )
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


@PROPERTY
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(0, 7), st.integers(0, 2**31))
def test_the_perceptron_has_the_outputs_and_gradients_of_the_plain_one(rows, shared, seed):
    """`shared`: bit i is set where the orders along dimension i read the same context."""
    torch.manual_seed(seed)
    read_rows = [1 if shared >> i & 1 else size for i, size in enumerate(rows)]
    read, state, *weights = inputs = perceptron_inputs(rows, read_rows)
    one, two = _Perceptron.apply(read, state, *weights), plain(read, state, *weights)
    torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10)
    weight = torch.randn_like(one)
    gradients = (torch.autograd.grad((out * weight).sum(), inputs) for out in (one, two))
    for by_hand, automatic in zip(*gradients, strict=True):
        torch.testing.assert_close(by_hand, automatic, rtol=1e-10, atol=1e-10)


def test_an_order_state_without_gradient_needs_none():
    read, state, *weights = perceptron_inputs((3,), (3,))
    _Perceptron.apply(read, state.detach(), *weights).sum().backward()
    assert read.grad is not None
    assert state.grad is None


@torch.no_grad()
def test_heads_answer_with_the_perceptrons_two_logits():
    """Without a theory as they are; with one, the second pair counts by the caution, which is the last input."""
    for base, inputs in (("even", STATE_INPUTS), ("programme", STATE_INPUTS + BASE_INPUTS)):
        heads = lively_model(TINY.model_copy(update={"base": base})).double().heads
        read, state = heads.read_context(torch.randn(40, TINY.hidden).double()), torch.randn(S, 40, inputs).double()
        found = torch.stack([logit.T for logit in heads(read, state)], -1)
        expected = plain(read, state, heads.state_SJD, heads.out_SD2, heads.out_bias_S2)
        if base == "programme":
            expected = expected[..., :2] + state[..., -1:] * expected[..., 2:]
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_what_a_bar_gives_to_its_orders_is_read_once_and_shared():
    """Several orders at one arrival share what was read, with the logits that each has alone."""
    heads = lively_model().double().heads
    read = heads.read_context(torch.randn(3, TINY.hidden, dtype=torch.float64))
    assert read.shape == (S, 3, TINY.head_hidden)
    state = torch.randn(S, 3, 5, STATE_INPUTS + BASE_INPUTS, dtype=torch.float64)
    together = heads(read.unsqueeze(2), state)
    for order in range(5):
        alone = heads(read, state[:, :, order])
        for one, other in zip(together, alone, strict=True):
            assert one.shape == (3, 5, S)
            torch.testing.assert_close(one[:, order], other, rtol=1e-12, atol=1e-12)


@PROPERTY
@given(st.integers(2, 30), st.data())
def test_a_benchmark_pace_leaves_what_the_benchmark_has_to_come_if_each_bar_has_the_guessed_volume(n, data):
    k = data.draw(st.integers(0, n - 2))
    traded = data.draw(st.lists(st.floats(0.1, 20.0), min_size=k, max_size=k))
    terms, one = terms_of(n, n), torch.ones(1, 1, 8, dtype=torch.float64)
    vwap = torch.tensor([scenario.benchmark is Benchmark.VWAP for scenario in SCENARIOS])
    weight = torch.where(vwap, one * sum(traded), one * k)
    remaining = data.draw(st.floats(0.05, 1.0)) * one
    ledger = Ledger(remaining, 1 - remaining, 1 - remaining, weight, weight)
    for guess, pace in zip(VOLUME_GUESSES, _benchmark_paces(ledger, terms, k), strict=True):
        even = even_pace(ledger, terms, 0 * one, remaining, k)
        left_after = remaining - remaining * torch.sigmoid(4 * pace + even)
        bar = torch.where(vwap, guess, 1.0)
        expected = bar * (n - k - 1) / (weight + bar * (n - k))
        inside = (expected < 0.99 * remaining) & (expected > 0.01 * remaining)
        torch.testing.assert_close(left_after[inside], expected[inside], rtol=1e-6, atol=1e-9)
        behind = expected >= remaining
        assert (left_after[behind] >= 0.98 * remaining[behind]).all(), "who is ahead of the benchmark waits"
