"""Advice is given once, for orders that may be advised on, and what was filled counts."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from lem.advice.clock import last_open, moment
from lem.advice.order import check_order
from lem.errors import OrderError, OrderStateError, UnknownOrderError
from lem.registry import Registry
from lem.registry.decision_figures import DecisionFigures
from tests.lem.advice.desk import DATE, NOON, buy, panel_of

HOUR = dt.timedelta(hours=1)
END = dt.datetime(2024, 2, 1, tzinfo=dt.UTC)
"""No bar of the universe opens then or later."""


def test_a_slice_is_never_advised_twice(desk, clock):
    one = desk.advisor(clock)
    one.submit(buy(desk.universe, min_bars=6))
    first = one.advise("one").slices[0]
    clock.sleep(1800)
    for advisor in (one, desk.advisor(clock)):
        again = advisor.advise("one").slices[0]
        assert again == replace(first, repeated=True, seconds_left=1800.0)
    assert (first.number, first.reason, first.amount) == (1, "pace", pytest.approx(100 * first.share))
    assert (first.bar, first.as_of, first.repeated) == (NOON, NOON, False)
    assert first.benchmark_price is first.gain_bps is None
    clock.sleep(1800)
    second = one.advise("one").slices[0]
    assert (second.bar, second.number, second.remaining) == (NOON + HOUR, 2, pytest.approx(100 - first.amount))
    panel = panel_of(desk, "AAA-USD")
    bar = np.searchsorted(panel.ts_T, np.datetime64(NOON.replace(tzinfo=None)))
    assert second.benchmark_price == pytest.approx(panel.vwap_NT[0, bar])
    assert [advice.number for advice in one.history("one")] == [1, 2]


def test_the_registry_is_asked_for_the_champion_twice_a_bar_however_many_orders_begin(desk, clock, monkeypatch):
    asked, whole = [], Registry.champion_on
    monkeypatch.setattr(Registry, "champion_on", lambda *given: asked.append(given[1:]) or whole(*given))
    advisor = desk.advisor(clock)
    for key in ("one", "two", "three"):
        advisor.submit(buy(desk.universe, key))
    assert len(advisor.advise().slices) == 3
    # For the contexts that are made beforehand, and for the decision, which another process may have come before.
    assert asked == [(desk.universe.name, NOON.date())] * 2


def test_an_order_waits_for_its_start_and_the_same_order_may_be_sent_again(desk, clock):
    advisor, order = desk.advisor(clock), buy(desk.universe, start=NOON + HOUR / 2)
    assert [advisor.submit(order)[1] for _ in range(2)] == [True, False]
    assert advisor.advise().waiting == {"one": order.start}
    clock.sleep(3600)
    assert advisor.advise().slices[0].bar == NOON + HOUR
    with pytest.raises(OrderStateError, match=r"another order of this id .*100 AAA-USD"):
        advisor.submit(replace(order, size=5.0))


def test_an_order_that_is_sent_again_without_a_start_begins_when_it_began(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, start=advisor.start_of("one")))
    clock.sleep(3600)
    assert (advisor.start_of("one"), advisor.start_of("two"), advisor.start_of(None)) == (
        NOON,
        NOON + HOUR,
        NOON + HOUR,
    )
    assert advisor.submit(buy(desk.universe, start=advisor.start_of("one")))[1] is False


def test_bars_that_nobody_asked_about_count_with_nothing_filled(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=6, max_rate=0.4))
    first = advisor.advise("one").slices[0]
    clock.sleep(3 * 3600)
    now = advisor.advise("one").slices[0]
    assert (now.number, now.remaining) == (4, pytest.approx(100 - first.amount))
    assert [advice.reason for advice in advisor.history("one")] == ["pace", "missed", "missed", "pace"]
    clock.sleep(5 * 3600)
    ended = advisor.advise("one").ended[0]
    assert (ended.status, ended.result.bars_used) == ("expired", 6)
    assert ended.result.filled_share == pytest.approx(first.share + now.share)


def test_what_was_filled_counts_in_place_of_what_was_advised(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=6, max_rate=0.3))
    first = advisor.advise("one").slices[0]
    assert advisor.total("one", NOON, 5.0).filled == 5.0
    assert advisor.total("one", NOON, 4.0).filled == 4.0
    for amount in (-1.0, 1e16, 1e-19):
        with pytest.raises(OrderError, match=r"amount .*; allowed: 0 or more, at most 1e[+]15, 18 decimal places"):
            advisor.total("one", NOON, amount)
    clock.sleep(3600)
    second = desk.advisor(clock).advise("one").slices[0]
    assert second.remaining == 96.0 != pytest.approx(100 - first.amount)
    for hour in range(2, 6):
        advisor.total("one", NOON + (hour - 1) * HOUR, 0.0)
        clock.sleep(3600)
        last = advisor.advise("one").slices[0]
    assert (last.finish, last.reason, last.share) == (True, "last_bar", pytest.approx(0.3)), "the cap stands"
    clock.sleep(3600)
    ended = advisor.advise("one").ended[0]
    assert (ended.status, ended.result.filled_share) == ("expired", pytest.approx(0.04 + 0.3))
    with pytest.raises(OrderError, match="18:00:00Z of order one has no slice; allowed: 2024-01-18T12:00:00Z to"):
        advisor.total("one", NOON + 6 * HOUR, 1.0)


def test_a_fill_of_all_that_is_left_ends_an_order_that_may_end(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=1, max_rate=0.5))
    assert not advisor.advise("one").slices[0].finish
    advisor.total("one", NOON, 100.0)
    clock.sleep(3600)
    advised = advisor.advise()
    ended = advised.ended[0]
    assert (advised.slices, ended.status, ended.result.filled_share) == ([], "finished", 1.0)


def test_a_cancelled_order_gets_no_more_slices(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe))
    assert [advisor.cancel("one").status for _ in range(2)] == ["cancelled", "cancelled"]
    assert advisor.advise().slices == []
    with pytest.raises(OrderStateError, match="order one is cancelled; allowed: advice on one that is open"):
        advisor.advise("one")
    with pytest.raises(UnknownOrderError, match="no order 'two'"):
        advisor.cancel("two")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"asset": "DOGE"}, "asset 'DOGE'; allowed: AAA-USD, BBB-USD"),
        ({"max_bars": 7}, "max_bars 7; allowed: at most 6"),
        ({"start": NOON - HOUR}, "start 2024-01-18T11:00:00Z; allowed: from 2024-01-18T12:00:00Z"),
        ({"start": NOON + 400 * 24 * HOUR}, "start 2025"),
        (
            {"start": END},
            r"start 2024-02-01T00:00:00Z; allowed: .* to 2024-01-31T23:00:00Z, the open of the last",
        ),
        ({"start": END - HOUR / 2}, r"start 2024-01-31T23:30:00Z; allowed: .* to 2024-01-31T23:00:00Z"),
        ({"size": float("nan")}, "size nan; allowed: more than 0"),
        ({"size": 1e300}, "size 1e[+]300; allowed"),
        ({"key": "../x"}, "id '../x'; allowed: 1 to 64 letters"),
        ({"key": "é"}, r"id '\\xe9'; allowed"),
        ({"side": "hold"}, "side 'hold'; allowed: buy, sell"),
        ({"max_rate": 0.1}, "max_rate 0.1 over max_bars 6"),
    ],
)
def test_an_order_that_could_never_be_advised_on_names_field_and_what_is_allowed(desk, clock, changes, message):
    with pytest.raises(OrderError, match=message):
        desk.advisor(clock).submit(buy(desk.universe, **changes))
    assert desk.advisor(clock).store.orders("tiny") == []


def test_an_order_may_begin_with_the_last_bar_of_the_universe_and_with_any_where_it_has_no_end(desk, clock):
    assert desk.advisor(clock).submit(buy(desk.universe, start=END - HOUR))[1]
    endless = replace(desk, universe=desk.universe.model_copy(update={"end": None})).advisor(clock)
    assert endless.submit(buy(desk.universe, "later", start=NOON + 365 * 24 * HOUR))[1]
    with pytest.raises(OrderError, match=r"to 2025-01-18T12:00:00Z$"):
        endless.submit(buy(desk.universe, "too-late", start=NOON + 367 * 24 * HOUR))


@pytest.mark.parametrize(
    ("end", "last"),
    [("2023-11-24", "2023-11-24T14:30"), ("2023-11-23", "2023-11-22T14:30"), ("2023-11-26", "2023-11-24T14:30")],
)
def test_the_last_bar_of_sessions_is_that_of_the_last_session(make_universe, end, last):
    universe = make_universe(calendar="XNYS", start="2021-01-04", end=end)
    opens = dt.datetime.fromisoformat(last).replace(tzinfo=dt.UTC)
    assert last_open(universe) == opens
    closed = moment(universe, dt.datetime.fromisoformat(end).replace(hour=22, tzinfo=dt.UTC))
    order = buy(universe, asset="AAA-USD", max_bars=2, start=closed.bar)
    with pytest.raises(OrderError, match=f"none any more, since the last bar of small has closed .*{end}"):
        check_order(order, universe, closed)


def test_a_slice_names_its_model_how_old_it_is_and_what_was_decided_about_it(desk, clock):
    advisor, registry = desk.advisor(clock), Registry(desk.url)
    advisor.submit(buy(desk.universe, min_bars=6))
    record = registry.model(desk.model_id)
    first = advisor.advise("one").slices[0]
    assert first.model_id == desk.model_id
    assert first.model_age_days == (NOON.date() - record.train_end).days >= 0
    assert first.model_verdict == "promoted on 2024-01-18"
    by_hand = replace(
        registry.promotion("tiny", DATE), figures=DecisionFigures(by_hand=True), reasons=["by hand: ours"]
    )
    registry.record_promotion(by_hand)
    clock.sleep(3600)
    second = advisor.advise("one").slices[0]
    assert second.model_verdict == "promoted by hand on 2024-01-18"
    assert [one.model_verdict for one in advisor.history("one")] == [second.model_verdict] * 2


def test_an_order_whose_start_is_left_out_is_taken_on_though_a_bar_ends_while_it_is_sent(desk, clock):
    advisor = desk.advisor(clock)
    order = buy(desk.universe, start=advisor.start_of("one"))
    clock.sleep(3600)
    with pytest.raises(OrderError, match="start 2024-01-18T12:00:00Z; allowed: from 2024-01-18T13:00:00Z"):
        advisor.submit(order)
    state, is_new = advisor.submit(order, starts_next=True)
    assert (state.order.start, is_new) == (NOON + dt.timedelta(hours=1), True)
    assert advisor.submit(order, starts_next=True) == (state, False), "sent again, it is the same"
