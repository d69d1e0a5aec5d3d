from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lem.backtest.bootstrap import (
    EvaluationError,
    block_mean,
    cvar,
    day_blocks,
    grouped_means,
    paired_difference,
    simultaneous_means,
)


def days_of(count: int, per_day: int) -> np.ndarray:
    return np.repeat(np.datetime64("2024-01-01") + np.arange(count), per_day)


def test_intervals_hold_the_true_mean_when_orders_of_a_day_move_together() -> None:
    series, blocks, per_day = 600, 30, 20
    generator = np.random.default_rng(1)
    day = generator.normal(size=(series, blocks, 1))
    values = (day + generator.normal(size=(series, blocks, per_day))).ravel()
    groups = np.repeat(np.arange(series), blocks * per_day)
    by_day = np.tile(np.repeat(np.arange(blocks), per_day), series)
    by_order = np.tile(np.arange(blocks * per_day), series)

    def coverage(block_numbers: np.ndarray) -> float:
        intervals = grouped_means(values, block_numbers, groups, resamples=400)
        return float(np.mean([i.low <= 0 <= i.high for i in intervals]))

    assert 0.90 < coverage(by_day) < 0.98
    # a bootstrap of single orders takes 600 dependent orders for 600 independent ones
    assert coverage(by_order) < 0.5


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), per_day=st.integers(1, 5), length=st.integers(1, 3))
def test_interval_does_not_depend_on_the_order_of_the_rows(seed: int, per_day: int, length: int) -> None:
    generator = np.random.default_rng(seed)
    days = days_of(18, per_day)
    values = generator.normal(size=len(days))
    shuffled = generator.permutation(len(days))
    first = block_mean(values, days, block_days=length, resamples=200)
    second = block_mean(values[shuffled], days[shuffled], block_days=length, resamples=200)
    assert (first.orders, first.blocks) == (second.orders, second.blocks) == (len(days), 18 // length)
    np.testing.assert_allclose(
        [first.mean, first.low, first.high], [second.mean, second.low, second.high], rtol=0, atol=1e-12
    )


def test_interval_of_a_series_does_not_depend_on_the_other_series() -> None:
    generator = np.random.default_rng(0)
    days = days_of(12, 3)
    values, blocks = generator.normal(size=len(days)), day_blocks(days)
    alone = grouped_means(values, blocks, np.zeros(len(days), dtype=int), seed=4)[0]
    # the second series lives in other blocks, the third in the same ones
    some = blocks < 7
    together = grouped_means(
        np.concatenate([values, values[some] + 5, values * 2]),
        np.concatenate([blocks, blocks[some], blocks]),
        np.repeat([0, 1, 2], [len(days), some.sum(), len(days)]),
        seed=4,
    )
    assert together[0] == alone
    assert together[1].blocks == 7
    assert together[2].low == pytest.approx(2 * alone.low)


def test_paired_difference_is_the_difference_of_the_means_and_narrower_than_either() -> None:
    generator = np.random.default_rng(2)
    days = days_of(20, 10)
    second = generator.normal(size=len(days)) * 10
    first = second + 1 + generator.normal(size=len(days)) * 0.1
    gap = paired_difference(first, second, days)
    assert gap.mean == pytest.approx(first.mean() - second.mean())
    alone = block_mean(first, days)
    assert gap.high - gap.low < (alone.high - alone.low) / 10
    assert gap.low < 1 < gap.high


def test_days_with_more_orders_weigh_more() -> None:
    days = np.repeat(days_of(6, 1), [1, 1, 1, 1, 1, 5])
    values = np.array([0.0] * 5 + [2.0] * 5)
    assert block_mean(values, days).mean == 1.0


@pytest.mark.parametrize(("count", "known"), [(1, False), (4, False), (5, True)])
def test_no_interval_is_invented_with_fewer_than_five_blocks(count: int, known: bool) -> None:
    days = days_of(count, 50)
    interval = block_mean(np.arange(len(days)), days)
    assert interval.known is known
    assert math.isnan(interval.low) is math.isnan(interval.high) is not known
    assert interval.mean == pytest.approx((len(days) - 1) / 2)
    assert (interval.orders, interval.blocks) == (len(days), count)


def test_blocks_of_several_days_are_consecutive_arrival_days() -> None:
    assert day_blocks(["2024-01-05", "2024-01-02", "2024-01-08", "2024-01-03"], 2).tolist() == [1, 0, 1, 0]


def test_no_orders_give_no_mean() -> None:
    nothing = block_mean([], [])
    assert math.isnan(nothing.mean)
    assert (nothing.orders, nothing.blocks) == (0, 0)


def test_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    days = days_of(10, 2)
    values = np.random.default_rng(0).normal(size=len(days))
    assert block_mean(values, days, seed=1) == block_mean(values, days, seed=1)
    assert block_mean(values, days, seed=1).low != block_mean(values, days, seed=2).low


def test_wrong_input_is_refused_by_name() -> None:
    with pytest.raises(EvaluationError, match="row 1"):
        block_mean([1.0, math.nan], ["2024-01-01", "2024-01-02"])
    with pytest.raises(EvaluationError, match="allowed: the same orders"):
        paired_difference([1.0], [1.0, 2.0], ["2024-01-01"])
    with pytest.raises(EvaluationError, match="one length"):
        grouped_means([1.0, 2.0], [0], [0, 0])
    with pytest.raises(EvaluationError, match="confidence 1"):
        block_mean([1.0], ["2024-01-01"], confidence=1.0)
    with pytest.raises(EvaluationError, match="order 1 has no day"):
        day_blocks(np.array(["2024-01-01", "NaT"], dtype="datetime64[D]"))
    with pytest.raises(EvaluationError, match="length 0"):
        day_blocks(["2024-01-01"], 0)


def test_cvar_is_the_mean_of_the_worst_twentieth() -> None:
    assert cvar(np.arange(100.0)[::-1]) == 2.0
    assert cvar([3.0, 1.0]) == 1.0
    assert math.isnan(cvar([]))


def test_simultaneous_intervals_all_hold_at_once_and_single_ones_do_not() -> None:
    generator = np.random.default_rng(3)
    days, series, trials = days_of(60, 4), 12, 150
    together, alone = [], []
    for _ in range(trials):
        by_day = generator.normal(size=(60, 1, series)) + 0.3 * generator.normal(size=(60, 4, series))
        values = by_day.reshape(-1, series)
        joint = simultaneous_means(values, days, resamples=400)
        each = [simultaneous_means(values[:, [g]], days, resamples=400)[0] for g in range(series)]
        together.append(all(i.low <= 0 <= i.high for i in joint))
        alone.append(all(i.low <= 0 <= i.high for i in each))
    assert np.mean(together) > 0.87
    assert np.mean(alone) < 0.75
    assert all(wide.high - wide.low > plain.high - plain.low for wide, plain in zip(joint, each, strict=True))


def test_simultaneous_intervals_need_blocks_and_finite_values() -> None:
    few = simultaneous_means(np.ones((8, 2)), days_of(4, 2))
    assert [(i.mean, i.known, i.blocks) for i in few] == [(1.0, False, 4)] * 2
    with pytest.raises(EvaluationError, match="finite values, a row a day"):
        simultaneous_means(np.full((8, 2), np.nan), days_of(4, 2))
    with pytest.raises(EvaluationError, match="finite values, a row a day"):
        simultaneous_means(np.ones((7, 2)), days_of(4, 2))


def test_simultaneous_intervals_of_some_orders_are_those_of_these_orders_alone() -> None:
    generator, days = np.random.default_rng(4), days_of(40, 6)
    values = generator.normal(size=(240, 2)) + np.repeat(generator.normal(size=40), 6)[:, None]
    within = np.ones((240, 2), dtype=bool)
    within[:, 1] = generator.random(240) < 0.4
    broken = np.where(within, values, math.nan)
    whole, some = simultaneous_means(broken, days, within=within)
    plain = simultaneous_means(values[:, [0]], days)[0]
    assert (whole.mean, whole.orders, whole.blocks) == (plain.mean, 240, 40)
    assert some.mean == pytest.approx(values[within[:, 1], 1].mean())
    assert some.orders == within[:, 1].sum()
    assert some.high - some.low > whole.high - whole.low > plain.high - plain.low
    rare = np.zeros((240, 1), dtype=bool)
    rare[:24] = True
    scarce = simultaneous_means(values[:, [0]], days, within=rare)[0]
    assert (scarce.known, scarce.blocks) == (False, 4)
    nobody = simultaneous_means(values, days, within=np.zeros((240, 2), dtype=bool))[0]
    assert (nobody.orders, nobody.known) == (0, False)
    assert math.isnan(nobody.mean)
    with pytest.raises(EvaluationError, match="within of the same shape"):
        simultaneous_means(values, days, within=within[:, :1])
