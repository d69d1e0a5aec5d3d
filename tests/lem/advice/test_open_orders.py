"""What is in memory of open orders is what the database has, whoever wrote it."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lem.advice.advisor import Advisor
from lem.advice.fills import FillNews
from lem.advice.store import AdviceStore
from lem.errors import LemError, RegistryError
from tests.lem.advice.desk import HOURLY, NOON, Desk, StoppedClock, buy, make_desk

HOUR = dt.timedelta(hours=1)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def shared(request, tmp_path, make_universe, tiny_keys) -> Iterator[Desk]:
    universe = make_universe(**tiny_keys(**HOURLY))
    if request.param == "SQLite":
        yield make_desk(tmp_path, universe)
        return
    with request.getfixturevalue("postgresql").database() as url:
        yield make_desk(tmp_path, universe, url=url)


def as_stored(desk: Desk) -> list[object]:
    """The open orders as a process that has just begun reads them."""
    return AdviceStore(desk.url).booked("tiny")


def act(advisor: Advisor, clock: StoppedClock, what: str, number: int) -> None:
    key = f"o{number % 3}"
    if what == "new":
        mode = "confirm" if number % 2 else "assume"
        order = buy(advisor.universe, key, start=advisor.now().bar, max_bars=1 + number % 4)
        advisor.submit(type(order)(**{**vars(order), "mode": mode}))
    elif what == "hour":
        clock.sleep(3600)
    elif what == "advise":
        advisor.advise()
    elif what == "advise one":
        advisor.advise(key)
    elif what == "fill":
        advisor.fill(key, FillNews(f"f{number}", Decimal(number + 1) / 3))
    elif what == "late fill":
        bar = advisor.store.slices(key)[0][1].bar
        advisor.fill(key, FillNews("late", Decimal(number + 1) / 7, bar=bar, corrects=number % 2 == 1))
    elif what == "total":
        advisor.total(key, advisor.store.slices(key)[-1][1].bar, number / 7)
    else:
        getattr(advisor, what)(key)


ACTS = ("new", "hour", "advise", "advise one", "fill", "late fill", "total", "cancel", "pause", "resume", "close")


@settings(deadline=None, max_examples=12)
@given(acts=st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 11)), min_size=5, max_size=25))
def test_after_every_act_memory_is_what_the_database_has(tmp_path_factory, make_universe, tiny_keys, acts):
    desk = make_desk(tmp_path_factory.mktemp("desk"), make_universe(**tiny_keys(**HOURLY)))
    clock = StoppedClock(NOON - 6 * HOUR)
    advisor = desk.advisor(clock)
    for what, number in [("new", 0), ("new", 1), ("advise", 0), *acts]:
        with suppress(LemError, IndexError):
            act(advisor, clock, what, number)
        assert advisor.store.booked("tiny") == as_stored(desk)


def test_what_another_process_writes_is_seen_before_anything_is_decided(shared, clock):
    one, other = shared.advisor(clock), shared.advisor(clock)
    for key in ("stays", "goes", "paused"):
        one.submit(buy(shared.universe, key, min_bars=6))
    assert len(other.store.booked("tiny")) == 3
    one.cancel("goes")
    one.pause("paused")
    one.submit(buy(shared.universe, "new", min_bars=6))
    advised = other.advise()
    assert [slice_.order_id for slice_ in advised.slices] == ["new", "stays"]
    assert set(advised.refused) == {"paused"}
    again = one.advise()
    assert [(slice_.order_id, slice_.repeated) for slice_ in again.slices] == [("new", True), ("stays", True)]
    other.fill("stays", FillNews("f-1", Decimal("0.25")))
    assert one.store.booked("tiny") == other.store.booked("tiny") == as_stored(shared)
    assert one.store.booked("tiny")[2].last.filled_amount == Decimal("0.25")


def test_a_row_that_was_changed_by_hand_is_seen_at_once(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe))
    with closing(sqlite3.connect(desk.folder / "home" / "registry.sqlite")) as database, database:
        database.execute("UPDATE advised_orders SET size = 7.0")
    assert [order.size for order in advisor.store.booked("tiny")] == [7.0]


def test_a_decision_that_fails_leaves_memory_as_it_was(shared, clock):
    store = shared.advisor(clock).store
    store.add(buy(shared.universe), NOON)
    before = store.booked("tiny")

    def fail(booked: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.decide("tiny", fail, NOON)
    assert store.booked("tiny") == before == as_stored(shared)


def test_a_file_that_is_put_in_the_databases_place_is_read(desk, clock):
    file = desk.folder / "home" / "registry.sqlite"
    store = desk.advisor(clock).store
    store.add(buy(desk.universe, "first"), NOON)
    backup = shutil.copy(file, desk.folder / "backup.sqlite")
    store.add(buy(desk.universe, "second"), NOON)
    os.replace(backup, file)
    assert [order.id for order in store.booked("tiny")] == ["first"]
    store.add(buy(desk.universe, "third"), NOON)
    assert [order.id for order in as_stored(desk)] == ["first", "third"]


def test_a_process_that_was_forked_writes_on_a_connection_of_its_own(desk, clock):
    store = desk.advisor(clock).store
    store.add(buy(desk.universe, "parent"), NOON)
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            store.add(buy(desk.universe, "child"), NOON)
        os._exit(0)
    os.waitpid(child, 0)
    assert [order.id for order in store.booked("tiny")] == ["child", "parent"]
    store.add(buy(desk.universe, "after"), NOON)
    assert [order.id for order in as_stored(desk)] == ["after", "child", "parent"]


def test_a_writer_that_waits_too_long_is_refused_and_writes_later(desk, clock):
    store = AdviceStore(f"{desk.url}?timeout=0.1")
    store.add(buy(desk.universe, "before"), NOON)
    with closing(sqlite3.connect(desk.folder / "home" / "registry.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RegistryError, match="cannot store order during: database is locked"):
            store.add(buy(desk.universe, "during"), NOON)
        other.execute("ROLLBACK")
    store.add(buy(desk.universe, "after"), NOON)
    assert [order.id for order in store.booked("tiny")] == ["after", "before"]


def test_the_log_beside_the_file_is_there_only_while_a_service_runs(desk, clock):
    file = desk.folder / "home" / "registry.sqlite"

    def mode() -> str:
        with closing(sqlite3.connect(file)) as database:
            return database.execute("PRAGMA journal_mode").fetchone()[0]

    store = desk.advisor(clock).store
    with store.written_ahead():
        store.add(buy(desk.universe), NOON)
        assert mode() == "wal"
        assert len(as_stored(desk)) == 1
    assert mode() == "delete"
    assert not file.with_name("registry.sqlite-wal").exists()
    assert len(as_stored(desk)) == 1
