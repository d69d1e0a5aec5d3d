from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from lem.backtest.simulator import check_terms
from lem.data.features import FEATURES, SIGNED
from lem.data.panel import Panel, order_tape, panel_table
from lem.errors import TrainingError
from lem.execution.costs_config import CostsConfig
from lem.model.lem import LEM, load_lem, weights_hash
from lem.strategies.volume_curve import fit_volume_curve
from lem.training.trainer import SIZES, Batches, mirrored, random_terms, to_tape, train, training_places
from lem.universe.training_config import TrainingConfig
from tests.lem.builders import PROPERTY, TINY, TINY_TRAINING, brownian_bars, brownian_panel, features_of

HORIZON, COSTS = 4, CostsConfig()
PANEL = brownian_panel(6, assets=2).cut(48, 144)


def hash_of(panel=PANEL, costs=COSTS, **changes) -> str:
    config = TINY_TRAINING.model_copy(update=changes)
    return weights_hash(train(panel, HORIZON, TINY, config, costs).model.weights())


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before(dropout):
    model = TINY.model_copy(update={"dropout": dropout})
    hashes = set()
    for _ in range(2):
        hashes.add(weights_hash(train(PANEL, HORIZON, model, TINY_TRAINING, COSTS).model.weights()))
        torch.rand(17)
    assert len(hashes) == 1


def test_anything_else_gives_other_weights():
    hashes = [
        hash_of(),
        hash_of(seed=4),
        hash_of(steps=5),
        hash_of(PANEL.of(PANEL.assets[:1])),
        hash_of(tracking_weight=0.5),
        hash_of(mirror=False),
        *(hash_of(costs=COSTS.model_copy(update=own)) for own in ({"order_size": 0.1}, {"impact": 1.0})),
    ]
    assert len(set(hashes)) == len(hashes)


def test_training_leaves_the_global_random_state_and_the_threads_alone():
    torch.manual_seed(9)
    expected, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(9)
    hash_of(threads=2)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_loss_falls_on_a_driftless_market():
    """From an even pace on: what corrects the theory begins where there is hardly anything left to learn there."""
    config = TrainingConfig(window_days=8, holdout_days=2, steps=120, batch=6, sequence=30, learning_rate=1e-2, seed=1)
    trained = train(PANEL, 8, TINY.model_copy(update={"base": "even"}), config, COSTS)
    losses = [point.loss for point in trained.curve]
    assert len(losses) == 120
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.02
    assert trained.curve[-1].gain_sigma > trained.curve[0].gain_sigma
    assert not trained.model.training


def test_the_curve_and_the_progress_count_every_step():
    seen: list[int] = []
    trained = train(PANEL, HORIZON, TINY, TINY_TRAINING, COSTS, lambda step, loss: seen.append(step))
    assert seen == [1, 2, 3, 4]
    assert [point.step for point in trained.curve] == seen
    assert all(np.isfinite([point.loss, point.gain_sigma, point.learning_rate]).all() for point in trained.curve)
    assert trained.arrivals == PANEL.accepted(HORIZON).sum()


@pytest.mark.parametrize("steps", range(1, 9))
def test_any_number_of_steps_can_be_trained(steps):
    """A one-cycle schedule has two phases, and neither may come out with a length of zero."""
    trained = train(PANEL, HORIZON, TINY, TINY_TRAINING.model_copy(update={"steps": steps}), COSTS)
    assert trained.curve[-1].step == steps
    assert all(0 <= point.learning_rate <= TINY_TRAINING.learning_rate for point in trained.curve)


def test_features_that_are_not_finite_stop_the_training():
    features = PANEL.features_NTF.copy()
    features[:, ::5, FEATURES.index("ret")] = np.nan
    with pytest.raises(TrainingError, match=r"the loss is nan at step 1; allowed: "):
        train(replace(PANEL, features_NTF=features), HORIZON, TINY, TINY_TRAINING, COSTS)


def test_gaps_change_no_weight_by_the_values_that_lie_in_them():
    """Arrivals over a gap are masked: what the tape holds there is without effect."""
    spoilt, valid = PANEL.vwap_NT.copy(), PANEL.valid_NT.copy()
    spoilt[:, 50], valid[:, 50] = np.nan, False
    gap = replace(PANEL, vwap_NT=spoilt, valid_NT=valid)
    louder = replace(gap, volume_NT=np.where(np.isnan(spoilt), 1e6, gap.volume_NT))
    assert hash_of(gap) == hash_of(louder) != hash_of()


def test_a_window_without_a_sequence_to_learn_from_is_refused():
    for panel in (PANEL.cut(0, 20), replace(PANEL, valid_NT=np.zeros_like(PANEL.valid_NT))):
        with pytest.raises(TrainingError, match="hold no sequence of 24 bars with an order of 4 bars"):
            train(panel, HORIZON, TINY, TINY_TRAINING, COSTS)


def test_places_are_the_sequences_that_hold_an_accepted_arrival():
    valid = PANEL.valid_NT.copy()
    valid[0, 30:60] = False
    panel = replace(PANEL, valid_NT=valid)
    accepted, warmup, sequence = panel.accepted(HORIZON), 6, 24
    expected = [
        (n, t)
        for n in range(2)
        for t in range(panel.bars - sequence + 1)
        if accepted[n, t + warmup : t + sequence - HORIZON + 1].any()
    ]
    assert [tuple(p) for p in training_places(panel, HORIZON, warmup, sequence)] == expected
    assert len(expected) < 2 * (panel.bars - sequence + 1)


@pytest.mark.parametrize("every", [1, 3, 5, 64])
def test_arrivals_lie_every_few_bars_and_start_at_another_bar_in_each_step(every):
    config = TINY_TRAINING.model_copy(update={"arrival_every": every})
    batches, warmup = Batches(PANEL, HORIZON, TINY.warmup, config, COSTS), TINY.warmup
    bars = config.sequence - HORIZON - warmup + 1
    drawn = [batches.draw(slice(0, config.batch)) for _ in range(200)]
    arrivals = {batch.tape.sigma_BA.shape[1] for batch in drawn}
    assert arrivals == {max(1, bars // every)}
    reach = {batch.first + (a - 1) * every for batch in drawn for a in arrivals}
    assert {batch.first for batch in drawn} == set(range(warmup, warmup + bars - (arrivals.pop() - 1) * every))
    assert max(reach) == config.sequence - HORIZON, "every bar that an order fits behind is an arrival at times"
    assert min(batch.first for batch in drawn) == warmup


def test_each_arrival_has_the_prices_of_its_own_bars():
    """The tape's arrival `a` is the bar first + a * every of its sequence: the close before it has the price 1."""
    config = TINY_TRAINING.model_copy(update={"arrival_every": 3, "mirror": False})
    batches = Batches(PANEL, HORIZON, TINY.warmup, config, COSTS)
    whole = Batches(PANEL, HORIZON, TINY.warmup, config.model_copy(update={"arrival_every": 1}), COSTS)
    for _ in range(5):
        batches.generator = torch.Generator().manual_seed(11)
        whole.generator = torch.Generator().manual_seed(11)
        some, every = (one.draw(slice(0, config.batch)) for one in (batches, whole))
        at = slice(some.first - TINY.warmup, None, 3)
        count = some.tape.sigma_BA.shape[1]
        for name, value in vars(some.tape).items():
            assert torch.equal(value, getattr(every.tape, name)[:, at][:, :count]), name


@PROPERTY
@example(54, 3210, (0.25, 2.0))  # 1 / 29 rounded down in float32
@given(st.integers(2, 60), st.integers(0, 2**32 - 1), st.sampled_from([(0.25, 2.0), (0.0, 1.0)]))
def test_random_orders_are_always_feasible(horizon, seed, risk):
    config = TINY_TRAINING.model_copy(update={"risk_aversion": risk})
    terms = random_terms((500, 8), horizon, config, COSTS, torch.Generator().manual_seed(seed))
    check_terms(terms, horizon)
    assert (terms.m_O == terms.m_O.round()).all()
    assert (terms.n_O == terms.n_O.round()).all()
    assert (terms.n_O >= 2).all()
    assert ((terms.risk_aversion_O >= risk[0]) | (terms.risk_aversion_O == 0)).all()
    assert (terms.risk_aversion_O <= risk[1]).all()


def test_random_orders_cover_what_the_backtest_asks_for():
    terms = random_terms((4000, 8), 12, TINY_TRAINING, COSTS, torch.Generator().manual_seed(0))
    assert set(terms.m_O.unique().tolist()) == set(range(1, 13))
    assert set(terms.n_O.unique().tolist()) == set(range(2, 13))
    assert 0.15 < float((terms.m_O == terms.n_O).double().mean()) < 0.4
    assert 0.5 < float((terms.n_O == 12).double().mean()) < 0.6
    free = terms.size_O == 0
    assert 0.25 < float((terms.max_rate_O[free] < 1).double().mean()) < 0.4
    assert 0.35 < float((terms.risk_aversion_O == 0).double().mean()) < 0.45


def test_random_orders_have_the_universes_size_sizes_around_it_and_none_all_under_the_cap():
    terms = random_terms((4000, 8), 12, TINY_TRAINING, COSTS, torch.Generator().manual_seed(0))
    size, cap = terms.size_O, COSTS.participation_cap
    free, usual = size == 0, size == torch.tensor(COSTS.order_size)
    assert float(free.double().mean()) == pytest.approx(TINY_TRAINING.free, abs=0.02)
    assert float(usual.double().mean()) == pytest.approx(TINY_TRAINING.usual, abs=0.02)
    others = size[~free & ~usual] / COSTS.order_size
    assert 1 / SIZES <= others.min() < 1.05 / SIZES
    assert 0.95 * SIZES < others.max() <= SIZES
    assert (terms.max_rate_O[~free] <= (cap / size).maximum(1 / terms.n_O)[~free] * (1 + 1e-5)).all()
    assert (terms.impact_O == COSTS.impact).all()


def test_a_new_model_has_its_seeds_weights_before_the_first_step():
    none = train(
        PANEL, HORIZON, TINY, TINY_TRAINING.model_copy(update={"learning_rate": 1e-12, "weight_decay": 0.0}), COSTS
    )
    for name, value in LEM(TINY, seed=TINY_TRAINING.seed).named_parameters():
        torch.testing.assert_close(none.model.state_dict()[name], value, rtol=0, atol=1e-9)


def tape_of(panel: Panel):
    """All accepted arrivals of the panel's only asset as one sequence."""
    bar_A = np.flatnonzero(panel.accepted(HORIZON)[0])
    tape = order_tape(panel, np.zeros_like(bar_A), bar_A, HORIZON)
    return to_tape(tape, np.ones(len(bar_A), dtype=bool), (1, len(bar_A)))


def test_a_mirrored_market_is_the_one_that_the_bars_upside_down_would_give():
    bars = brownian_bars(6, momentum=0.3, seed=4)
    turned = bars.assign(**{name: 1 / bars[name] for name in ("open", "close", "vwap")})
    turned["high"], turned["low"] = 1 / bars["low"], 1 / bars["high"]
    there, turned = (Panel.from_table(panel_table({"AAA": features_of(table)})) for table in (bars, turned))
    features_1TF = torch.from_numpy(there.features_NTF)
    found_1TF, found = mirrored(features_1TF, tape_of(there), torch.tensor([True]))
    expected = tape_of(turned)
    torch.testing.assert_close(found_1TF, torch.from_numpy(turned.features_NTF), rtol=0, atol=1e-5)
    for name in ("price_BAK", "last_close_BAK", "volume_BAK", "sigma_BA"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-5, atol=1e-6)
    moved = {name for i, name in enumerate(FEATURES) if (found_1TF[..., i] != features_1TF[..., i]).any()}
    assert moved == set(SIGNED)


def test_only_the_chosen_sequences_are_turned_and_twice_is_back():
    generator = torch.Generator().manual_seed(0)
    features_BTF = torch.randn(3, 9, len(FEATURES), generator=generator)
    one = tape_of(PANEL.of(PANEL.assets[:1]))
    tape = replace(one, **{n: getattr(one, n).expand(3, -1, -1) for n in ("price_BAK", "last_close_BAK")})
    flip_B = torch.tensor([True, False, True])
    turned_BTF, turned = mirrored(features_BTF, tape, flip_B)
    assert torch.equal(turned_BTF[1], features_BTF[1])
    assert torch.equal(turned.price_BAK[1], tape.price_BAK[1])
    assert not torch.equal(turned.price_BAK[2], tape.price_BAK[2])
    back_BTF, back = mirrored(turned_BTF, turned, flip_B)
    assert torch.equal(back_BTF, features_BTF)
    torch.testing.assert_close(back.last_close_BAK, tape.last_close_BAK)


def test_the_volume_curve_of_the_training_window_travels_with_the_weights():
    weights = train(PANEL, HORIZON, TINY, TINY_TRAINING, COSTS).model.weights()
    again = load_lem(weights, weights_hash(weights), TINY)
    np.testing.assert_array_equal(again.volume_curve_W.numpy(), fit_volume_curve(PANEL).astype(np.float32))
    assert len(again.volume_curve_W) == 24
    assert again.volume_curve_W.std() > 0.1, "the builders' volume has a daily pattern"
