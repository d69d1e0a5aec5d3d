"""An id that belongs to another order: the error names each term in which the two differ."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from lem.errors import OrderStateError
from tests.lem.advice.desk import Desk, StoppedClock, buy


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mode": "confirm"}, "what differs: mode assume, sent confirm)"),
        ({"limit_price": Decimal("99.5")}, "what differs: limit_price None, sent 99.5)"),
        ({"fallback": True, "size": 7.0}, "what differs: size 100.0, sent 7.0, fallback False, sent True)"),
    ],
)
def test_what_differs_from_the_order_that_is_there_is_named(desk: Desk, clock: StoppedClock, change, words):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe))
    with pytest.raises(OrderStateError) as refused:
        advisor.submit(replace(buy(desk.universe), **change))
    assert words in str(refused.value)
    with pytest.raises(OrderStateError, match=r"what differs: side buy, sent sell|scenario"):
        advisor.submit(buy(desk.universe, side="sell"))
    with pytest.raises(OrderStateError, match=r"what differs: max_rate 1.0, sent 0.5\)"):
        advisor.submit(buy(desk.universe, max_rate=0.5))
