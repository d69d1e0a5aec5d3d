from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

from lem.data.features import FEATURES
from lem.errors import BarsError, LakeError
from lem.model.streaming import MarketStream, named
from lem.universe.model_config import ModelConfig
from tests.lem.builders import PROPERTY, TINY, lively_model

MARKETS, BARS = 3, 60
DEEP = TINY.model_copy(update={"tkan_layers": 2, "dropout": 0.3})
SIZES = {
    "tiny": TINY,
    "two layers": DEEP,
    "default": ModelConfig(),
    "plain LSTM": TINY.model_copy(update={"recurrence": "lstm", "tkan_layers": 2, "variable_selection": False}),
    "no attention": TINY.model_copy(update={"attention": False}),
    "attention alone": TINY.model_copy(update={"recurrence": "none"}),
    "nothing carried": TINY.model_copy(update={"recurrence": "none", "attention": False}),
}


def history(bars: int = BARS, markets: int = MARKETS, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and validity; one bar in five is not valid, and its features are 0."""
    generator = torch.Generator().manual_seed(seed)
    valid_NT = torch.rand(markets, bars, generator=generator) < 0.8
    features_NTF = 1.5 * torch.randn(markets, bars, len(FEATURES), generator=generator)
    return features_NTF * valid_NT.unsqueeze(-1), valid_NT


def step_by_step(stream: MarketStream, features_NTF: torch.Tensor, valid_NT: torch.Tensor) -> torch.Tensor:
    bars = zip(features_NTF.unbind(1), valid_NT.unbind(1), strict=True)
    return torch.stack([stream.advance(features_NF, valid_N) for features_NF, valid_N in bars], dim=1)


@torch.no_grad()
@pytest.mark.parametrize("config", SIZES.values(), ids=SIZES)
def test_a_stream_gives_the_contexts_of_one_pass_over_a_long_history(config):
    model = lively_model(config)
    bars = 8 * config.lookback
    features, valid = history(bars)
    batch = model.encode(features, valid)
    stream = MarketStream(model.train(), MARKETS)
    torch.testing.assert_close(step_by_step(stream, features, valid), batch, rtol=1e-5, atol=1e-5)


@PROPERTY
@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(0, 1000))
def test_warming_up_in_pieces_is_advancing_bar_by_bar(pieces, seed):
    model, (features, valid) = lively_model(seed=seed), history(sum(pieces), seed=seed)
    warmed, stepped = MarketStream(model, MARKETS), MarketStream(model, MARKETS)
    parts = zip(features.split(pieces, 1), valid.split(pieces, 1), strict=True)
    contexts = torch.cat([warmed.warm(*part) for part in parts], dim=1)
    torch.testing.assert_close(contexts, step_by_step(stepped, features, valid), rtol=1e-5, atol=1e-5)
    for name, tensor in stepped.state().items():
        torch.testing.assert_close(warmed.state()[name], tensor, rtol=1e-5, atol=1e-5)


def test_the_state_keeps_its_size_and_no_history_of_bars_or_gradients():
    stream, (features, valid) = MarketStream(lively_model(), MARKETS), history()
    sizes, memory = set(), set()
    for bar in range(BARS):
        context = stream.advance(features[:, bar], valid[:, bar])
        assert not context.requires_grad
        sizes.add(tuple(tensor.shape for tensor in stream.state().values()))
        # A view would keep the bars behind it alive.
        memory.add(sum(tensor.untyped_storage().nbytes() for _, tensor in named(stream._state)))
    assert len(sizes) == len(memory) == 1


def test_markets_do_not_see_each_other():
    model, (features, valid) = lively_model(), history()
    other_features, other_valid = features.clone(), valid.clone()
    other_features[1] += 1.0
    other_valid[1] = ~other_valid[1]
    one = step_by_step(MarketStream(model, MARKETS), features, valid)
    two = step_by_step(MarketStream(model, MARKETS), other_features, other_valid)
    assert torch.equal(one[[0, 2]], two[[0, 2]])
    assert (one[1] != two[1]).any(dim=-1).all()
    alone = step_by_step(MarketStream(model, 1), features[2:], valid[2:])
    torch.testing.assert_close(one[2:], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("config", SIZES.values(), ids=SIZES)
def test_a_saved_state_goes_on_with_the_same_bits(config):
    model, (features, valid) = lively_model(config), history()
    stream = MarketStream(model, MARKETS)
    stream.warm(features[:, :30], valid[:, :30])
    saved = save(stream.state())
    snapshot = stream.state()
    expected = step_by_step(stream, features[:, 30:], valid[:, 30:])
    for tensors in (load(saved), snapshot):
        resumed = MarketStream(model, MARKETS)
        resumed.restore(tensors)
        for tensor in tensors.values():
            tensor.zero_()
        assert torch.equal(step_by_step(resumed, features[:, 30:], valid[:, 30:]), expected)
        assert save(resumed.state()) == save(stream.state())


def test_what_is_not_the_state_of_such_a_stream_is_refused():
    model, (features, valid) = lively_model(), history()
    stream = MarketStream(model, MARKETS)
    stream.warm(features, valid)
    before = save(stream.state())
    with pytest.raises(LakeError, match=r"missing or unknown: attention\.valid_BT; allowed: recurrence\.0\.h_BH, "):
        stream.restore({name: tensor for name, tensor in stream.state().items() if name != "attention.valid_BT"})
    wrong = r"recurrence\.0\.h_BH is float32 \(4, 8\); allowed: float32 \(3, 8\) for 3 markets"
    with pytest.raises(LakeError, match=wrong):
        stream.restore(MarketStream(model, MARKETS + 1).state())
    with pytest.raises(LakeError, match="h_BH is float64"):
        stream.restore(MarketStream(lively_model().double(), MARKETS).state())
    assert save(stream.state()) == before


def test_bars_that_would_spoil_the_state_are_refused():
    stream, (features, valid) = MarketStream(lively_model(), MARKETS), history()
    before = save(stream.state())
    for bad in (math.nan, math.inf):
        spoilt = features[:, 0].clone()
        spoilt[2, 6] = bad
        with pytest.raises(BarsError, match="stream: log_volume of market 2 is not finite"):
            stream.advance(spoilt, valid[:, 0])
    for wrong in (
        (features[:2, 0], valid[:2, 0]),
        (features[:, 0, :5], valid[:, 0]),
        (features[:, 0], valid[:2, 0]),
        (features[:, 0], valid[:, 0].float()),
    ):
        with pytest.raises(BarsError, match="allowed: 3 markets, one or more bars, 13 features, and bool"):
            stream.advance(*wrong)
    with pytest.raises(BarsError, match="one or more bars"):
        stream.warm(features[:, :0], valid[:, :0])
    assert save(stream.state()) == before
