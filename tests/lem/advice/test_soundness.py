"""Rows that were changed behind the desk's back: the order is named, and all others go on."""

from __future__ import annotations

import sqlite3

import pytest

from lem.advice.store import AdviceStore
from lem.errors import AdviceError
from tests.lem.advice.desk import Desk, StoppedClock, buy

SLICES = [
    ("remaining", 1.7, "remaining 1.7; allowed: 0 to 1"),
    ("remaining", "half", "remaining 'half'; allowed: 0 to 1"),
    ("remaining", float("inf"), "remaining inf"),
    ("remaining", -0.1, "remaining -0.1"),
    ("share", 2.0, "share 2.0; allowed: 0 to 1"),
    ("units", "many", "units 'many'; allowed: 0 or more"),
    ("weight", -1.0, "weight -1.0"),
    ("bars_done", 6, "bars_done 6; allowed: 0 to 5"),
    ("bars_done", "two", "bars_done 'two'"),
    ("filled", "all", "filled 'all'"),
    ("last_close", 0.0, "last_close 0.0; allowed: more than 0"),
    ("probability", 1.5, "probability 1.5; allowed: 0 to 1"),
    ("advised_at", "noon", "cannot be read"),
]
ORDERS = [
    ("size", "ten", "size is 'ten'; allowed: more than 0"),
    ("size", -1.0, "size is -1.0"),
    ("max_bars", "six", "max_bars is 'six'"),
    ("min_rate", "low", "min_rate is 'low'; allowed: 0 to 1"),
    ("start", "soon", "cannot be read"),
    ("sigma", "calm", "sigma is 'calm'; allowed: 0 or more"),
    ("arrival_price", -3.0, "arrival_price is -3.0; allowed: more than 0"),
    ("side", "hold", "side 'hold'; allowed: buy, sell"),
    ("asset", "DOGE", "DOGE"),
]


BAD = [("advised_slices", *one) for one in SLICES] + [("advised_orders", *one) for one in ORDERS]
KEYS = [f"bad-{column}-{i}" for i, (_, column, _, _) in enumerate(BAD)]


def spoil(desk: Desk, table: str, column: str, value: object, order: str = "bad") -> None:
    key = {"advised_slices": "order_id", "advised_orders": "id"}[table]
    with sqlite3.connect(desk.folder / "home" / "registry.sqlite") as connection:
        changed = connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", [value, order])
        assert changed.rowcount == 1
    connection.close()


@pytest.fixture
def begun(desk: Desk, clock: StoppedClock):
    """Orders that have each had a slice: one for every row that is spoiled, and a good one among them."""
    advisor = desk.advisor(clock)
    for key in (*KEYS[:9], "good", *KEYS[9:]):
        advisor.submit(buy(desk.universe, key))
    assert len(advisor.advise().slices) == len(KEYS) + 1
    return advisor


@pytest.mark.parametrize("later", [0, 3600])
def test_orders_whose_rows_were_changed_are_named_and_the_others_go_on(desk, clock, begun, later):
    for key, (table, column, value, _) in zip(KEYS, BAD, strict=True):
        spoil(desk, table, column, value, key)
    clock.sleep(later)
    # What a bar's answer needs no more is looked at when the next is decided.
    awaited = {key for key, (_, column, _, _) in zip(KEYS, BAD, strict=True) if column == "asset"}
    advised = begun.advise()
    if not later:
        assert {one.order_id for one in advised.slices} == {"good"} | awaited
        assert set(advised.refused) == set(KEYS) - awaited
        clock.sleep(3600)
        advised = begun.advise()
    assert [one.order_id for one in advised.slices] == ["good"]
    assert set(advised.refused) == set(KEYS)
    for key, (_, column, _, words) in zip(KEYS, BAD, strict=True):
        assert words in advised.refused[key], key
        assert key in advised.refused[key] or column == "asset"
        with pytest.raises(AdviceError, match="DOGE" if column == "asset" else f"order {key}"):
            begun.advise(key)
    begun.refresh()
    assert "good" in [state.order.id for state in AdviceStore(desk.url).orders("tiny")]
    assert begun.order("good").status == "live"
    assert begun.history("good")


@pytest.mark.parametrize("later", [0, 3600])
@pytest.mark.parametrize(("table", "column", "value", "words"), BAD[:1] + BAD[-3:-1])
def test_one_such_order_alone_is_named_and_the_others_go_on(desk, clock, begun, table, column, value, words, later):
    spoil(desk, table, column, value, KEYS[0])
    clock.sleep(later)
    advised = begun.advise()
    assert words in advised.refused[KEYS[0]]
    assert {one.order_id for one in advised.slices} == {"good", *KEYS[1:]}
    with pytest.raises(AdviceError, match=f"order {KEYS[0]}"):
        begun.advise(KEYS[0])


def test_slices_and_fills_of_such_an_order_are_refused_by_name(desk, begun):
    bar = begun.now().bar
    for key, (column, value, _) in zip(KEYS, SLICES, strict=False):
        spoil(desk, "advised_slices", column, value, key)
        for ask in (lambda key=key: begun.history(key), lambda key=key: begun.total(key, bar, 0.1)):
            with pytest.raises(AdviceError, match=f"order {key}: the database has what was never written"):
                ask()


def test_such_an_order_itself_is_refused_by_name(desk, begun, caplog):
    spoiled = [(key, *one) for key, one in zip(KEYS, ORDERS, strict=False) if one[0] != "asset"]
    for key, column, value, _ in spoiled:
        spoil(desk, "advised_orders", column, value, key)
        with pytest.raises(AdviceError, match=f"order {key}: the database has what was never written"):
            begun.order(key)
    left = {state.order.id for state in begun.store.orders("tiny")}
    assert left == {"good", *KEYS} - {key for key, *_ in spoiled}
    for key, *_ in spoiled:
        assert f"order {key}" in caplog.text, "and the log says why"
