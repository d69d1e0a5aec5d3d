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


def spoil(desk: Desk, table: str, column: str, value: object) -> None:
    key = {"advised_slices": "order_id", "advised_orders": "id"}[table]
    with sqlite3.connect(desk.folder / "home" / "registry.sqlite") as connection:
        changed = connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = 'bad'", [value])
        assert changed.rowcount == 1
    connection.close()


@pytest.fixture
def begun(desk: Desk, clock: StoppedClock):
    advisor = desk.advisor(clock)
    for key in ("bad", "good"):
        advisor.submit(buy(desk.universe, key))
    advisor.advise()
    return advisor


@pytest.mark.parametrize(
    ("table", "column", "value", "words"),
    [("advised_slices", *one) for one in SLICES] + [("advised_orders", *one) for one in ORDERS],
)
@pytest.mark.parametrize("later", [0, 3600])
def test_an_order_whose_row_was_changed_is_named_and_the_others_go_on(
    desk, clock, begun, table, column, value, words, later
):
    spoil(desk, table, column, value)
    clock.sleep(later)
    if (column, later) in (("side", 0), ("asset", 0)):
        clock.sleep(3600)  # what a bar's answer needs no more is looked at when the next is decided
    advised = begun.advise()
    assert [one.order_id for one in advised.slices] == ["good"]
    assert set(advised.refused) == {"bad"}
    assert "bad" in advised.refused["bad"] or column == "asset"
    assert words in advised.refused["bad"]
    with pytest.raises(AdviceError, match="DOGE" if column == "asset" else "order bad"):
        begun.advise("bad")
    begun.refresh()
    assert "good" in [state.order.id for state in AdviceStore(desk.url).orders("tiny")]
    assert begun.order("good").status == "live"
    assert begun.history("good")


@pytest.mark.parametrize(("column", "value", "words"), SLICES)
def test_its_slices_and_fills_are_refused_by_name(desk, begun, column, value, words):
    spoil(desk, "advised_slices", column, value)
    bar = begun.now().bar
    for ask in (lambda: begun.history("bad"), lambda: begun.total("bad", bar, 0.1)):
        with pytest.raises(AdviceError, match="order bad: the database has what was never written"):
            ask()


@pytest.mark.parametrize(("column", "value", "words"), [one for one in ORDERS if one[0] != "asset"])
def test_the_order_itself_is_refused_by_name(desk, begun, caplog, column, value, words):
    spoil(desk, "advised_orders", column, value)
    with pytest.raises(AdviceError, match="order bad: the database has what was never written"):
        begun.order("bad")
    assert [state.order.id for state in begun.store.orders("tiny")] == ["good"]
    assert "order bad" in caplog.text, "and the log says why"
