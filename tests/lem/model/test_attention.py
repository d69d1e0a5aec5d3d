from __future__ import annotations

import pytest
import torch

from lem.model.attention import LookbackAttention

BARS, LOOKBACK = 20, 6


@pytest.fixture
def layer():
    torch.manual_seed(0)
    layer = LookbackAttention(8, 2, LOOKBACK).eval()
    with torch.no_grad():
        layer.distance_bias_NK.normal_()
    return layer


@torch.no_grad()
def test_a_bar_sees_exactly_its_lookback(layer):
    x, valid = torch.randn(2, BARS, 8), torch.ones(2, BARS, dtype=torch.bool)
    before = layer(x, valid)
    for changed in range(BARS):
        other = x.clone()
        other[:, changed] += 1.0
        moved_T = (layer(other, valid) != before).any(dim=-1).all(dim=0)
        expected_T = torch.tensor([changed <= t < changed + LOOKBACK for t in range(BARS)])
        assert torch.equal(moved_T, expected_T), changed


@torch.no_grad()
def test_nobody_looks_at_a_bar_that_is_not_valid_but_the_bar_itself(layer):
    x, valid = torch.randn(1, BARS, 8), torch.ones(1, BARS, dtype=torch.bool)
    valid[0, 5] = False
    other = x.clone()
    other[:, 5] += 1.0
    moved_T = (layer(other, valid) != layer(x, valid)).any(dim=-1)[0]
    assert moved_T.tolist() == [t == 5 for t in range(BARS)]


@torch.no_grad()
def test_where_no_bar_is_valid_each_sees_itself_alone(layer):
    x = torch.randn(1, BARS, 8)
    own = layer.out(layer.query_key_value(x).chunk(3, dim=-1)[2])
    torch.testing.assert_close(layer(x, torch.zeros(1, BARS, dtype=torch.bool)), own)


@torch.no_grad()
def test_the_mix_is_a_softmax_of_scaled_products_and_distance_biases(layer):
    x, valid = torch.randn(1, BARS, 8), torch.ones(1, BARS, dtype=torch.bool)
    q, k, v = layer.query_key_value(x)[0].chunk(3, dim=-1)
    t, heads = 11, []
    for head, columns in enumerate((slice(0, 4), slice(4, 8))):
        seen = list(range(t - LOOKBACK + 1, t + 1))
        scores = torch.stack([q[t, columns] @ k[j, columns] / 2 + layer.distance_bias_NK[head, t - j] for j in seen])
        heads.append(torch.softmax(scores, 0) @ v[seen][:, columns])
    torch.testing.assert_close(layer(x, valid)[0, t], layer.out(torch.cat(heads)), rtol=1e-4, atol=1e-5)
