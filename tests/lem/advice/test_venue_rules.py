"""What a venue takes: slices are multiples of its lot, none is too small or leaves dust, and they sum to the order."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lem.advice.amounts import as_told, down_to, minus, total
from lem.advice.fills import FillNews
from lem.advice.venue_rules import VenueRules, tradable
from lem.errors import AdviceError, OrderError, SourceError
from lem.sources import open_source
from tests.lem.advice.desk import buy

HOUR = dt.timedelta(hours=1)
LOTS = st.sampled_from([Decimal(text) for text in ("0.00001", "0.001", "0.5", "1", "7", "100")])
PRICE = Decimal("123.45")


@settings(max_examples=400, deadline=None, database=None)
@given(
    lot=LOTS,
    lots=st.integers(1, 10**6),
    minimum=st.integers(0, 5000),
    notional=st.integers(0, 10**5),
    wishes=st.lists(st.floats(0, 1), min_size=5, max_size=5),
    most=st.floats(0.2, 1),
)
def test_rounded_slices_sum_exactly_to_the_order_and_none_is_too_small_or_leaves_dust(
    lot, lots, minimum, notional, wishes, most
):
    rules = VenueRules(lot, None, lot * minimum or None, Decimal(notional) or None)
    least, size = rules.least("quantity", PRICE), lot * lots
    assume(size >= least)
    cap = as_told(float(size) * most) + lot
    assume(down_to(cap, lot) >= 2 * least)
    left, slices, carry = size, [], Decimal(0)
    for n, share in enumerate([*wishes, 1.0]):
        wish = min(as_told(float(left) * share) + carry, left)
        amount = tradable(rules, "quantity", PRICE, wish, left, cap, 5 - n, ends=n == 5)
        assert down_to(amount, lot) == amount
        assert amount == 0 or least <= amount <= cap
        left, carry = minus(left, amount), max(minus(wish, amount), Decimal(0))
        assert left == 0 or left >= least, "no dust"
        slices.append(amount)
    assert left == minus(size, total(slices))
    assert left == 0, "its bars can trade it"


@pytest.mark.parametrize(
    ("wish", "left", "ends", "amount"),
    [
        ("0.34", "10", False, "0.3"),
        ("0.04", "10", False, "0"),
        ("9.8", "10", False, "9.8"),
        ("9.95", "10", False, "9.8"),
        ("0.25", "0.3", False, "0"),
        ("0.3", "0.3", True, "0.3"),
        ("0.1", "0.1", True, "0"),
    ],
)
def test_a_slice_is_rounded_down_waits_where_it_is_too_small_and_leaves_enough_for_one_more(wish, left, ends, amount):
    rules = VenueRules(lot=Decimal("0.1"), min_amount=Decimal("0.2"))
    given_ = (Decimal(wish), Decimal(left), Decimal(100), 3, ends)
    assert tradable(rules, "quantity", PRICE, *given_) == Decimal(amount)


def test_slices_of_a_notional_have_the_venue_s_least_notional_at_the_last_close():
    rules = VenueRules(lot=Decimal(1), min_amount=Decimal(2), min_notional=Decimal(100))
    assert rules.least("notional", Decimal(10)) == 100
    assert rules.least("notional", Decimal(60)) == 120
    assert tradable(rules, "notional", Decimal(10), Decimal("150.25"), Decimal(999), Decimal(999), 3, False) == Decimal(
        "150.25"
    )


@pytest.fixture
def rounded(desk_of):
    """A desk whose venue takes AAA-USD in lots of 0.5, and no less than 3."""
    return desk_of(assets={"AAA-USD": {"lot": 0.5, "tick": 0.01, "min_amount": 3}, "BBB-USD": {}})


@pytest.mark.parametrize("min_bars", [1, 6])
def test_live_slices_are_what_the_venue_takes_and_sum_to_the_order(rounded, clock, min_bars):
    advisor = rounded.advisor(clock)
    state, _ = advisor.submit(buy(rounded.universe, min_bars=min_bars, size=40.0))
    assert state.order.rules == VenueRules(Decimal("0.5"), Decimal("0.01"), Decimal(3))
    advisor.submit(buy(rounded.universe, "free", asset="BBB-USD", min_bars=6, size=40.0))
    for _ in range(7):
        advised = advisor.advise()
        clock.sleep(3600)
    assert (advised.slices, advisor.order("one").status) == ([], "finished")
    amounts = [advice.exact_amount for advice in advisor.history("one")]
    assert sum(amounts) == 40
    assert all(amount == 0 or (amount >= 3 and amount % Decimal("0.5") == 0) for amount in amounts)
    assert advisor.order("one").left == 0
    assert total([advice.exact_amount for advice in advisor.history("free")]) == 40, "without a rounding, too"


def test_the_same_order_may_be_sent_again_after_the_venue_s_rules_were_changed(rounded, desk_of, clock):
    order = buy(rounded.universe, size=40.0)
    assert rounded.advisor(clock).submit(order)[1]
    changed = replace(rounded, universe=desk_of().universe).advisor(clock)
    again, is_new = changed.submit(order)
    assert (is_new, again.order.rules.lot) == (False, Decimal("0.5"))


def test_what_the_venue_cannot_take_is_left_over_and_said(rounded, clock):
    advisor = rounded.advisor(clock)
    advisor.submit(buy(rounded.universe, min_bars=1, size=40.0))
    advisor.advise("one")
    advisor.fill("one", FillNews("a", Decimal("37.8")))
    clock.sleep(3600)
    advice = advisor.advise("one").slices[0]
    assert (advice.exact_amount, advice.reason, advice.exact_remaining) == (0, "too_small", Decimal("2.2"))


def test_an_order_at_a_limit_price_waits_while_the_last_close_is_worse(desk, clock):
    advisor = desk.advisor(clock)
    close = 0.0
    for key, limit in (("never", "0.01"), ("always", "100000")):
        advisor.submit(replace(buy(desk.universe, key, min_bars=6), limit_price=Decimal(limit)))
    advised = {advice.order_id: advice for advice in advisor.advise().slices}
    close = advised["never"].last_close
    assert 0.01 < close < 100000
    assert (advised["never"].exact_amount, advised["never"].share, advised["never"].reason) == (0, 0.0, "limit")
    assert advised["always"].amount > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 40.3}, "size 40.3; allowed: a multiple of the lot 0.5, such as 40.0 or 40.5"),
        ({"size": 2.5}, "size 2.5; allowed: 3 or more, the venue's least amount"),
        ({"size": 5e-324}, "size 4.94066e-324; allowed: more than 0, that is 1e-09 or more"),
        ({"size": 1e9}, r"size 1000000000 \(base quantity\), .* allowed: at most .* participation_cap"),
    ],
)
def test_an_order_that_the_venue_could_not_take_is_refused_with_what_is_allowed(rounded, clock, changes, message):
    advisor = rounded.advisor(clock)
    with pytest.raises(OrderError, match=message):
        advisor.submit(buy(rounded.universe, **changes))
    assert advisor.store.orders("tiny") == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 3.0}, r"size 3.0; allowed: \S+ or more, the least that the venue takes at the last close of \S+$"),
        (
            {"size": 30.0, "max_rate": 0.2},
            r"size 30.0, of which max_rate and cap let trade 6 a bar; allowed: \S+ or more",
        ),
    ],
)
def test_an_order_whose_slices_would_all_be_too_small_for_the_venue_is_refused(desk_of, clock, changes, message):
    desk = desk_of(assets={"AAA-USD": {"lot": 0.5, "min_notional": 5000}, "BBB-USD": {}})
    advisor = desk.advisor(clock)
    with pytest.raises(OrderError, match=message):
        advisor.submit(buy(desk.universe, **changes))
    assert advisor.submit(buy(desk.universe, size=30.0))[1]
    assert advisor.submit(buy(desk.universe, "free", asset="BBB-USD", size=3.0))[1]


@pytest.mark.parametrize(("limit", "message"), [("100.005", "a multiple of the tick 0.01"), ("0", "more than 0")])
def test_a_limit_price_is_a_positive_multiple_of_the_tick(rounded, clock, limit, message):
    with pytest.raises(OrderError, match=f"limit_price {limit}; allowed: .*{message}"):
        rounded.advisor(clock).submit(replace(buy(rounded.universe, size=40.0), limit_price=Decimal(limit)))


class Venue:
    """A source that also knows the venue's rules, or fails to."""

    def __init__(self, source, rules):
        self.source, self.rules = source, rules

    def fetch(self, *window):
        return self.source.fetch(*window)

    def forget(self, symbol):
        self.source.forget(symbol)

    def trading_rules(self, symbol):
        if self.rules is None:
            raise SourceError("binance: does not answer")
        return self.rules


def test_the_source_s_rules_hold_where_the_universe_file_has_none(rounded, clock):
    known = {"lot": Decimal("0.25"), "min_notional": Decimal(5)}
    advisor = rounded.advisor(clock, Venue(open_source(rounded.universe, ""), known))
    one, two = (
        advisor.submit(buy(rounded.universe, asset, asset=asset, size=40.0))[0].order.rules
        for asset in ("AAA-USD", "BBB-USD")
    )
    assert one == VenueRules(Decimal("0.5"), Decimal("0.01"), Decimal(3), Decimal(5))
    assert two == VenueRules(lot=Decimal("0.25"), min_notional=Decimal(5))
    silent = rounded.advisor(clock, Venue(open_source(rounded.universe, ""), None))
    with pytest.raises(AdviceError, match="AAA-USD: what the venue takes is not known: binance: does not answer; send"):
        silent.submit(buy(rounded.universe, "three", size=40.0))
