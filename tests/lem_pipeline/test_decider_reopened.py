"""An order that had ended, and goes on since a late fill leaves something, is decided within the bar by the service."""

from __future__ import annotations

import datetime as dt
import time

import pytest

from lem_pipeline.service.decider import Decider
from lem_pipeline.service.tail import Tail
from tests.lem.advice.desk import HOURLY, NOON, StoppedClock, buy, make_desk

HOUR = dt.timedelta(hours=1)


def until(true, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


@pytest.fixture
def desk(tmp_path, make_universe, tiny_keys):
    return make_desk(tmp_path, make_universe(**tiny_keys(**HOURLY)))


def test_an_order_that_a_late_fill_opens_again_gets_its_slice_in_the_same_bar(desk):
    clock = StoppedClock(NOON)
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, "one"))
    bars = list[dt.datetime]()
    for hour in range(2):
        clock.set(NOON + hour * HOUR)
        bars.append(advisor.advise().slices[0].bar)
    advisor.total("one", bars[1], 100.0)
    clock.set(NOON + 2 * HOUR)
    assert [state.status for state in advisor.advise().ended] == ["finished"]
    tail = Tail(advisor.store.audit)
    decider = Decider(advisor, tail, "always")
    decider.start()
    try:
        until(lambda: decider._bar is not None)
        advisor.total("one", bars[1], 0.0)
        until(lambda: [advice.bar for advice in advisor.history("one")] == [*bars, clock.now()])
        decided = len(list(advisor.store.audit.entries("tiny")))
        # Fills of an order that has its slice ask for nothing more.
        advisor.total("one", bars[1], 0.125)
        time.sleep(1.0)
        assert len(list(advisor.store.audit.entries("tiny"))) == decided + 1
    finally:
        decider.stop()
