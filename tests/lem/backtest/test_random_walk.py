"""The random-walk control's rule; what it finds of models is tested beside the gate and the leak panel."""

from __future__ import annotations

import math

import pytest

from lem.backtest.random_walk import ERRORS, NOTHING_SIGMA, WalkGain

WIDE = ERRORS * 0.01 + NOTHING_SIGMA


@pytest.mark.parametrize(
    ("fixed", "excess", "passed"),
    [
        (False, 0.9 * WIDE, True),
        (False, 1.1 * WIDE, False),
        (False, -9.0, True),
        (True, 0.9 * WIDE, True),
        (True, 1.1 * WIDE, False),
        (True, -0.9 * WIDE, True),
        (True, -1.1 * WIDE, False),
        (False, math.nan, False),
        (True, math.nan, False),
    ],
)
def test_a_gain_may_miss_the_bound_from_above_by_chance_only_and_a_fixed_end_nothing_either_way(fixed, excess, passed):
    found = WalkGain(3, fixed, 0.25, excess, error=0.01, assets=40, arrivals=2000, scenarios=4)
    assert found.passed is passed
    if not math.isnan(excess):
        assert found.gain == 0.25 + excess
