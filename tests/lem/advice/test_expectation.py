"""What an order may be expected to gain: the report of before it says, or the answer says why nothing does."""

from __future__ import annotations

import pytest

from lem.lake import Lake
from tests.lem.advice.desk import Desk, StoppedClock, buy

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


def write_report(lake: Lake, day: str, *rows: str) -> None:
    text = "\n".join([HEAD, *rows]) + "\n"
    lake.write_bytes(f"tiny/execution_report/date={day}/report.html", b"<html>")
    lake.write_bytes(f"tiny/execution_report/date={day}/report.csv", text.encode())


def expected(desk: Desk, clock: StoppedClock, **terms):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, **terms))
    advice = advisor.advise().slices[0]
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
    assert expected(desk, clock, min_bars=min_bars) == (
        figures,
        f"{which} in the report of 2024-01-17, after assumed costs",
    )


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        ({"max_bars": 5}, "the report of 2024-01-17 has no orders of at most 5 bars"),
        ({"min_bars": 4}, "the report of 2024-01-17 has no orders of 4 or more bars"),
        ({"side": "sell", "benchmark": "twap"}, "the report of 2024-01-17 has no orders of 1 or more bars"),
    ],
)
def test_of_an_order_that_no_report_knows_it_says_so(desk: Desk, clock: StoppedClock, terms, why):
    write_report(desk.lake, "2024-01-17", *ROWS)
    assert expected(desk, clock, **terms) == ((None, None, None), why)


def test_without_a_report_of_before_it_says_so_and_a_new_one_is_found(desk: Desk, clock: StoppedClock):
    write_report(desk.lake, "2024-01-18", *ROWS)
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe))
    assert advisor.advise().slices[0].expected_from == "no report of a day before 2024-01-18"
    write_report(desk.lake, "2024-01-17", *ROWS)
    clock.sleep(601)
    assert advisor.advise().slices[0].expected_gain_bps == 12.5
