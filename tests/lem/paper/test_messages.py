"""What is told of fills: late, twice, corrected or broken, each in its order, and what holds in the end."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from hypothesis import given, settings

from lem.paper.behaviour import Behaviour
from lem.paper.filling import fill_child
from lem.paper.messages import account_of
from tests.lem.paper.test_filling import BAR, BEHAVIOURS, HOUR, TEN, child

WILD = {"delay": 7200.0, "duplicates": 0.5, "corrections": 0.5}


@settings(max_examples=200, deadline=None, database=None)
@given(behaviour=BEHAVIOURS)
def test_what_is_told_last_of_a_fill_is_what_holds_and_nothing_is_told_before_its_bar_has_closed(behaviour):
    behaviour = replace(behaviour, **WILD)
    fills = fill_child(child(), BAR, behaviour)
    account = account_of(child(), fills, behaviour)
    last = {message.fill.fill_id: message.fill for message in account.messages}
    assert [fill for fill in last.values() if fill.amount] == account.fills or set(
        fill for fill in last.values() if fill.amount
    ) == set(account.fills)
    assert all(fill.fee == 0 for fill in last.values() if not fill.amount)
    assert set(last) == {fill.fill_id for fill in fills}
    dues = [message.due for message in account.messages]
    assert dues == sorted(dues)
    assert all(due >= TEN + HOUR for due in dues)
    for fill in fills:
        own = [message for message in account.messages if message.fill.fill_id == fill.fill_id]
        assert not own[0].corrects
        assert [message.corrects for message in own] == sorted(message.corrects for message in own)
        assert all(m.due <= fill.traded_at + HOUR + dt.timedelta(seconds=3 * 7200) for m in own)


def test_chance_makes_each_kind_of_message():
    kinds = set()
    for seed in range(60):
        behaviour = Behaviour(seed=seed, corrections=1.0, duplicates=0.3, participation=1.0)
        fills = fill_child(child(), BAR, behaviour)
        account = account_of(child(), fills, behaviour)
        first, last = account.messages[0].fill, account.messages[-1].fill
        kinds.add("broken" if not last.amount else "amount" if first.amount != last.amount else "price")
        kinds.add(f"{len(account.messages)} messages")
        assert (account.fills == []) == (last.amount == 0)
    assert {"broken", "amount", "price", "2 messages", "3 messages", "4 messages"} <= kinds


def test_of_a_slice_without_fills_it_is_told_only_where_it_counts_as_filled_otherwise():
    assert account_of(child(), [], Behaviour()).messages == []
    (told,) = account_of(child(mode="assume"), [], Behaviour()).messages
    assert (told.fill, told.due) == (None, TEN + HOUR)
