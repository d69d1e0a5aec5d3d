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
    before = layer(x, valid)[0]
    for changed in range(BARS):
        other = x.clone()
        other[:, changed] += 1.0
        moved_T = (layer(other, valid)[0] != before).any(dim=-1).all(dim=0)
        expected_T = torch.tensor([changed <= t < changed + LOOKBACK for t in range(BARS)])
        assert torch.equal(moved_T, expected_T), changed


@torch.no_grad()
def test_nobody_looks_at_a_bar_that_is_not_valid_but_the_bar_itself(layer):
    x, valid = torch.randn(1, BARS, 8), torch.ones(1, BARS, dtype=torch.bool)
    valid[0, 5] = False
    other = x.clone()
    other[:, 5] += 1.0
    moved_T = (layer(other, valid)[0] != layer(x, valid)[0]).any(dim=-1)[0]
    assert moved_T.tolist() == [t == 5 for t in range(BARS)]


@torch.no_grad()
def test_where_no_bar_is_valid_each_sees_itself_alone(layer):
    x = torch.randn(1, BARS, 8)
    own = layer.out(layer.query_key_value(x).chunk(3, dim=-1)[2])
    torch.testing.assert_close(layer(x, torch.zeros(1, BARS, dtype=torch.bool))[0], own)


def bar_by_bar(layer, x_BTH, valid_BT):
    """Each bar's mix by its definition: a softmax of scaled products and distance biases over what it may see."""
    out_BTH = torch.empty_like(x_BTH)
    width = x_BTH.shape[2] // layer.heads
    for b, x_TH in enumerate(x_BTH):
        q, k, v = layer.query_key_value(x_TH).chunk(3, dim=-1)
        for t in range(len(x_TH)):
            seen = [j for j in range(max(0, t - layer.lookback + 1), t + 1) if j == t or valid_BT[b, j]]
            mixed = []
            for head in range(layer.heads):
                own = slice(head * width, (head + 1) * width)
                bias = layer.distance_bias_NK[head, [t - j for j in seen]]
                mixed.append(torch.softmax(k[seen, own] @ q[t, own] / width**0.5 + bias, 0) @ v[seen, own])
            out_BTH[b, t] = layer.out(torch.cat(mixed))
    return out_BTH


@torch.no_grad()
@pytest.mark.parametrize("bars", [1, 2, 5, 6, 7, 12, 13, 20, 23])
def test_blocks_mix_as_the_definition_says_bar_by_bar(layer, bars):
    layer.double()
    x, valid = torch.randn(2, bars, 8, dtype=torch.float64), torch.rand(2, bars) < 0.7
    torch.testing.assert_close(layer(x, valid)[0], bar_by_bar(layer, x, valid), rtol=1e-12, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("cuts", [(1,), (6,), (13,), (1, 2, 3), (4, 5, 11), tuple(range(1, BARS))])
def test_a_sequence_in_pieces_gives_what_it_gives_in_one(layer, cuts):
    x, valid = torch.randn(2, BARS, 8), torch.rand(2, BARS) < 0.7
    state, pieces = None, []
    for low, high in zip((0, *cuts), (*cuts, BARS), strict=True):
        piece, state = layer(x[:, low:high], valid[:, low:high], state)
        pieces.append(piece)
    torch.testing.assert_close(torch.cat(pieces, 1), layer(x, valid)[0], rtol=1e-5, atol=1e-6)


def test_the_state_is_of_one_size_and_carries_no_gradient(layer):
    x, valid = torch.randn(2, BARS, 8, requires_grad=True), torch.ones(2, BARS, dtype=torch.bool)
    for bars in (1, 3, BARS):
        for before, after in zip(layer.start(2), layer(x[:, :bars], valid[:, :bars])[1], strict=True):
            assert before.shape == after.shape
            assert not after.requires_grad
