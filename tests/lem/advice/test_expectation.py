"""What an order may be expected to gain: the report of before it says, or the answer says why nothing does."""

from __future__ import annotations

import time
from dataclasses import replace
from threading import Event
from typing import Any

import pytest

from lem.advice.records import ArrivalRecord, OrderRecord
from lem.data.panel import PANEL_SCHEMA, panel_table
from lem.lake import Lake
from lem.universe.calendars import partition_dates
from tests.lem.advice.desk import NOON, Desk, StoppedClock, buy
from tests.lem.builders import brownian_bars, features_of

HEAD = "level,costs,strategy,against,side,benchmark,target,min_bars,orders,mean_bps,p5_bps,p95_bps"
ROWS = (
    "scenario and m,on,lem,,buy,vwap,quantity,1,360,12.5,-30.25,55.0",
    "scenario and m,on,lem,,buy,vwap,quantity,3,300,8.5,-20.0,40.0",
    "scenario and m,off,lem,,buy,vwap,quantity,1,360,99,-99,99",
    "scenario and m,on,lem,twap,buy,vwap,quantity,1,360,98,-98,98",
    "scenario and m,on,twap,,buy,vwap,quantity,1,360,97,-97,97",
    "scenario and m,on,lem,,sell,vwap,quantity,1,360,96,-96,96",
    "m,on,lem,,all,all,all,1,360,95,-95,95",
)


ASSUMED = 0.2 * 1170.4
"""Size of an order of the assumed 0.2 mean bar volumes of AAA-USD at NOON."""


def write_report(lake: Lake, day: str, *rows: str) -> None:
    text = "\n".join([HEAD, *rows]) + "\n"
    lake.write_bytes(f"tiny/execution_report/date={day}/report.html", b"<html>")
    lake.write_bytes(f"tiny/execution_report/date={day}/report.csv", text.encode())


def expected(desk: Desk, clock: StoppedClock, **terms):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, **terms))
    advice = advisor.advise(terms.get("key")).slices[0]
    return (advice.expected_gain_bps, advice.expected_low_bps, advice.expected_high_bps), advice.expected_from


@pytest.mark.parametrize(
    ("min_bars", "figures", "which"),
    [(1, (12.5, -30.25, 55.0), "360 orders of 1 to 6 bars"), (2, (8.5, -20.0, 40.0), "300 orders of 3 to 6 bars")],
)
def test_it_is_what_the_models_orders_of_the_kind_kept_in_the_newest_report_of_before(
    desk: Desk, clock: StoppedClock, min_bars, figures, which
):
    write_report(desk.lake, "2024-01-10", ROWS[0].replace("12.5", "1.5"))
    write_report(desk.lake, "2024-01-17", *ROWS)
    write_report(desk.lake, "2024-01-18", ROWS[0].replace("12.5", "-77"))
    assert expected(desk, clock, min_bars=min_bars, size=ASSUMED) == (
        figures,
        f"{which} in the report of 2024-01-17, of the assumed size and without rate limits, after assumed costs",
    )


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        ({"size": 2.1 * ASSUMED}, "the report of 2024-01-17 has no orders of 0.42 mean bar volumes; theirs is 0.2"),
        ({"size": 0.49 * ASSUMED}, "the report of 2024-01-17 has no orders of 0.098 mean bar volumes; theirs is 0.2"),
        ({"risk_aversion": 2.0}, "the report of 2024-01-17 has no orders of risk_aversion 2; theirs is 1"),
        ({"max_rate": 0.5}, "the report of 2024-01-17 has no orders with rate limits"),
        ({"max_bars": 5}, "the report of 2024-01-17 has no orders of at most 5 bars"),
        ({"max_bars": 1, "size": 1.0}, "the report of 2024-01-17 has no orders of at most 1 bars"),
        ({"min_bars": 4}, "the report of 2024-01-17 has no orders of 4 or more bars"),
        ({"side": "sell", "benchmark": "twap"}, "the report of 2024-01-17 has no orders of 1 or more bars"),
    ],
)
def test_of_an_order_that_no_report_knows_it_is_what_the_theory_keeps_and_says_so(
    desk: Desk, clock: StoppedClock, terms, why
):
    write_report(desk.lake, "2024-01-17", *ROWS)
    own = {"min_bars": 1, "max_bars": 6, **terms}
    words = (
        f"2048 simulated orders of {own['min_bars']} to {own['max_bars']} bars, of its size and volatility, by the "
        f"theory that models correct, on a market of even volatility, after assumed costs: {why}"
    )
    (mean, low, high), told = expected(desk, clock, **{"size": ASSUMED, **terms})
    assert (told, low <= mean <= high, low < 0) == (words, True, True)


def test_whoever_may_choose_from_more_bars_is_told_of_more_and_a_large_order_of_less(desk: Desk, clock: StoppedClock):
    by_bars = [expected(desk, clock, key=f"n{n}", max_bars=n, size=1.0)[0][0] for n in (2, 4, 6)]
    assert by_bars == sorted(set(by_bars))
    small, large = (expected(desk, clock, key=f"s{size}", max_bars=5, size=size)[0][0] for size in (1.0, 30.0))
    assert large < small


def test_an_order_tells_the_same_again_and_in_another_process(desk: Desk, clock: StoppedClock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, max_bars=4))
    first, again = advisor.advise().slices[0], advisor.advise().slices[0]
    restarted = desk.advisor(clock).history("one")[0]
    names = ("expected_gain_bps", "expected_low_bps", "expected_high_bps", "expected_from", "expected_basis")
    told = [[getattr(one, name) for name in names] for one in (first, again, restarted)]
    assert told[0] == told[1] == told[2]
    assert told[0][-1] == "theory"


def test_an_order_that_the_cap_does_not_let_trade_any_more_says_why_nothing_is_expected(
    desk: Desk, clock: StoppedClock
):
    order = OrderRecord.of(buy(desk.universe, max_bars=4), NOON)
    order = order.begun(ArrivalRecord("m", NOON, 0.01, 100.0, mean_volume=0.001))
    told = desk.advisor(clock).expectations.of([order])[0]
    assert (told.mean_bps, told.low_bps, told.high_bps, told.basis) == (None, None, None, None)
    assert told.source == (
        "no report of a day before 2024-01-18; nor has the theory: 4 bars cannot trade it under the participation_cap"
    )


def test_a_service_waits_for_few_simulations_and_tells_of_the_others_the_next_time(desk: Desk, clock: StoppedClock):
    advisor = desk.advisor(clock)
    begun = ArrivalRecord("m", NOON, 0.01, 100.0, mean_volume=1e6)
    terms = [(m, n) for n in range(1, 7) for m in range(1, n + 1)]
    orders = [
        OrderRecord.of(buy(desk.universe, f"{m}-{n}", min_bars=m, max_bars=n), NOON).begun(begun) for m, n in terms
    ]
    with advisor.expectations.in_background():
        until = time.monotonic() + 60
        while advisor.expectations.of(orders[:1])[0].basis is None:  # the days before are looked up
            assert time.monotonic() < until
            time.sleep(0.05)
        first = advisor.expectations.of(orders)
        assert {one.basis for one in first[:3]} == {"theory"}
        assert first[-1].basis is None
        assert first[-1].source.endswith("orders of the theory are being simulated: ask again")
        until, then = time.monotonic() + 60, first
        while any(one.basis is None for one in then):
            assert time.monotonic() < until
            time.sleep(0.05)
            then = advisor.expectations.of(orders)
    assert then == desk.advisor(clock).expectations.of(orders)
    amended = replace(orders[-1], max_bars=5, min_bars=5, amended=1)
    assert advisor.expectations.of([orders[-1], amended])[0] == then[-1]
    assert "orders of 5 to 5 bars" in advisor.expectations.of([amended])[0].source


def test_where_the_days_before_are_there_the_theory_s_orders_trade_their_bars(desk: Desk, clock: StoppedClock):
    days = partition_dates(desk.universe, desk.universe.start, NOON.date())
    tables = {symbol: features_of(brownian_bars(len(days), i)) for i, symbol in enumerate(desk.universe.symbols)}
    plain = expected(desk, clock, key="before", max_bars=4)[0]
    for date in days:
        rows = {symbol: table[table["ts"].dt.date == date] for symbol, table in tables.items()}
        desk.lake.write_table(desk.lake.path(desk.universe.name, "panel", date), panel_table(rows), PANEL_SCHEMA)
    found, words = expected(desk, clock, key="after", max_bars=4)
    assert "on the bars of 2024-01-01 to 2024-01-14, bought and sold, after assumed costs" in words
    assert found != plain
    advisor = desk.advisor(clock)
    with advisor.expectations.in_background():
        told, until = advisor.history("after")[0], time.monotonic() + 60
        assert told.expected_from.endswith("orders of the theory are being simulated: ask again")
        while told.expected_basis is None:
            assert time.monotonic() < until
            time.sleep(0.05)
            told = advisor.history("after")[0]
    assert (told.expected_gain_bps, told.expected_low_bps, told.expected_high_bps) == found
    assert told.expected_from == words


def test_simulations_in_the_background_wait_while_slices_are_advised(
    desk: Desk, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("lem.advice.expectation.MOST_WAIT_SECONDS", 60.0)
    monkeypatch.setattr("lem.advice.expectation.AT_ONCE", 0)
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe))
    simulated = Event()
    simulate = advisor.expectations._gains.simulated
    told, refresh = list[bool](), advisor.market.refresh

    def noted(*arguments: Any, **named: Any) -> Any:
        simulate(*arguments, **named)
        simulated.set()

    def slow(*arguments: Any) -> Any:
        advisor.expectations.of([order])
        told.append(simulated.wait(0.3))
        return refresh(*arguments)

    begun = ArrivalRecord("m", NOON, 0.01, 100.0, mean_volume=1e6)
    order = OrderRecord.of(buy(desk.universe), NOON).begun(begun)
    monkeypatch.setattr(advisor.expectations._gains, "simulated", noted)
    monkeypatch.setattr(advisor.market, "refresh", slow)
    with advisor.expectations.in_background():
        advisor.advise()
        assert told == [False]
        assert simulated.wait(60)


def test_without_a_report_of_before_it_says_so_and_a_new_one_is_found(desk: Desk, clock: StoppedClock):
    write_report(desk.lake, "2024-01-18", *ROWS)
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, size=ASSUMED))
    first = advisor.advise().slices[0]
    assert first.expected_basis == "theory"
    assert first.expected_from.endswith("after assumed costs: no report of a day before 2024-01-18")
    write_report(desk.lake, "2024-01-17", *ROWS)
    clock.sleep(601)
    then = advisor.advise().slices[0]
    assert (then.expected_gain_bps, then.expected_basis) == (12.5, "backtest")
