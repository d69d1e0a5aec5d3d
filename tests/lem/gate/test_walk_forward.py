"""Whether decisions follow from each other, orders from decisions, and which command decides again."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from lem.gate.walk_forward import broken_decisions, broken_orders, how_to_decide_again, undecided
from lem.registry import PromotionRecord
from lem.registry.decision_figures import DecisionFigures

LATER = dt.date(2024, 6, 1)


def day(number):
    return dt.date(2024, 1, number)


def decision(number, champion, previous, outcome="promoted", by_hand=False):
    return PromotionRecord(
        "small", day(number), champion, champion, previous, outcome, figures=DecisionFigures(by_hand=by_hand)
    )


CHAIN = [decision(3, "a", None), decision(4, "a", "a", "kept"), decision(7, "b", "a"), decision(8, "b", "b", "kept")]


def test_each_decision_of_an_unbroken_chain_follows_in_whatever_order_they_come():
    assert broken_decisions(CHAIN) == broken_decisions(reversed(CHAIN)) == []


def test_a_decision_about_another_champion_than_the_one_before_it_left_is_broken():
    (one,) = broken_decisions([CHAIN[0], *CHAIN[2:3], replace(CHAIN[3], previous_id="c", champion_id="c")])
    assert (one.date, one.text) == (day(8), "was decided with champion c, and b traded before")


def test_a_champion_that_no_decision_promoted_is_broken():
    (one,) = broken_decisions([CHAIN[0], replace(CHAIN[1], champion_id="x")])
    assert (one.date, one.text) == (day(4), "names champion x, and by its decision a trades")


def test_a_decision_by_hand_needs_no_decision_before_it_and_the_next_follows_from_it():
    by_hand = decision(5, "z", "q", by_hand=True)
    assert broken_decisions([CHAIN[0], by_hand, decision(6, "z", "z", "kept")]) == []
    assert [one.date for one in broken_decisions([CHAIN[0], by_hand, decision(6, "a", "a", "kept")])] == [day(6)]


def test_orders_follow_where_the_champion_of_their_day_executed_them():
    traded = {day(3): {"a"}, day(5): {"a"}, day(8): {"b"}}
    assert broken_orders(CHAIN, traded, [day(2), day(3), day(5), day(8)]) == []
    assert [one.date for one in broken_orders(CHAIN, {day(2): {"a"}, day(8): {"a"}}, [day(2), day(3), day(8)])] == [
        day(2),
        day(3),
        day(8),
    ]


def test_dates_before_the_last_decision_without_one_are_undecided():
    assert undecided(CHAIN, [day(n) for n in range(2, 11)]) == [day(2), day(5), day(6)]
    assert undecided([], [day(2)]) == []


@pytest.mark.parametrize(
    ("number", "today", "command"),
    [
        (10, LATER, "lem run -u small -d 2024-01-29 --redecide"),
        (27, LATER, "lem run -u small -d 2024-01-30 --redecide"),
        (31, LATER, "lem night -u small --redecide"),
        (10, day(12), "lem run -u small -d 2024-01-10 --redecide"),
        (11, day(12), "lem night -u small --redecide"),
    ],
)
def test_a_date_is_decided_again_by_the_report_that_begins_with_it_or_by_the_night(
    number, today, command, make_universe
):
    assert how_to_decide_again(make_universe(), day(number), today) == command
