"""The audit log: who did what to which order, when and from where. It only grows; an order adds up from it alone."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from sqlalchemy import text

from lem.advice import audit
from lem.advice.callers import Caller, acting_as, caller, user_name
from lem.advice.fills import FillNews
from lem.errors import OrderStateError, RegistryError
from lem.registry.connection import Database
from tests.lem.advice.desk import NOON, Desk, StoppedClock, buy, make_desk
from tests.servers import PostgreSQL

HOUR = dt.timedelta(hours=1)
DESK_A = Caller("http", "desk-a", "10.0.0.7")


def events(advisor, key: str | None = None) -> list[str]:
    return [entry.event for entry in advisor.store.audit.entries("tiny", key)]


def test_each_act_is_told_once_with_who_when_from_where_and_what(desk: Desk, clock: StoppedClock):
    advisor = desk.advisor(clock)
    with acting_as(DESK_A):
        for _ in range(2):
            advisor.submit(buy(desk.universe))
        for _ in range(2):
            advisor.advise()
        news = FillNews("t-1", Decimal("1.50"), price=Decimal("99.5"), fee=Decimal("-0.01"))
        for _ in range(2):
            advisor.fill("one", news)
    clock.sleep(60.5)
    with acting_as(Caller("cli", "trader")):
        advisor.fill("one", FillNews("t-1", Decimal("1.25"), corrects=True))
        for change in (advisor.pause, advisor.pause, advisor.resume, advisor.resume, advisor.cancel, advisor.cancel):
            change("one")
    for _ in range(2):
        advisor.close("one")
    told = list(advisor.store.audit.entries("tiny"))
    assert [(entry.event, entry.actor, entry.name, entry.address) for entry in told] == [
        *((event, "http", "desk-a", "10.0.0.7") for event in ("created", "begun", "advised", "filled")),
        *((event, "cli", "trader", None) for event in ("corrected", "paused", "resumed", "cancelled")),
        ("closed", "python", user_name(), None),
    ]
    assert {entry.at for entry in told} == {NOON, NOON + dt.timedelta(seconds=60.5)}
    assert {entry.order_id for entry in told} == {"one"}
    assert all(abs(entry.recorded_at - dt.datetime.now(dt.UTC)) < 10 * HOUR for entry in told), "not the replay's clock"
    created, begun, advised, filled, corrected = (entry.facts for entry in told[:5])
    assert (created["size"], created["side"], created["start"]) == ("100.0", "buy", "2024-01-18T12:00:00Z")
    assert begun["model_id"] == desk.model_id
    assert (advised["bar"], advised["left_before"]) == ("2024-01-18T12:00:00Z", "100.0")
    assert filled == {
        **{"fill_id": "t-1", "revision": 1, "bar": "2024-01-18T12:00:00Z", "amount": "1.50", "price": "99.5"},
        **{"fee": "-0.01", "traded_at": None, "status": "live"},
    }
    assert (corrected["revision"], corrected["amount"]) == (2, "1.25")


def test_the_log_alone_adds_up_what_an_order_came_to(desk: Desk, clock: StoppedClock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=6, max_bars=6))
    for hour in range(8):
        clock.set(NOON + hour * HOUR)
        if hour != 2:
            advisor.advise()
        if hour == 1:
            advisor.total("one", NOON + HOUR, 3.25)
            advisor.total("one", NOON + HOUR, 3.5)
    told = list(advisor.store.audit.entries("tiny", "one"))
    counted = {e.facts["bar"]: Decimal(e.facts["amount"]) for e in told if e.event in ("advised", "missed")}
    counted |= {e.facts["bar"]: Decimal(e.facts["amount"]) for e in told if e.event in ("filled", "corrected")}
    assert events(advisor).count("missed") == 1
    assert (len(counted), sum(counted.values())) == (6, advisor.order("one").filled)
    assert counted["2024-01-18T13:00:00Z"] == Decimal("3.5")
    result = advisor.order("one").result
    assert told[-1].event == "ended"
    assert (told[-1].facts["gain_bps"], told[-1].facts["status"]) == (result.gain_bps, result.status)


def test_what_is_refused_leaves_no_entry_and_what_cannot_be_told_is_not_done(
    desk: Desk, clock: StoppedClock, monkeypatch
):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe))
    with pytest.raises(OrderStateError):
        advisor.close("one")
    assert events(advisor) == ["created"]

    def fails(*arguments: object) -> None:
        raise RegistryError("the log is full")

    monkeypatch.setattr(audit, "write_act", fails)
    for act in (lambda: advisor.cancel("one"), advisor.advise, lambda: advisor.submit(buy(desk.universe, "two"))):
        with pytest.raises(RegistryError, match="the log is full"):
            act()
    assert [(s.order.id, s.status) for s in advisor.store.orders("tiny")] == [("one", "waiting")]
    assert advisor.history("one") == []


def test_pages_go_on_after_the_last_entry_and_leave_out_what_was_asked(desk: Desk, clock: StoppedClock):
    advisor = desk.advisor(clock)
    for key in ("one", "two", "three"):
        advisor.submit(buy(desk.universe, key))
    clock.sleep(60)
    advisor.cancel("two")
    log = advisor.store.audit
    first = log.page("tiny", limit=2)
    assert [entry.order_id for entry in first] == ["one", "two"]
    rest = log.page("tiny", after=first[-1].id)
    assert [entry.order_id for entry in rest] == ["three", "two"]
    assert [entry.event for entry in log.page("tiny", since=NOON + dt.timedelta(seconds=1))] == ["cancelled"]
    assert log.page("tiny", "none") == log.page("other") == []


def test_without_a_door_it_is_the_user_of_this_process():
    assert caller() == Caller("python", user_name())
    with acting_as(DESK_A):
        assert caller() is DESK_A
    assert caller().actor == "python"


def test_a_user_without_a_name_is_told_by_number(monkeypatch):
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert user_name().isdecimal()


CHANGES = [
    "UPDATE audit_entries SET event = 'created'",
    "UPDATE audit_acts SET name = 'somebody else'",
    "DELETE FROM audit_entries",
    "DELETE FROM audit_acts",
]


@pytest.mark.parametrize("statement", [*CHANGES, "INSERT OR REPLACE INTO audit_entries VALUES (1, 1, 'x', 'x', '{}')"])
def test_sqlite_refuses_to_change_or_delete_an_entry(desk: Desk, clock: StoppedClock, statement: str):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe))
    with (
        pytest.raises(RegistryError, match="the audit log only grows"),
        Database(desk.url).transaction("change the log", write=True) as connection,
    ):
        connection.execute(text(statement))
    assert events(advisor) == ["created"]


@pytest.mark.slow
def test_postgresql_refuses_to_change_delete_or_empty_it(
    tmp_path, make_universe, tiny_keys, clock: StoppedClock, postgresql: PostgreSQL
):
    with postgresql.database() as url:
        desk = make_desk(tmp_path, make_universe(**tiny_keys()), url=url)
        advisor = desk.advisor(clock)
        advisor.submit(buy(desk.universe))
        for statement in [*CHANGES, "TRUNCATE audit_entries", "TRUNCATE audit_acts CASCADE"]:
            with (
                pytest.raises(RegistryError, match="the audit log only grows"),
                Database(url).transaction("change the log", write=True) as connection,
            ):
                connection.execute(text(statement))
        assert events(advisor) == ["created"]
        assert abs(next(advisor.store.audit.entries("tiny")).recorded_at - dt.datetime.now(dt.UTC)) < HOUR
