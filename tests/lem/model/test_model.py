from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load, save

from lem.backtest.simulator import simulate
from lem.data.features import FEATURES
from lem.errors import LakeError
from lem.execution.fills import limits, may_finish, must_finish, open_ledger
from lem.execution.orders import SCENARIOS
from lem.execution.terms import make_terms
from lem.model.allocation import BASE_INPUTS, STATE_INPUTS, order_state
from lem.model.lem import LEM, load_lem, weights_hash
from lem.model.variable_selection import GatedResidualNetwork, VariableSelection
from lem.theory.reader import Reader
from lem.theory.table import BARS, EARLIER, FILE, grids_hash, rows_of, shared_table, table_hash
from lem.universe.model_config import ModelConfig
from tests.lem.builders import (
    PROPERTY,
    TINY,
    Erratic,
    lively_model,
    random_limits,
    random_market,
    terms_of,
)


@torch.no_grad()
@pytest.mark.parametrize("bar", [0, 5, 19])
def test_the_context_of_a_bar_depends_on_no_later_bar(bar):
    model = lively_model()
    features, valid = torch.randn(2, 20, len(FEATURES)), torch.ones(2, 20, dtype=torch.bool)
    other = features.clone()
    other[:, bar] += 1.0
    flags = valid.clone()
    flags[:, bar] = False
    before = model.encode(features, valid)
    for after in (model.encode(other, valid), model.encode(features, flags)):
        assert torch.equal(before[:, :bar], after[:, :bar])
    assert (model.encode(other, valid)[:, bar] != before[:, bar]).any()


@torch.no_grad()
def test_sequences_of_a_batch_do_not_see_each_other():
    model = lively_model()
    features, valid = torch.randn(3, 20, len(FEATURES)), torch.rand(3, 20) < 0.8
    alone = model.encode(features[1:2], valid[1:2])
    torch.testing.assert_close(model.encode(features, valid)[1:2], alone, rtol=1e-5, atol=1e-6)


def test_initial_weights_come_from_the_seed_and_leave_the_global_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, two, other = LEM(TINY, seed=1), LEM(TINY, seed=1), LEM(TINY, seed=2)
    assert torch.equal(torch.rand(3), expected)
    assert weights_hash(one.weights()) == weights_hash(two.weights()) != weights_hash(other.weights())


def test_weights_come_back_bit_by_bit_and_only_under_their_own_hash():
    model = lively_model()
    weights = model.weights()
    again = load_lem(weights, weights_hash(weights), TINY)
    assert not again.training
    assert all(torch.equal(again.state_dict()[name], value) for name, value in model.state_dict().items())
    tampered = weights[:-1] + bytes([weights[-1] ^ 1])
    with pytest.raises(LakeError, match="the object was changed, refused"):
        load_lem(tampered, weights_hash(weights), TINY)
    wider = TINY.model_copy(update={"head_hidden": 16})
    with pytest.raises(LakeError, match="not safetensors of a model of size"):
        load_lem(weights, weights_hash(weights), wider)
    with pytest.raises(LakeError, match="not safetensors"):
        load_lem(b"nonsense", weights_hash(b"nonsense"), TINY)


def test_weights_from_before_the_rule_with_risk_are_read_and_the_rule_pays_nothing_for_less_risk():
    model = lively_model()
    model.rule_risk.fill_(0.3)
    tensors = load(model.weights())
    del tensors["rule_risk"]
    weights = save(tensors)
    again = load_lem(weights, weights_hash(weights), TINY)
    assert float(again.rule_risk) == 0.0
    assert all(torch.equal(again.state_dict()[name], value) for name, value in tensors.items())


def from_an_earlier_version(model, table):
    """Weights as they were when each model kept the whole table of the theory."""
    tensors = load(model.weights())
    del tensors["heads.base.theory"]
    return save(tensors | {f"heads.base.{name}": part.clone() for name, part in table.items()})


def test_weights_hold_the_hash_of_the_theorys_table_and_not_the_table():
    model, (_, sha256) = lively_model(), shared_table()
    tensors = load(model.weights())
    assert bytes(tensors["heads.base.theory"].tolist()).hex() == sha256
    assert not {"heads.base.margin", "heads.base.pace"} & set(tensors)
    assert len(model.weights()) < 1_000_000


def test_a_model_of_an_earlier_version_goes_by_the_table_that_it_kept():
    model, (bars,) = lively_model(), EARLIER
    rows, table = rows_of(sum(BARS)), shared_table()[0]
    places = [BARS.index(n) for n in bars]
    earlier = {
        "margin": torch.cat([table["margin"][rows.first_end[i] :][: BARS[i]] for i in places]),
        "pace": torch.cat([table["pace"][rows.first[i] :][: BARS[i] * (BARS[i] + 1) // 2] for i in places]),
    }
    weights = from_an_earlier_version(model, earlier)
    again = load_lem(weights, weights_hash(weights), TINY)
    assert torch.equal(again.heads.base.pace, earlier["pace"])
    terms = make_terms(SCENARIOS, 2, 12, max_rate=0.5)
    risk = torch.full((len(SCENARIOS),), 0.1, dtype=torch.float64)
    remaining, distance = torch.full_like(risk, 0.7), torch.full_like(risk, -0.4)
    advice = [
        Reader(base.margin, base.pace, terms, risk).read(remaining, distance, 3)
        for base in (again.heads.base, model.heads.base)
    ]
    assert torch.equal(advice[0].place_O, advice[1].place_O)
    assert torch.equal(advice[0].margin_O, advice[1].margin_O)


def test_a_table_that_no_version_made_is_refused():
    table = {name: part[:-1] for name, part in shared_table()[0].items()}
    weights = from_an_earlier_version(lively_model(), table)
    with pytest.raises(LakeError, match="a table of the theory with 76 rows of margins"):
        load_lem(weights, weights_hash(weights), TINY)


def test_a_model_of_another_table_reads_the_one_that_was_put_away_with_it(tmp_path):
    table = {name: part.clone() for name, part in shared_table()[0].items()}
    table["pace"].fill_(7)
    model = lively_model()
    model.heads.base.read(table)
    weights, wanted = model.weights(), table_hash(table)
    np.savez_compressed(
        tmp_path / "put.npz", grids=np.array(grids_hash()), **{name: part.numpy() for name, part in table.items()}
    )
    asked = []

    def stored(sha256):
        asked.append(sha256)
        return (tmp_path / "put.npz").read_bytes()

    again = load_lem(weights, weights_hash(weights), TINY, stored)
    assert (asked, bool((again.heads.base.pace == 7).all()), again.weights() == weights) == ([wanted], True, True)
    with pytest.raises(LakeError, match=r"trained with the table .* of the theory, this version has"):
        load_lem(weights, weights_hash(weights), TINY)
    with pytest.raises(LakeError, match=r"the stored table .* of the theory was changed, refused"):
        load_lem(weights, weights_hash(weights), TINY, lambda _: FILE.read_bytes())


def test_an_impossible_size_is_refused():
    with pytest.raises(ValidationError, match="heads: 3 does not divide hidden 8"):
        ModelConfig(hidden=8, heads=3)
    with pytest.raises(ValidationError, match="warmup: 4 is shorter than lookback 5"):
        ModelConfig(lookback=5, warmup=4)


@torch.no_grad()
def test_an_untrained_head_trades_an_even_pace():
    from lem.strategies.twap import Twap

    market, terms = random_market(np.random.default_rng(0), 4, 12), terms_of(12, 12)
    heads = LEM(TINY).double().heads

    class Untrained:
        name = "untrained"

        def decide(self, view):
            read = heads.read_context(torch.zeros(4, TINY.hidden, dtype=torch.float64)).unsqueeze(2)
            slice_O, finish_O = heads.decide(read, view.ledger, view.terms, view.last_close_A11, view.k)
            return type(Twap().decide(view))(slice_O, finish_O >= 0.5)

    slices = simulate(Untrained(), market, terms).slices_KO
    torch.testing.assert_close(slices, torch.full_like(slices, 1 / 12), rtol=0, atol=1e-6)


@torch.no_grad()
@PROPERTY
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_heads_ask_for_what_the_limits_allow(seed, horizon):
    rng = np.random.default_rng(seed)
    terms, market = random_limits(rng, 5, horizon), random_market(rng, 5, horizon)
    heads = lively_model(seed=seed % 1000, scale=3.0).double().heads
    erratic = Erratic(seed)

    class Checked:
        name = "checked"

        def decide(self, view):
            read = heads.read_context(torch.randn(5, TINY.hidden, dtype=torch.float64)).unsqueeze(2)
            slice_O, finish_O = heads.decide(read, view.ledger, view.terms, view.last_close_A11, view.k)
            low_O, high_O = limits(view.ledger, view.terms, view.k)
            assert (slice_O >= low_O).all()
            assert (slice_O <= high_O + 1e-15).all()
            must = must_finish(view.ledger, view.terms, view.k)
            assert (finish_O[must] == 1).all()
            assert (finish_O[~must & ~may_finish(view.ledger, view.terms, view.k)] == 0).all()
            return erratic.decide(view)

    simulate(Checked(), market, terms)


def test_an_orders_state_is_finite_and_of_order_one_even_at_its_edges():
    for terms, k in product((terms_of(1, 1, 0.0, 1.0, 0.0), terms_of(1, 48, 1.0, 1.0, 3.0)), (0, 1, 50)):
        state = order_state(open_ledger(terms, torch.Size((1, 1, 8))), terms, torch.full((1, 1, 1), 1e9), k)
        assert state.shape == (8, 1, 1, STATE_INPUTS)
        assert torch.isfinite(state).all()
        assert state.abs().max() <= 10


@torch.no_grad()
def test_heads_are_independent_networks():
    heads = lively_model().heads
    read = heads.read_context(torch.randn(3, TINY.hidden))
    state = torch.randn(8, 3, STATE_INPUTS + BASE_INPUTS)
    pace, finish = heads(read, state)
    state[2] += 1.0
    for before, after in zip((pace, finish), heads(read, state), strict=True):
        assert (before != after).any(dim=0).tolist() == [s == 2 for s in range(8)]


@torch.no_grad()
def test_variable_selection_weighs_the_features_to_a_convex_mix():
    torch.manual_seed(0)
    layer = VariableSelection(5, 3, 0.0).eval()
    same = torch.randn(1, 1, 1, 3).expand(2, 4, 5, 3)
    layer.own_FEE.copy_(layer.own_FEE[:1].expand_as(layer.own_FEE))
    own = layer.norm(same[:, :, 0] + torch.nn.functional.elu(same[:, :, 0]) @ layer.own_FEE[0])
    torch.testing.assert_close(layer(same), own)


@torch.no_grad()
def test_a_gated_residual_network_with_a_shut_gate_passes_its_input_on():
    layer = GatedResidualNetwork(6, 4, 6, 0.0).eval()
    layer.gated.gate.weight.zero_()
    layer.gated.gate.bias.copy_(torch.tensor([0.0] * 6 + [-100.0] * 6))
    x = torch.randn(7, 6)
    torch.testing.assert_close(layer(x), torch.nn.functional.layer_norm(x, (6,)))
