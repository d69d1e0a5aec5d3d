from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal

from rich.console import Console

from lem.advice.answers import Advised, columns_of
from lem.advice.clock import Moment
from lem.advice.order import OrderState, ParentOrder, scenario
from lem.execution.orders import Order
from lem_pipeline.cli.show_advice import show_advised, show_orders

NOON = dt.datetime(2024, 1, 18, 12, tzinfo=dt.UTC)
TERMS = Order(scenario("buy", "vwap", "quantity"), 1, 6)


def test_what_is_left_of_a_whole_order_is_a_plain_0_in_the_list():
    out = io.StringIO()
    order = ParentOrder("one", "tiny", "AAA-USD", TERMS, 12.0, NOON)
    lefts = ("0E-16", "-7.5", "0.000000012")
    show_orders(
        Console(file=out, width=300), [OrderState(order, "finished", NOON, left=Decimal(left)) for left in lefts]
    )
    rows = [line.split("│") for line in out.getvalue().splitlines() if "one" in line]
    assert [row[5].strip() for row in rows] == ["0", "-7.5", "1.2e-08"]


def test_an_order_between_two_bars_is_said_to_begin_with_the_first_one_from_then_on():
    out = io.StringIO()
    half = NOON + dt.timedelta(minutes=30)
    show_advised(Console(file=out, width=300), Advised(Moment(*[NOON] * 5), columns_of([]), [], {}, {"one": half}))
    assert out.getvalue() == "Order one begins with the first bar from 2024-01-18 12:30 UTC on\n"
