"""While bars are missing an order that asks for it goes on at a plain pace; when they are back the model goes on."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import pytest

from lem.advice.amend import Amendment
from lem.advice.fills import FillNews
from lem.errors import AdviceError
from tests.lem.advice.desk import NOON, Desk, StoppedClock, buy

HOUR = dt.timedelta(hours=1)
LATE = dt.timedelta(minutes=7)
"""Into a bar: later than venues publish the one before."""


class Outage:
    """The market of an advisor, without bars while it is told so."""

    def __init__(self, advisor, monkeypatch) -> None:
        self.on, refresh = False, advisor.market.refresh

        def missing(wanted, at):
            return {symbol: f"{symbol}: no bars" for symbol in wanted} if self.on else refresh(wanted, at)

        monkeypatch.setattr(advisor.market, "refresh", missing)


@pytest.fixture
def start(desk: Desk, clock: StoppedClock, monkeypatch):
    """`start(fallback=True)`: an advisor with an order that has had its first slice, and its market."""

    def make(desk: Desk = desk, **terms):
        advisor = desk.advisor(clock)
        fallback = terms.pop("fallback", True)
        order = buy(desk.universe, **{"min_bars": 6, "max_bars": 6, **terms})
        advisor.submit(replace(order, fallback=fallback))
        outage = Outage(advisor, monkeypatch)
        advisor.advise()
        return advisor, outage

    return make


def ask(advisor, clock: StoppedClock, hour: int):
    clock.set(NOON + hour * HOUR + LATE)
    return advisor.advise()


def finish(advisor, clock: StoppedClock, hour: int) -> None:
    for later in range(hour, 7):
        ask(advisor, clock, later)


def check_result(advisor, size: float = 100.0) -> None:
    """The result is what the bars and the fills say, which the report reads anew."""
    ended, report = advisor.order("one"), advisor.report("one")
    paid = [float(bar.filled) * bar.price for bar in report.bars if bar.price is not None]
    assert ended.result.bars_used == 6
    assert ended.result.achieved == pytest.approx(sum(paid) / size, rel=1e-9)
    assert ended.result.benchmark_price == pytest.approx(report.execution.benchmark_price, rel=1e-9)
    assert ended.result.gain_bps == pytest.approx(report.execution.gain_bps, rel=1e-6)


def test_it_spreads_what_is_left_evenly_and_the_model_goes_on_from_what_is_filled(start, clock):
    advisor, outage = start()
    left = advisor.order("one").left
    outage.on = True
    first = ask(advisor, clock, 1).slices[0]
    second = ask(advisor, clock, 2).slices[0]
    assert [first.reason, second.reason] == ["fallback"] * 2
    assert (float(first.exact_amount), float(second.exact_amount)) == pytest.approx((float(left) / 5,) * 2)
    assert (first.as_of, first.number, second.number) == (NOON, 2, 3)
    assert ask(advisor, clock, 2).slices[0].repeated
    outage.on = False
    assert ask(advisor, clock, 2).slices[0] == replace(second, repeated=True), "a slice that was told stands"
    fourth = ask(advisor, clock, 3).slices[0]
    assert (fourth.reason, fourth.number) == ("pace", 4)
    assert fourth.exact_remaining == left - first.exact_amount - second.exact_amount
    finish(advisor, clock, 4)
    assert advisor.order("one").status == "finished"
    assert sum(advice.exact_amount for advice in advisor.history("one")) == 100
    check_result(advisor)
    reasons = [bar.reason for bar in advisor.report("one").bars]
    assert reasons == ["pace", "fallback", "fallback", "pace", "pace", "last_bar"]
    logged = [e.facts["reason"] for e in advisor.store.audit.entries("tiny") if e.event == "advised"]
    assert logged == reasons


def test_what_was_really_filled_at_the_plain_pace_counts_whenever_it_is_told(start, clock):
    advisor, outage = start()
    outage.on = True
    for hour in (1, 2):
        ask(advisor, clock, hour)
    advisor.fill("one", FillNews("a", Decimal("3.5"), price=Decimal(91), bar=NOON + HOUR))
    ask(advisor, clock, 3)
    outage.on = False
    ask(advisor, clock, 4)
    advisor.fill("one", FillNews("b", Decimal("1.25"), price=Decimal(92), bar=NOON + 2 * HOUR))
    advisor.fill("one", FillNews("c", Decimal(7), price=Decimal(93), bar=NOON))
    finish(advisor, clock, 5)
    assert (advisor.order("one").status, advisor.order("one").left) == ("finished", 0)
    check_result(advisor)


def test_a_bar_of_the_gap_that_nobody_asked_about_is_missed(start, clock):
    advisor, outage = start()
    outage.on = True
    ask(advisor, clock, 1)
    third = ask(advisor, clock, 3).slices[0]
    outage.on = False
    finish(advisor, clock, 4)
    history = advisor.history("one")
    assert [advice.reason for advice in history] == ["pace", "fallback", "missed", "fallback", "pace", "last_bar"]
    assert history[2].exact_remaining == third.exact_remaining
    assert sum(advice.exact_amount for advice in history) == 100
    check_result(advisor)


def test_an_order_is_amended_within_the_gap(start, clock):
    advisor, outage = start()
    outage.on = True
    ask(advisor, clock, 1)
    advisor.amend("one", Amendment(size=130.0))
    ask(advisor, clock, 2)
    outage.on = False
    finish(advisor, clock, 3)
    assert sum(advice.exact_amount for advice in advisor.history("one")) == 130
    check_result(advisor, 130.0)


def test_it_does_not_begin_before_venues_have_had_time_to_publish(start, clock):
    advisor, outage = start()
    outage.on = True
    clock.set(NOON + HOUR + dt.timedelta(minutes=5))
    with pytest.raises(AdviceError, match="no bars; order one goes on at a plain pace from 13:06:00 UTC on"):
        advisor.advise("one")


def test_without_being_asked_for_there_is_no_advice_while_bars_are_missing(start, clock):
    advisor, outage = start(fallback=False)
    outage.on = True
    assert ask(advisor, clock, 1).refused == {"one": "AAA-USD: no bars"}
    assert len(advisor.history("one")) == 1


def test_an_order_that_has_not_begun_waits_for_bars(desk, clock, monkeypatch):
    advisor = desk.advisor(clock)
    advisor.submit(replace(buy(desk.universe), fallback=True))
    Outage(advisor, monkeypatch).on = True
    with pytest.raises(AdviceError, match="has not begun: its plain pace begins after its first slice"):
        advisor.advise("one")


def test_it_ends_with_its_last_bar_and_is_measured_when_the_bars_are_there(start, clock):
    advisor, outage = start()
    outage.on = True
    for hour in range(1, 6):
        last = ask(advisor, clock, hour).slices[0]
    assert (last.finish, last.exact_amount) == (True, last.exact_remaining)
    assert "its bars are over" in ask(advisor, clock, 6).refused["one"] or "nothing is left" in str(
        ask(advisor, clock, 6).refused
    )
    outage.on = False
    assert [state.status for state in ask(advisor, clock, 6).ended] == ["finished"]
    check_result(advisor)


def test_in_the_mode_confirm_only_what_is_confirmed_counts(desk, clock, monkeypatch):
    advisor = desk.advisor(clock)
    advisor.submit(replace(buy(desk.universe, min_bars=6, max_bars=6), fallback=True, mode="confirm"))
    outage = Outage(advisor, monkeypatch)
    advisor.advise()
    outage.on = True
    assert ask(advisor, clock, 1).slices[0].exact_amount == 20
    advisor.total("one", NOON + HOUR, 12.0)
    assert ask(advisor, clock, 2).slices[0].exact_amount == 22
    outage.on = False
    assert ask(advisor, clock, 3).slices[0].exact_remaining == 88


def test_it_keeps_to_the_cap_and_to_what_the_venue_takes(start, desk_of, clock):
    keys = {"assets": {"AAA-USD": {"lot": "0.3", "min_amount": "0.9"}, "BBB-USD": {}}}
    advisor, outage = start(desk_of(**keys), size=99.9, max_rate=0.18)
    outage.on = True
    given = [ask(advisor, clock, hour).slices[0] for hour in range(1, 6)]
    assert all(advice.exact_amount % Decimal("0.3") == 0 for advice in given)
    assert max(advice.amount for advice in given) <= 0.18 * 99.9
    assert {advice.reason for advice in given} == {"fallback"}
