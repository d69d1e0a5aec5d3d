"""The benchmark of the gate: its nights are what they say, and the gate's own decision judges them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.gate import (
    MODEL_DAY_SD,
    OVER_RULE,
    RULE_DAY_SD,
    WINDOW_DAYS,
    living_year,
    market,
    night,
    still_year,
    waits,
)
from lem.gate.judge import PairedComparison
from lem.universe.backtest_config import GateConfig

HOW = PairedComparison(GateConfig(), block_days=1, resamples=100, seed=0)


@pytest.mark.parametrize("tail", [1.0, 1.5])
def test_a_night_has_the_true_edges_and_a_tail_that_leaves_the_mean(tail):
    rng = np.random.default_rng(0)
    world = market(rng, 400)
    nights = [night(world, first, 2.0, tail, rng) for first in range(0, 400, WINDOW_DAYS)]
    apart = np.array([(n["candidate"] - n["champion"]).mean() for n in nights])
    over = np.array([(n["champion"] - n["optimal_stopping"]).mean() for n in nights])
    days = len(nights) * WINDOW_DAYS
    assert apart.mean() == pytest.approx(2.0, abs=4 * MODEL_DAY_SD / np.sqrt(days) + 0.2)
    assert over.mean() == pytest.approx(OVER_RULE, abs=4 * RULE_DAY_SD / np.sqrt(days))
    worst = [n[["candidate", "champion"]].quantile(0.01) for n in nights]
    assert (np.mean([w["candidate"] for w in worst]) < 1.2 * np.mean([w["champion"] for w in worst])) == (tail == 1.5)


def test_two_nights_share_the_days_that_both_windows_hold():
    world = market(np.random.default_rng(0), 20)
    one, two = (night(world, first, 0.0, 1.0, np.random.default_rng(1)) for first in (3, 4))
    both = one.merge(two.drop_duplicates("arrival")[["arrival"]], on="arrival")
    assert both["arrival"].nunique() == WINDOW_DAYS - 1
    assert both["champion"].tolist() == two.iloc[: len(both)]["champion"].tolist()


def test_the_gate_refuses_what_is_much_worse_for_its_mean_and_a_wide_tail_for_its_tail():
    worse, better, wide = (
        still_year(0, "", edge, tail, 4, HOW) for edge, tail in ((-4.0, 1.0), (+4.0, 1.0), (0.0, 1.5))
    )
    assert all(row["mean"] and not row["promoted"] for row in worse)
    assert all(row["promoted"] for row in better)
    assert all(row["tail"] and not row["promoted"] for row in wide)


def test_a_wait_is_counted_to_the_next_promotion_of_the_same_year():
    promoted = np.array([[0, 0, 1, 0, 1], [0, 0, 0, 0, 0]], dtype=bool)
    assert waits(promoted).tolist() == [3, 2, 1, 2, 1]
    assert np.isnan(waits(promoted[1:])).all()


def test_a_year_without_a_gate_ends_with_whatever_came_last():
    gate, always = (living_year(3, rule, 30, HOW) for rule in ("gate", "always"))
    assert gate > always
