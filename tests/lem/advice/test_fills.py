"""Fills are events: counted once, corrected, late, over; what is left is exact until the desk closes the order."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lem.advice.advisor import Advisor
from lem.advice.amounts import minus, total
from lem.advice.fills import FillNews, newest, retold, with_fills
from lem.advice.records import OpenOrder, OrderRecord, SliceRecord
from lem.errors import OrderError, OrderStateError
from tests.lem.advice.desk import HOURLY, NOON, Desk, buy, make_desk

HOUR = dt.timedelta(hours=1)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def desk(request, tmp_path, make_universe, tiny_keys) -> Iterator[Desk]:
    universe = make_universe(**tiny_keys(**HOURLY))
    if request.param == "SQLite":
        yield make_desk(tmp_path, universe)
        return
    with request.getfixturevalue("postgresql").database() as url:
        yield make_desk(tmp_path, universe, url=url)


@pytest.fixture
def advisor(desk, clock) -> Advisor:
    return desk.advisor(clock)


def told(key: str, amount: str, price: str | None = None, **more) -> FillNews:
    return FillNews(key, Decimal(amount), None if price is None else Decimal(price), **more)


def left(advisor: Advisor, key: str = "one") -> Decimal:
    return advisor.order(key).left


def test_fills_of_a_bar_add_up_and_one_that_is_sent_twice_counts_once(advisor, clock, desk):
    advisor.submit(buy(desk.universe, min_bars=6))
    advisor.advise("one")
    fills = [told("a", "0.1", "100"), told("b", "0.2", "103", fee=Decimal("0.05"), traded_at=NOON + HOUR / 60)]
    assert [advisor.fill("one", fill)[1] for fill in (*fills, *fills)] == [True, True, False, False]
    assert left(advisor) == Decimal("99.7"), "to the digit"
    clock.sleep(3600)
    second = advisor.advise("one").slices[0]
    assert (second.remaining, second.exact_remaining) == (99.7, Decimal("99.7"))
    assert second.achieved == pytest.approx((0.1 * 100 + 0.2 * 103) / 0.3), "at the prices of the fills"
    with pytest.raises(OrderStateError, match=r"fill a of order one was told with other content \(amount 0\.1\)"):
        advisor.fill("one", told("a", "0.11", "100"))
    with pytest.raises(OrderStateError, match="fill c of order one is not known; allowed: to correct one that is"):
        advisor.fill("one", told("c", "1", corrects=True))


def test_a_late_fill_of_an_earlier_bar_counts_from_the_next_slice_on(advisor, clock, desk):
    advisor.submit(buy(desk.universe, "one", min_bars=6))
    advisor.submit(buy(desk.universe, "other", min_bars=6))
    first = advisor.advise().slices[0]
    clock.sleep(3600)
    second = next(s for s in advisor.advise().slices if s.order_id == "one")
    assert advisor.fill("one", told("a", "1.0", "101", traded_at=NOON + HOUR / 2))[0].bar == NOON
    assert left(advisor) == minus(Decimal(99), second.exact_amount)
    assert advisor.advise("one").slices[0] == replace(second, repeated=True), "what was advised stays"
    clock.sleep(3600)
    third = advisor.advise("one").slices[0]
    assert third.exact_remaining == minus(Decimal(99), second.exact_amount)
    assert third.remaining > 100 - first.amount - second.amount
    assert not advisor.store.booked("tiny", "one")[0].is_late, "the slice has it in its own ledger"
    advisor.fill("one", told("a", "3.0", "101", traded_at=NOON + HOUR / 2, corrects=True))
    clock.sleep(3600)
    assert left(advisor) == minus(minus(Decimal(97), second.exact_amount), third.exact_amount)
    fourth = advisor.advise("one").slices[0]
    assert fourth.share > 0
    stored = advisor.history("one")
    assert [s.exact_filled for s in stored] == [Decimal(3), None, None, None]
    ledger = advisor.store.booked("tiny", "one")[0].last
    assert ledger.remaining == pytest.approx(float(fourth.exact_remaining) / 100, abs=1e-12), "both ledgers agree"


@pytest.mark.parametrize("told_in_time", [True, False])
def test_a_finishing_slice_that_was_filled_in_part_leaves_the_order_open_with_what_is_left(
    advisor, clock, desk, told_in_time
):
    advisor.submit(buy(desk.universe, min_bars=1, min_rate=0.1))
    advisor.submit(buy(desk.universe, "other", min_bars=6))
    advisor.advise()
    advisor.fill("one", told("most", "95", "100"))
    clock.sleep(3600)
    finishing = next(s for s in advisor.advise().slices if s.order_id == "one")
    assert (finishing.finish, finishing.reason, finishing.exact_amount) == (True, "remainder", Decimal(5))
    part = told("part", "0.5", "100", bar=finishing.bar)
    if told_in_time:
        advisor.fill("one", part)
        clock.sleep(3600)
        assert advisor.advise("other").slices
    else:
        clock.sleep(3600)
        assert [state.status for state in advisor.advise().ended] == ["finished"]
        advisor.fill("one", part)
    state = advisor.order("one")
    assert (state.status, state.result) == ("live", None)
    assert state.left == minus(finishing.exact_remaining, Decimal("0.5"))
    following = advisor.advise("one").slices[0]
    assert following.exact_remaining == state.left
    assert following.bar == finishing.bar + HOUR


def test_in_confirm_mode_nothing_counts_until_it_is_confirmed(advisor, clock, desk):
    advisor.submit(replace(buy(desk.universe, min_bars=6), mode="confirm"))
    first = advisor.advise("one").slices[0]
    assert first.mode == "confirm"
    clock.sleep(3600)
    second = advisor.advise("one").slices[0]
    assert (second.exact_remaining, left(advisor)) == (Decimal(100), Decimal(100))
    advisor.fill("one", told("a", "2.5", "100", bar=NOON))
    clock.sleep(3600)
    assert advisor.advise("one").slices[0].exact_remaining == Decimal("97.5")
    clock.sleep(5 * 3600)
    ended = advisor.advise("one").ended[0]
    assert (ended.status, ended.result.filled_share) == ("expired", pytest.approx(0.025))


def test_more_than_was_ordered_is_accepted_and_shown_and_ends_the_order(advisor, clock, desk):
    advisor.submit(buy(desk.universe, min_bars=1))
    advisor.advise("one")
    advisor.fill("one", told("a", "120", "100"))
    clock.sleep(3600)
    ended = advisor.advise().ended[0]
    assert (ended.status, ended.result.filled_share, ended.left) == ("finished", 1.0, Decimal(-20))
    advisor.fill("one", told("a", "100", "99", corrects=True))
    state = advisor.order("one")
    assert (state.status, state.left, state.result.achieved) == ("finished", Decimal(0), pytest.approx(99))


def test_fills_are_taken_after_the_end_and_a_cancel_until_the_desk_closes_the_order(advisor, clock, desk):
    for key in ("one", "two"):
        advisor.submit(buy(desk.universe, key, min_bars=6, max_rate=0.3))
    advisor.advise()
    with pytest.raises(OrderStateError, match="order one is live; allowed: to close one that has ended; cancel it"):
        advisor.close("one")
    advisor.cancel("two")
    advisor.fill("two", told("a", "1"))
    assert (advisor.order("two").status, left(advisor, "two")) == ("cancelled", Decimal(99))
    clock.sleep(7 * 3600)
    assert advisor.advise().ended[0].status == "expired"
    advisor.fill("one", told("a", "100", "101", bar=NOON))
    state = advisor.order("one")
    assert (state.status, state.result.filled_share, state.result.achieved) == ("finished", 1.0, pytest.approx(101))
    for key in ("one", "two"):
        assert [advisor.close(key).closed_at for _ in range(2)] == [clock.now()] * 2
        with pytest.raises(OrderStateError, match="was closed on 2024-01-18 19:00 UTC; allowed: fills of one that is"):
            advisor.fill(key, told("b", "1"))


def test_a_broken_fill_is_corrected_to_nothing_and_the_bar_then_counts_nothing(advisor, desk):
    advisor.submit(buy(desk.universe, min_bars=6))
    advisor.advise("one")
    advisor.fill("one", told("a", "1"))
    corrected, is_new = advisor.fill("one", told("a", "0", corrects=True))
    assert (corrected.revision, is_new, left(advisor)) == (2, True, Decimal(100))
    assert [(fill.revision, fill.amount) for fill in advisor.fills("one")] == [(1, Decimal(1)), (2, Decimal(0))]


def test_a_fill_that_comes_again_after_its_correction_is_no_other_one(advisor, desk):
    advisor.submit(buy(desk.universe))
    advisor.advise()
    first = FillNews("a", Decimal(5), Decimal(400))
    advisor.fill("one", first)
    advisor.fill("one", FillNews("a", Decimal(3), Decimal(400), corrects=True))
    told, is_new = advisor.fill("one", first)
    assert (told.amount, told.revision, is_new) == (3, 2, False)
    with pytest.raises(OrderStateError, match="told with other content"):
        advisor.fill("one", FillNews("a", Decimal(4), Decimal(400)))
    assert advisor.fill("one", replace(first, corrects=True))[1], "a correction to what it was is one"


def test_a_total_and_single_fills_of_one_bar_are_not_added_up(advisor, clock, desk):
    advisor.submit(buy(desk.universe, min_bars=6))
    advisor.advise("one")
    advisor.total("one", NOON, 2.0)
    with pytest.raises(OrderStateError, match=r"total of the bar of 2024-01-18T12:00:00Z .* allowed: its total anew"):
        advisor.fill("one", told("a", "1"))
    clock.sleep(3600)
    advisor.advise("one")
    advisor.fill("one", told("a", "1"))
    with pytest.raises(OrderStateError, match="single fills of the bar of 2024-01-18T13:00:00Z"):
        advisor.total("one", NOON + HOUR, 2.0)


@pytest.mark.parametrize(
    ("news", "message"),
    [
        ({"fill_id": "é"}, r"fill id '\\xe9'; allowed: 1 to 64 letters"),
        ({"fill_id": "a\n"}, r"fill id 'a\\n'"),
        ({"fill_id": "total@2024-01-18T12:00:00Z"}, "fill id 'total@"),
        ({"amount": Decimal("NaN")}, "amount NaN; allowed: 0 or more"),
        ({"amount": Decimal(0)}, "amount 0; allowed: more than 0"),
        ({"amount": Decimal("1e-19")}, "18 decimal places"),
        ({"price": Decimal(0)}, "price 0; allowed: more than 0"),
        ({"fee": Decimal("Infinity")}, "fee Infinity; allowed: any"),
    ],
)
def test_a_fill_that_cannot_be_names_the_field_and_what_is_allowed(news, message):
    with pytest.raises(OrderError, match=message):
        FillNews(**{"fill_id": "a", "amount": Decimal(1), **news})


def test_a_fill_before_the_order_s_first_bar_and_of_an_order_without_a_slice_is_refused(advisor, desk):
    advisor.submit(buy(desk.universe))
    with pytest.raises(OrderStateError, match="order one is waiting and has no slice"):
        advisor.fill("one", told("a", "1"))
    advisor.advise("one")
    with pytest.raises(OrderError, match="11:00:00Z of fill a lies before the order's first bar; allowed: 2024"):
        advisor.fill("one", told("a", "1", traded_at=NOON - HOUR))


def test_a_fill_of_a_time_that_has_not_come_is_refused(advisor, desk):
    advisor.submit(buy(desk.universe))
    advisor.advise("one")
    now = advisor.clock.now()
    with pytest.raises(OrderError, match=r"of fill a has not come yet: it is 2024-.*; allowed: at most 60 s ahead"):
        advisor.fill("one", told("a", "1", traded_at=now + dt.timedelta(seconds=61)))
    assert advisor.fill("one", told("a", "1", traded_at=now + dt.timedelta(seconds=60)))[1]


def test_a_price_that_is_far_from_the_market_s_is_refused_and_a_violent_bar_is_not(advisor, desk):
    advisor.submit(buy(desk.universe))
    close = Decimal(repr(advisor.advise("one").slices[0].last_close))
    for factor in ("0.19", "5.1", "100"):
        with pytest.raises(OrderError, match=r"^price .* of fill a; allowed: a fifth of the last close before"):
            advisor.fill("one", told("a", "1", f"{close * Decimal(factor):.8f}"))
    for key, factor in (("a", "0.21"), ("b", "4.9")):
        advisor.fill("one", told(key, "1", f"{close * Decimal(factor):.8f}"))
    with pytest.raises(OrderError, match="of fill a; allowed"):
        advisor.fill("one", told("a", "1", f"{close * 100:.8f}", corrects=True))
    assert advisor.fill("one", told("c", "1"))[1], "what the message allows"


def test_a_fill_that_was_taken_before_its_price_and_time_were_looked_at_is_still_told_again(advisor, desk, monkeypatch):
    advisor.submit(buy(desk.universe))
    advisor.advise("one")
    with monkeypatch.context() as patch:
        patch.setattr("lem.advice.fill_book.MOST_MOVE", 1e9)
        patch.setattr("lem.advice.fill_book.MOST_AHEAD", dt.timedelta(days=9))
        fills = [told("a", "1", "9999999"), told("b", "1", traded_at=NOON + 2 * HOUR)]
        assert all(advisor.fill("one", fill)[1] for fill in fills)
    assert not any(advisor.fill("one", fill)[1] for fill in fills)


AMOUNTS = st.decimals(min_value="0", max_value="1000", places=8, allow_nan=False, allow_infinity=False)
PRICES = st.none() | st.decimals(min_value="0.01", max_value="100000", places=2, allow_nan=False, allow_infinity=False)


@settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(
    size=st.decimals(min_value="0.00000001", max_value="100000", places=8),
    advised=st.lists(AMOUNTS, min_size=1, max_size=6),
    fills=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), AMOUNTS, PRICES), max_size=12),
    mode=st.sampled_from(["assume", "confirm"]),
)
def test_the_order_is_what_counts_and_what_is_left_to_the_digit(size, advised, fills, mode):
    from lem.advice.fills import Fill
    from lem.advice.records import ArrivalRecord

    order = OrderRecord(
        *("one", "tiny", "AAA-USD", "buy", "vwap", "quantity", float(size), 1, 6, 0.0, 1.0, 1.0, NOON, NOON, "live"),
        mode=mode,
        arrival=ArrivalRecord("m", NOON, 0.01, 100.0, 5.0),
    )
    slices = [
        SliceRecord(
            *(n, 1.0, 0.0, 0.0, float(n), float(n), "one", NOON + n * HOUR, NOON, NOON),
            *(min(1.0, float(amount) / float(size)), False, "pace", 0.0, 100.0, None),
            amount=amount,
            left_before=order.exact_size,
        )
        for n, amount in enumerate(advised)
    ]
    events = [
        Fill("one", str(key), n, NOON + min(bar, len(slices) - 1) * HOUR, amount, price, None, None, NOON + n * HOUR)
        for n, (bar, key, amount, price) in enumerate(fills)
    ]
    counting = newest(events)
    filled = [with_fills(order, slice_, counting) for slice_ in slices]
    late = retold(order, filled)
    names = {name: getattr(late, name) for name in ("late_amount", "late_share", "late_units", "late_cash")}
    base = {f: getattr(order, f) for f in order.__dataclass_fields__}
    state = OpenOrder(**{**base, **names}, last=filled[-1]).state()
    assert state.left + state.filled == order.exact_size
    counted = {slice_.bar: slice_.advised(order) if mode == "assume" else Decimal(0) for slice_ in slices}
    bars = {fill.bar for fill in counting}
    counted |= {bar: total([fill.amount for fill in counting if fill.bar == bar]) for bar in bars}
    assert state.filled == sum(counted.values())
