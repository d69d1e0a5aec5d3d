"""Amending a live order: what is left is planned anew, what was advised and filled stands, and sums stay exact."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import pytest

from lem.advice.amend import Amendment
from lem.advice.fills import FillNews
from lem.errors import OrderError, OrderStateError
from tests.lem.advice.desk import NOON, Desk, StoppedClock, buy

HOUR = dt.timedelta(hours=1)


def trade(advisor, clock: StoppedClock, hours: int, first: int = 0):
    """Ask once a bar."""
    for hour in range(first, first + hours):
        clock.set(NOON + hour * HOUR)
        advisor.advise()


def amounts(advisor, key: str = "one") -> list[Decimal]:
    return [advice.exact_amount for advice in advisor.history(key)]


@pytest.mark.parametrize("size", [150.0, 60.0])
def test_an_order_of_another_size_trades_it_exactly_and_its_prices_are_those_of_all_slices(
    desk: Desk, clock: StoppedClock, size: float
):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=6, max_bars=6))
    trade(advisor, clock, 2)
    before = amounts(advisor)
    state = advisor.amend("one", Amendment(size=size))
    assert (state.order.size, state.left, state.amended) == (size, Decimal(str(size)) - sum(before), 1)
    assert amounts(advisor) == before, "what was advised stands"
    third = dt.timedelta(hours=2)
    clock.set(NOON + third)
    advice = advisor.advise().slices[0]
    assert advice.exact_remaining == Decimal(str(size)) - sum(before)
    assert advice.share == pytest.approx(float(advice.exact_amount) / size, rel=1e-12)
    trade(advisor, clock, 4, first=3)
    ended = advisor.order("one")
    assert (ended.status, sum(amounts(advisor)), ended.left) == ("finished", Decimal(str(size)), 0)
    report = advisor.report("one")
    paid = [float(bar.filled) * bar.market_price for bar in report.bars]
    assert ended.result.achieved == pytest.approx(sum(paid) / size, rel=1e-9)
    assert ended.result.filled_share == pytest.approx(1.0)
    assert (report.amended, report.execution.gain_bps) == (1, pytest.approx(ended.result.gain_bps))


def test_an_order_that_was_amended_before_its_first_bar_is_as_if_it_had_come_so(desk: Desk, clock: StoppedClock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, "one", min_bars=1, max_bars=6))
    new = {"min_bars": 3, "max_bars": 5, "risk_aversion": 4.0, "max_rate": 0.5}
    advisor.amend("one", Amendment(size=70.0, **new))
    advisor.submit(replace(buy(desk.universe, "two", **new), size=70.0))
    trade(advisor, clock, 7)
    one, two = ([(a.bar, a.exact_amount, a.finish, a.reason) for a in advisor.history(key)] for key in ("one", "two"))
    assert one == two
    assert advisor.order("one").result == advisor.order("two").result


def test_a_fill_that_is_told_after_an_amendment_counts_as_what_it_is(desk: Desk, clock: StoppedClock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=6, max_bars=6))
    trade(advisor, clock, 2)
    advisor.amend("one", Amendment(size=130.0))
    first, second = amounts(advisor)
    advisor.fill("one", FillNews("t-1", Decimal("2.5"), price=Decimal(90), bar=NOON))
    assert advisor.order("one").left == Decimal(130) - Decimal("2.5") - second
    trade(advisor, clock, 1, first=2)
    advisor.fill("one", FillNews("t-2", Decimal("1.5"), price=Decimal(91), bar=NOON))
    advisor.amend("one", Amendment(size=110.0))
    trade(advisor, clock, 4, first=3)
    assert first != 4
    ended = advisor.order("one")
    counted = Decimal(4) + sum(amounts(advisor)[1:])
    assert (ended.status, counted, ended.left) == ("finished", Decimal(110), 0)
    report = advisor.report("one")
    paid = [float(bar.filled) * bar.price for bar in report.bars]
    assert ended.result.achieved == pytest.approx(sum(paid) / 110, rel=1e-9)


def test_a_later_end_goes_on_and_an_earlier_one_ends_with_all_that_is_left(desk: Desk, clock: StoppedClock):
    advisor = desk.advisor(clock)
    for key, bars in (("longer", 3), ("shorter", 6)):
        advisor.submit(buy(desk.universe, key, min_bars=bars, max_bars=bars))
    trade(advisor, clock, 3)
    advisor.amend("longer", Amendment(min_bars=5, max_bars=5, size=160.0))
    advisor.amend("shorter", Amendment(min_bars=4, max_bars=4))
    trade(advisor, clock, 4, first=3)
    for key, bars, size in (("longer", 5, 160), ("shorter", 4, 100)):
        ended = advisor.order(key)
        assert (ended.status, ended.result.bars_used, sum(amounts(advisor, key))) == ("finished", bars, size)


def test_a_limit_price_comes_and_goes(desk: Desk, clock: StoppedClock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe))
    advisor.amend("one", Amendment(limit_price=Decimal("0.01")))
    trade(advisor, clock, 1)
    assert [advice.reason for advice in advisor.history("one")] == ["limit"]
    assert advisor.amend("one", Amendment(no_limit=True)).order.limit_price is None
    trade(advisor, clock, 1, first=1)
    assert advisor.history("one")[1].amount > 0


def test_an_amendment_says_in_the_log_what_was_and_what_is_and_the_same_again_changes_nothing(
    desk: Desk, clock: StoppedClock
):
    advisor = desk.advisor(clock)
    order = buy(desk.universe)
    advisor.submit(order)
    for _ in range(2):
        state = advisor.amend("one", Amendment(size=120.5, max_bars=6, limit_price=Decimal("150.25")))
    told = [entry.facts for entry in advisor.store.audit.entries("tiny") if entry.event == "amended"]
    assert told == [{"size": "120.5", "limit_price": "150.25", "was": {"size": "100.0", "limit_price": None}}]
    assert state.amended == 1
    assert advisor.submit(state.order)[1] is False, "the order as it is may be sent again"
    with pytest.raises(OrderStateError, match="another order of this id"):
        advisor.submit(order)


CASES = [
    (Amendment(size=1.0), OrderError, r"size 1.0; allowed: \d+\.\d+ or more, what counts as filled already"),
    (Amendment(max_bars=2), OrderError, r"max_bars 2; allowed: 3 or more, the bar of the order that is decided next"),
    (Amendment(max_bars=7, min_bars=7), OrderError, "max_bars 7; allowed: at most 6, the horizon"),
    (Amendment(max_bars=4), OrderError, "min_bars 6 with max_bars 4"),
    (Amendment(min_rate=0.9, max_rate=0.5), OrderError, "min_rate 0.9 and max_rate 0.5"),
    (Amendment(size=float("nan")), OrderError, "size nan; allowed: more than 0"),
    (Amendment(size=1e12), OrderError, r"would be left for 4 more bars, which trade at most .*; allowed: a smaller"),
    (Amendment(limit_price=Decimal(0)), OrderError, "limit_price 0; allowed: more than 0"),
]


@pytest.mark.parametrize(("wanted", "kind", "words"), CASES)
def test_what_cannot_be_amended_is_refused_and_changes_nothing(
    desk: Desk, clock: StoppedClock, wanted: Amendment, kind: type[Exception], words: str
):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=1 if wanted.max_bars == 2 else 6))
    trade(advisor, clock, 2)
    before = advisor.order("one")
    with pytest.raises(kind, match=words):
        advisor.amend("one", wanted)
    assert advisor.order("one") == before


def test_an_order_that_has_ended_or_whose_last_bar_may_be_over_is_not_amended(desk: Desk, clock: StoppedClock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=2, max_bars=2))
    trade(advisor, clock, 1)
    clock.set(NOON + 2 * HOUR)
    with pytest.raises(OrderStateError, match=r"its last bar may be over; .* ask for its advice first"):
        advisor.amend("one", Amendment(max_bars=6))
    advisor.advise()
    with pytest.raises(OrderStateError, match="order one is expired; allowed: to amend one that is open"):
        advisor.amend("one", Amendment(max_bars=6))


def test_an_order_that_waits_is_not_amended_to_more_than_its_bars_can_trade(desk: Desk, clock: StoppedClock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe))
    with pytest.raises(OrderError, match="mean bar volumes; allowed: at most"):
        advisor.amend("one", Amendment(size=1e12))


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({}, "nothing to amend; allowed: one or more of size, min_bars"),
        ({"limit_price": Decimal(1), "no_limit": True}, "and none"),
    ],
)
def test_an_amendment_of_nothing_or_of_both_is_refused(terms, words):
    with pytest.raises(OrderError, match=words):
        Amendment(**terms)


def test_what_fills_leave_below_the_venues_least_is_not_amended_to(desk_of, clock: StoppedClock):
    desk = desk_of(assets={"AAA-USD": {"lot": "0.1", "min_amount": "5"}, "BBB-USD": {}})
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=6, max_bars=6))
    trade(advisor, clock, 1)
    advisor.total("one", NOON, 20.0)
    done = 20
    with pytest.raises(OrderError, match=r"leaves 3.0* to trade; allowed: to leave nothing, or 5 or more"):
        advisor.amend("one", Amendment(size=float(done + 3)))
    assert advisor.amend("one", Amendment(size=float(done + 8))).left == 8
