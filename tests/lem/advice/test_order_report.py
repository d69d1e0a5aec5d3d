"""The report on an order: what its fills came to, and what rules would have done, recomputed here by hand."""

from __future__ import annotations

import datetime as dt
import json
import re
import sqlite3
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from lem.advice.clock import bars_of_order
from lem.advice.fills import FillNews
from lem.advice.report_page import as_json, day_notes, day_page, order_notes, order_page
from lem.data.bars import validate_bars
from lem.data.features import TABLE_SCHEMA as FEATURES
from lem.data.features import compute_features
from lem.errors import AdviceError, OrderStateError, SourceError, UnknownOrderError
from lem.sources import open_source
from lem.universe.calendars import partition_window, session_opens
from lem.universe.windows import history_dates
from tests.lem.advice.desk import DATE, NOON, WORDS, buy, panel_of

HOUR = dt.timedelta(hours=1)
DIGITS = {"rel": 1e-9, "abs": 1e-9}


def bars_of(desk, count=6, asset="AAA-USD"):
    """Volume-weighted price, volume and close of the bars from NOON on, and the close before."""
    panel = panel_of(desk, asset)
    at = int(np.searchsorted(panel.ts_T, np.datetime64(NOON.replace(tzinfo=None))))
    columns = (panel.vwap_NT, panel.volume_NT, panel.close_NT)
    return (*(x_NT[0, at : at + count] for x_NT in columns), panel.close_NT[0, at - 1])


def advise_for(advisor, clock, hours):
    slices = []
    for _ in range(hours):
        slices += advisor.advise().slices
        clock.sleep(3600)
    return slices


def bps(sign, above, below):
    return 1e4 * sign * (above - below) / above


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize("benchmark", ["vwap", "twap"])
@pytest.mark.parametrize("target", ["quantity", "notional"])
def test_a_report_is_what_the_fills_say_by_hand(side, benchmark, target, desk, clock):
    advisor, size = desk.advisor(clock), 100.0 if target == "quantity" else 40000.0
    words = {**WORDS, "side": side, "benchmark": benchmark, "target": target}
    order = buy(desk.universe, size=size, min_bars=6, max_bars=6, **words)
    advisor.submit(replace(order, mode="confirm"))
    price_K, volume_K, close_K, arrival = bars_of(desk)
    slices = advise_for(advisor, clock, 2)
    amounts = [Decimal("0.1") * Decimal(size), Decimal("0.05") * Decimal(size), Decimal("0.2") * Decimal(size)]
    prices = [Decimal("401"), Decimal("399.5"), None]
    for place, (amount, price) in enumerate(zip(amounts, prices, strict=True)):
        fee = None if place == 2 else Decimal("1.25")
        advisor.fill("one", FillNews(f"t-{place}", amount, price, fee, bar=NOON + (place == 2) * HOUR))
    slices += advise_for(advisor, clock, 5)
    report = advisor.report("one")
    assert (report.status, report.filled, report.left) == ("expired", sum(amounts), Decimal(size) - sum(amounts))
    assert (report.confirmed, report.fees, report.fills_without_fee) == (report.filled, Decimal("2.50"), 1)
    paid = [401.0, 399.5, float(price_K[1])]  # without a price: the bar's
    bought = np.array([float(amount) for amount in amounts])
    units = bought.sum() if target == "quantity" else (bought / paid).sum()
    cash = (bought * paid).sum() if target == "quantity" else bought.sum()
    sign = 1.0 if side == "buy" else -1.0
    average, net = cash / units, (cash + sign * 2.5) / units
    against = np.average(price_K, weights=volume_K if benchmark == "vwap" else None)
    own = report.execution
    assert (own.bars, own.filled_share) == (6, pytest.approx(0.35))
    assert (own.average_price, own.benchmark_price) == (pytest.approx(average), pytest.approx(against))
    assert own.gain_bps == pytest.approx(bps(sign, against, average), **DIGITS)
    assert own.net_gain_bps == pytest.approx(bps(sign, against, net), **DIGITS)
    assert own.shortfall_bps == pytest.approx(-bps(sign, arrival, average), **DIGITS)
    assert own.net_shortfall_bps == pytest.approx(-bps(sign, arrival, net), **DIGITS)
    assert own.gain_bps == pytest.approx(advisor.order("one").result.gain_bps, abs=1e-6), "as the order says"
    assert report.fees_bps == pytest.approx(1e4 * 2.5 / cash)
    at_bars = np.array([price_K[0], price_K[0], price_K[1]])
    market = (bought * at_bars).sum() / units if target == "quantity" else bought.sum() / (bought / at_bars).sum()
    assert report.slippage_bps == pytest.approx(1e4 * sign * (average - market) / market, **DIGITS)
    left = 1e4 * sign * (close_K[5] - arrival) / arrival * 0.65
    assert report.opportunity_bps == pytest.approx(left)
    assert report.implementation_shortfall_bps == pytest.approx(left + 0.35 * own.net_shortfall_bps)
    filled = [amounts[0] + amounts[1], amounts[2], *[Decimal(0)] * 4]
    assert [bar.filled for bar in report.bars] == filled
    deviations = [abs(a - s.exact_amount) for a, s in zip(filled, slices, strict=True)]
    assert report.deviation_share == pytest.approx(float(sum(deviations)) / size)
    assert [bar.fills for bar in report.bars] == [2, 1, 0, 0, 0, 0]


def test_twap_on_the_same_bars_by_hand_and_costs_are_charged(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=2, benchmark="twap"))
    advise_for(advisor, clock, 7)
    report, costs = advisor.report("one"), desk.universe.costs
    twap, rule = report.rules
    price_K, volume_K, _, arrival = bars_of(desk)
    panel = panel_of(desk, "AAA-USD")
    at = int(np.searchsorted(panel.ts_T, np.datetime64(NOON.replace(tzinfo=None)))) - 1
    part_K = 100 / 6 / volume_K
    fixed = (costs.fee_bps + costs.half_spread_bps) / 1e4
    paid_K = price_K * (1 + fixed + costs.impact * panel.sigma_NT[0, at] * np.sqrt(part_K))
    assert (twap.name, twap.bars, twap.filled_share) == ("twap", 6, pytest.approx(1.0))
    assert twap.gain_bps == pytest.approx(0.0, abs=1e-9), "its benchmark is itself"
    assert twap.net_gain_bps == pytest.approx(bps(1, price_K.mean(), paid_K.mean()), **DIGITS)
    assert twap.shortfall_bps == pytest.approx(-bps(1, arrival, price_K.mean()), **DIGITS)
    assert rule.name == "optimal_with_costs"
    assert 2 <= rule.bars <= 6
    assert rule.benchmark_price == pytest.approx(price_K[: rule.bars].mean())
    assert rule.net_gain_bps < rule.gain_bps


def test_a_cancelled_order_is_measured_on_what_was_filled_and_ends_for_rules_too(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=6, benchmark="twap"))
    advise_for(advisor, clock, 2)
    advisor.cancel("one")
    report = advisor.report("one")
    price_K = bars_of(desk, 2)[0]
    assert (report.status, len(report.bars), report.execution.bars) == ("cancelled", 2, 2)
    assert report.filled + report.left == 100
    assert report.left > 0
    assert report.execution.benchmark_price == pytest.approx(price_K.mean())
    twap = report.rules[0]
    assert (twap.bars, twap.filled_share) == (2, pytest.approx(2 / 6))
    assert twap.average_price == pytest.approx(price_K.mean())
    clock.sleep(36000)
    assert advisor.report("one") == report, "later bars change nothing"


def test_a_report_says_until_when_it_has_to_wait(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=6))
    with pytest.raises(OrderStateError, match="order one is waiting; allowed: the report on one that has ended"):
        advisor.report("one")
    advisor.advise()
    advisor.cancel("one")
    with pytest.raises(AdviceError, match="the bar of 2024-01-18 12:00 UTC closes at 2024-01-18 13:00: ask again"):
        advisor.report("one")
    with pytest.raises(UnknownOrderError):
        advisor.report("two")


def test_rules_wait_for_the_bars_that_they_may_use(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, "quick", min_bars=1))
    advisor.advise()
    advisor.fill("quick", FillNews("all", Decimal(100), Decimal(400)))
    clock.sleep(3600)
    assert advisor.advise().ended[0].status == "finished"
    early = advisor.report("quick")
    assert early.rules == []
    assert "traded in 1 of the 6 bars that the order might have used" in early.rules_missing
    clock.sleep(5 * 3600)
    late = advisor.report("quick")
    assert [rule.name for rule in late.rules] == ["twap", "optimal_with_costs"]
    assert late.execution == early.execution


def test_a_late_fill_changes_the_report_until_the_order_is_closed(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=6))
    advise_for(advisor, clock, 7)
    before = advisor.report("one")
    advisor.fill("one", FillNews("late", before.bars[0].advised + 7, Decimal(400), Decimal(-1), bar=NOON))
    after = advisor.report("one")
    assert after.left == before.left - 7
    assert after.left < 0, "more than was ordered"
    assert (after.fees, after.closed) == (Decimal(-1), False)
    advisor.close("one")
    assert advisor.report("one") == replace(after, closed=True)


def test_a_day_has_all_orders_that_began_on_it(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, "done", min_bars=6))
    advisor.submit(buy(desk.universe, "never"))
    advisor.cancel("never")
    advise_for(advisor, clock, 7)
    advisor.submit(buy(desk.universe, "open", start=NOON + 7 * HOUR))
    advisor.submit(buy(desk.universe, "tomorrow", start=NOON + 12 * HOUR))
    day = advisor.reports(DATE)
    assert [line.order_id for line in day.orders] == ["done", "never", "open"]
    done, never, still = day.orders
    assert done.report == advisor.report("done")
    assert (never.report.execution, never.report.rules_missing) == (None, "the order never began")
    assert (still.report, still.reason) == (None, "it is waiting")
    assert [line.order_id for line in advisor.reports(DATE + dt.timedelta(days=1)).orders] == ["tomorrow"]


def test_an_order_whose_row_is_damaged_is_named_and_the_others_of_the_day_are_reported(desk, clock):
    advisor = desk.advisor(clock)
    for key in ("bad", "good"):
        advisor.submit(buy(desk.universe, key, min_bars=6))
    advise_for(advisor, clock, 7)
    with sqlite3.connect(desk.folder / "home" / "registry.sqlite") as database:
        database.execute("UPDATE advised_orders SET min_rate = 7 WHERE id = 'bad'")
    bad, good = advisor.reports(DATE).orders
    assert (bad.order_id, bad.report, bad.asset) == ("bad", None, None)
    assert "min_rate" in bad.reason
    assert good.report == advisor.report("good")
    with pytest.raises(AdviceError, match="min_rate"):
        advisor.report("bad")
    assert "not readable" in day_page(advisor.reports(DATE))


def test_page_and_json_have_the_figures_and_need_nothing_else(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=6))
    advise_for(advisor, clock, 7)
    advisor.fill("one", FillNews("x", Decimal("0.000000012"), Decimal(400), bar=NOON))
    report = advisor.report("one")
    told = json.loads(as_json(report))
    assert (told["size"], told["bars"][0]["filled"]) == ("100", "0.000000012"), "digits without an exponent"
    assert told["execution"]["gain_bps"] == report.execution.gain_bps
    assert json.loads(as_json(advisor.reports(DATE)))["orders"][0]["report"] == told
    for page in (order_page(report), day_page(advisor.reports(DATE))):
        assert f"{report.execution.gain_bps:.2f}".replace("-", "−") in page
        assert not re.search(r"(src|href)=|https?:", page), "nothing is loaded from elsewhere"


def test_a_report_says_that_the_rules_beside_an_order_with_a_limit_price_knew_none(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(replace(buy(desk.universe), limit_price=Decimal("123456.50")))
    advise_for(advisor, clock, 7)
    report = advisor.report("one")
    assert json.loads(as_json(report))["limit_price"] == "123456.5"
    assert "a limit price of 123456.5; the rules knew none" in order_page(report)
    advisor.submit(buy(desk.universe, "two", start=clock.now()))
    advise_for(advisor, clock, 7)
    assert "limit price" not in order_page(advisor.report("two"))


def test_notes_say_what_has_no_fees_and_what_may_still_change(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, "assumed", min_bars=6))
    advisor.submit(replace(buy(desk.universe, "told", min_bars=6), mode="confirm"))
    advisor.submit(replace(buy(desk.universe, "free", min_bars=6), mode="confirm"))
    advise_for(advisor, clock, 7)
    advisor.fill("assumed", FillNews("x", Decimal(3), Decimal(400), Decimal(1), bar=NOON))
    advisor.fill("told", FillNews("x", Decimal(3), Decimal(400), Decimal(1), bar=NOON))
    advisor.fill("free", FillNews("x", Decimal(3), Decimal(400), bar=NOON))
    report = advisor.report("assumed")
    rest = f"{report.filled - 3:f} AAA were not told by fills: they count at their bars’ prices, without fees or other"
    still = "The order is not closed: fills that are told later change this report."
    assert order_notes(report) == [f"{rest} costs.", still]
    assert order_notes(advisor.report("told")) == [still]
    assert order_notes(advisor.report("free"))[0] == "1 of the fills were told without a fee and count as free."
    (note,) = day_notes(advisor.reports(DATE))
    assert note.endswith("the net gain of assumed, free.")
    assert note in day_page(advisor.reports(DATE))
    advisor.close("told")
    assert order_notes(advisor.report("told")) == []


def test_an_order_that_nobody_asked_about_says_how_many_bars_after_its_start_it_began(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, "late", start=NOON + HOUR / 2, min_bars=6))
    advisor.submit(buy(desk.universe, "in-time", start=NOON + 3 * HOUR, min_bars=6))
    clock.sleep(3 * 3600)
    advise_for(advisor, clock, 7)
    late, in_time = advisor.report("late"), advisor.report("in-time")
    assert late.first_bar == in_time.first_bar == NOON + 3 * HOUR
    assert (late.bars_late, in_time.bars_late) == (2, 0)
    assert order_notes(late)[0].startswith("It began 2 bars after its start, as it had no advice before")
    assert "began" not in order_notes(in_time)[0]


def test_orders_at_the_universe_s_end_are_reported_without_the_bars_that_will_never_be(desk_of, clock):
    desk = desk_of(end="2024-01-18")
    clock.set(NOON + 10 * HOUR)
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, start=NOON + 10 * HOUR, min_bars=6))
    advisor.advise()
    clock.sleep(3600)
    advisor.advise()
    advisor.cancel("one")
    clock.sleep(3600)
    report = advisor.report("one")
    assert [bar.bar.hour for bar in report.bars] == [22, 23]
    assert [rule.bars for rule in report.rules] == [2, 2]


def test_days_that_are_over_are_read_from_the_lake(desk, clock):
    universe, source = desk.universe, open_source(desk.universe, "")
    advisor = desk.advisor(clock, source)
    advisor.submit(buy(universe, min_bars=6))
    advise_for(advisor, clock, 7)
    told = advisor.report("one")

    def bars(date):
        return validate_bars(source.fetch("AAA-USD", *partition_window(date)).table, universe, "AAA-USD", date).table

    for date in (DATE - dt.timedelta(days=1), DATE):
        past = pd.concat([bars(day) for day in history_dates(universe, date)])
        features = compute_features(past, bars(date), universe.features, universe.clock)
        desk.lake.write_table(desk.lake.path(universe.name, "features", date, "AAA-USD"), features, FEATURES)

    def fetch(symbol, start, end):
        raise SourceError("no answer")

    source.fetch = fetch
    with pytest.raises(AdviceError, match="no answer"):
        advisor.report("one")
    clock.sleep(12 * 3600)
    assert advisor.report("one") == told


def test_bars_of_sessions_are_known_up_to_the_last_that_an_order_may_use(make_universe):
    universe = make_universe(calendar="XNYS", bar="1d", start="2021-01-04", end="2024-12-31", outages=[])
    friday = session_opens(universe, pd.DatetimeIndex(["2023-11-24"]))[0].to_pydatetime()
    later = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
    assert bars_of_order(universe, friday, 3, friday, later).last.date() == dt.date(2023, 11, 28)
    monday = dt.datetime(2023, 11, 27, 12, tzinfo=dt.UTC)
    assert bars_of_order(universe, friday, 3, friday, monday).last == friday
    with pytest.raises(AdviceError, match="the bar of 2023-11-24 14:30 UTC closes at 2023-11-24 18:00"):
        bars_of_order(universe, friday, 3, friday, friday)
