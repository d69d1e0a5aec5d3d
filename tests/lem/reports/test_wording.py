from __future__ import annotations

import math

import pytest

from lem.execution.costs_config import CostsConfig
from lem.reports.wording import bar_volumes, capacity_sentence, cost_sentence, cost_words, number, size

COSTS = CostsConfig(fee_bps=1.0, half_spread_bps=0.5, impact=0.5, order_size=0.2, participation_cap=0.1)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(-0.04, "0.0"), (-1.25, "−1.2"), (1234.5, "1,234.5"), (math.nan, "n/a"), (math.inf, "n/a")],
)
def test_numbers_are_printed_plainly(value: float, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize(
    ("volumes", "shown"),
    [(0.0, "0"), (0.634, "0.63"), (2.6, "2.60"), (58.31, "58"), (1234.5, "1,234"), (math.inf, "no limit")],
)
def test_sizes_are_printed_plainly(volumes: float, shown: str) -> None:
    assert size(volumes) == shown


def test_a_size_below_one_bar_is_a_share_of_its_volume() -> None:
    assert bar_volumes(0.125) == "12.5\N{NO-BREAK SPACE}% of a bar’s volume"
    assert bar_volumes(1.5) == "1.5 times a bar’s volume"


@pytest.mark.parametrize(
    ("volumes", "said"),
    [
        (0.0, "Fee and spread alone take the whole gain, at any order size."),
        (0.05, "The gain is gone: it is zero at orders of 5 % of a bar’s volume, smaller than those assumed."),
        (0.5, "The gain would be gone at orders of 50 % of a bar’s volume."),
        (
            3.0,
            "The gain would be gone at orders of 3 times a bar’s volume; the cap lets no more than 1.20 be traded in "
            "12 bars, so it binds first.",
        ),
        (math.inf, "Without impact the gain does not depend on the order size."),
    ],
)
def test_capacity_says_what_comes_first(volumes: float, said: str) -> None:
    assert capacity_sentence(volumes, COSTS, horizon=12).replace("\N{NO-BREAK SPACE}", " ") == said


def test_every_assumption_is_named_with_its_figure() -> None:
    words = dict(cost_words(COSTS, horizon=12))
    assert words["Fee"].startswith("1 bps")
    assert words["Half spread"].startswith("0.5 bps")
    # 0.5 x 50 bps x sqrt(0.02)
    assert "3.5 bps where sigma is 50 bps" in words["Impact"]
    assert words["Order size"].startswith("20")
    assert "an order needs at least 2 of its 12 bars" in words["Participation cap"]
    loose = dict(cost_words(COSTS.model_copy(update={"participation_cap": 0.2}), horizon=12))
    assert loose["Participation cap"].endswith("at this order size it caps nothing.")


def test_the_first_screen_does_not_speak_of_an_impact_that_is_not_charged() -> None:
    assert "and impact for orders of 20" in cost_sentence(COSTS)
    assert cost_sentence(COSTS.model_copy(update={"impact": 0.0})).endswith("on every fill, without impact.")
