from __future__ import annotations

import math

import numpy as np
import pytest

from lem.backtest.comparisons import grouped_p_values, holm, student_p
from lem.errors import EvaluationError


@pytest.mark.parametrize(
    ("t", "degrees", "expected"),
    [
        (12.7062047, 1, 0.05),
        (4.30265273, 2, 0.05),
        (3.18244631, 3, 0.05),
        (2.77644511, 4, 0.05),
        (4.03214298, 5, 0.01),
        (2.26215716, 9, 0.05),
        (-2.26215716, 9, 0.05),
        (1.97993041, 120, 0.05),
        (0.0, 7, 1.0),
        (math.inf, 7, 0.0),
    ],
)
def test_p_values_are_those_of_students_tables(t, degrees, expected):
    assert student_p(t, degrees) == pytest.approx(expected, abs=1e-6)


def test_p_values_of_no_number_are_refused():
    for t, degrees in ((math.nan, 5), (1.0, 0)):
        with pytest.raises(EvaluationError, match="degrees of freedom"):
            student_p(t, degrees)


def test_holm_multiplies_by_the_comparisons_that_are_left_and_never_falls():
    assert holm([0.03, 0.001, 0.02]) == pytest.approx([0.04, 0.003, 0.04])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []
    with_none = holm([math.nan, 0.02, 0.02])
    assert math.isnan(with_none[0])
    assert with_none[1:] == pytest.approx([0.04, 0.04])


def test_a_mean_of_zero_is_rejected_as_often_as_it_says():
    generator, blocks, series = np.random.default_rng(2), 7, 4000
    by_block = generator.normal(size=(series, blocks, 1)) + 0.5 * generator.normal(size=(series, blocks, 3))
    block_O = np.tile(np.repeat(np.arange(blocks), 3), series)
    p_G = grouped_p_values(by_block.ravel(), block_O, np.repeat(np.arange(series), blocks * 3))
    for level in (0.05, 0.01):
        error = math.sqrt(level * (1 - level) / series)
        assert abs((p_G < level).mean() - level) < 3.5 * error


def test_too_few_blocks_have_no_p_value_and_no_spread_is_certain():
    blocks = np.array([0, 1, 2, 3, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4])
    groups = np.array([0] * 4 + [1] * 5 + [2] * 5)
    found = grouped_p_values(np.where(groups == 2, 0.0, 1.0), blocks, groups)
    assert math.isnan(found[0])
    assert found[1:].tolist() == [0.0, 1.0]
    assert len(grouped_p_values([], [], [])) == 0
