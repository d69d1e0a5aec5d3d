"""While a source hangs, orders are read, cancelled and filled; the market is there before anybody asks."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import uvicorn
from starlette.exceptions import HTTPException

from lem.advice.advisor import Advisor
from lem.errors import RegistryError, SourceError
from lem.sources import open_source
from lem_pipeline.service import waiting
from lem_pipeline.service.app import make_app
from lem_pipeline.service.keeper import Keeper
from lem_pipeline.web.listening import listen
from tests.lem.advice.desk import HOURLY, NOON, StoppedClock, buy, make_desk

HOUR = dt.timedelta(hours=1)


class Source:
    """The universe's source, which hangs while `free` is not set."""

    def __init__(self, universe) -> None:
        self._source, self.free, self.asked = open_source(universe, ""), threading.Event(), 0
        self.free.set()

    def fetch(self, symbol, start, end):
        self.asked += 1
        assert self.free.wait(120)
        return self._source.fetch(symbol, start, end)

    def forget(self, symbol):
        self._source.forget(symbol)


@pytest.fixture
def desk(tmp_path, make_universe, tiny_keys):
    return make_desk(tmp_path, make_universe(**tiny_keys(**HOURLY)))


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock(NOON)


@pytest.fixture
def source(desk) -> Source:
    return Source(desk.universe)


@pytest.fixture
def advisor(desk, clock, source) -> Advisor:
    return desk.advisor(clock, source)


@pytest.fixture
def url(advisor) -> Iterator[str]:
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(make_app(advisor), log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(60)


def waited_for(what) -> None:
    until = time.monotonic() + 60
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_orders_are_read_cancelled_and_filled_while_a_source_hangs(desk, advisor, clock, source, url):
    for key in ("one", "two", "ended"):
        advisor.submit(buy(desk.universe, key, min_bars=6))
    advisor.advise()
    advisor.cancel("ended")
    clock.set(NOON + HOUR)
    source.free.clear()
    asked = source.asked
    with ThreadPoolExecutor(60) as pool:
        hung = [pool.submit(httpx.post, f"{url}/advice", timeout=120) for _ in range(55)]
        hung.append(pool.submit(httpx.get, f"{url}/orders/ended/report", timeout=120))
        waited_for(lambda: source.asked > asked)
        answers = [
            httpx.get(f"{url}/orders/one", timeout=60),
            httpx.get(f"{url}/orders", timeout=60),
            httpx.get(f"{url}/orders/one/slices", timeout=60),
            httpx.post(f"{url}/orders/one/fills", json={"id": "t-1", "amount": 0.5}, timeout=60),
            httpx.post(f"{url}/orders/two/pause", timeout=60),
            httpx.post(f"{url}/orders/two/cancel", timeout=60),
        ]
        assert not any(one.done() for one in hung)
        source.free.set()
        assert {one.result().status_code for one in hung[:-1]} == {200}
    assert [answer.status_code for answer in answers] == [200, 200, 200, 201, 200, 200]


def test_reports_are_made_while_the_advisor_waits_for_a_source(desk, advisor, clock, source):
    advisor.submit(buy(desk.universe, "ended", min_bars=6))
    advisor.submit(buy(desk.universe, "open", min_bars=6, asset="BBB-USD"))
    advisor.advise()
    advisor.cancel("ended")
    clock.set(NOON + 2 * HOUR)
    with advisor._one_at_a_time, ThreadPoolExecutor(1) as pool:
        assert pool.submit(advisor.report, "ended").result(60).order_id == "ended"


def test_who_would_wait_as_one_too_many_is_told_to_ask_again(monkeypatch):
    monkeypatch.setattr(waiting, "MOST_WAITING", 2)
    free = threading.Event()

    async def ask() -> list[object]:
        own = waiting.Waiting()
        hung = [asyncio.create_task(own.run(free.wait, 60)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(HTTPException, match="2 requests wait for bars, and more are not taken"):
            await own.run(free.is_set)
        free.set()
        return [*await asyncio.gather(*hung), await own.run(free.is_set)]

    assert asyncio.run(ask()) == [True, True, True]


def test_assets_are_asked_for_at_the_same_time_and_one_that_fails_holds_up_no_other(desk, clock, source):
    both = threading.Barrier(2)
    fetch = source.fetch

    def together(symbol, start, end):
        both.wait(60)
        if symbol == "BBB-USD":
            raise SourceError("the venue is closed for good")
        return fetch(symbol, start, end)

    advisor = desk.advisor(clock, source)
    for asset in ("AAA-USD", "BBB-USD"):
        advisor.submit(buy(desk.universe, asset, min_bars=6, asset=asset))
    advisor.advise()
    clock.set(NOON + HOUR)
    source.fetch = together
    advised = advisor.advise()
    assert [slice_.order_id for slice_ in advised.slices] == ["AAA-USD"]
    assert "the venue is closed for good" in advised.refused["BBB-USD"]


def test_the_market_is_brought_up_as_a_bar_closes_and_a_request_finds_it(desk, advisor, clock, source):
    advisor.submit(buy(desk.universe, "one", min_bars=6))
    keeper = Keeper(advisor)
    keeper.start()
    try:
        for hour in range(3):
            clock.set(NOON + hour * HOUR + dt.timedelta(minutes=1))
            waited_for(lambda: "AAA-USD" in advisor.market.known(advisor.now()))
            asked = source.asked
            assert len(advisor.advise().slices) == 1
            assert source.asked == asked
    finally:
        keeper.stop()


def test_a_keeper_goes_on_after_a_source_failed(desk, advisor, clock, source):
    advisor.submit(buy(desk.universe, "one", min_bars=6))
    fetch, failed = source.fetch, threading.Event()

    def fail(symbol, start, end):
        failed.set()
        raise SourceError("not now")

    source.fetch = fail
    clock.set(NOON + HOUR)
    keeper = Keeper(advisor)
    keeper.start()
    try:
        assert failed.wait(60)
        source.fetch = fetch
        clock.set(NOON + HOUR + dt.timedelta(minutes=1))
        waited_for(lambda: "AAA-USD" in advisor.market.known(advisor.now()))
    finally:
        keeper.stop()


def test_a_keeper_copies_the_log_between_bars_and_goes_on_where_that_fails(advisor, monkeypatch, caplog):
    called = list[int]()

    def copy() -> None:
        called.append(1)
        if len(called) == 1:
            raise RegistryError("registry: cannot copy its log: disk I/O error")

    monkeypatch.setattr(advisor.store, "copy_log", copy)
    keeper = Keeper(advisor)
    keeper.start()
    try:
        waited_for(lambda: len(called) > 2)
    finally:
        keeper.stop()
    assert "cannot copy its log" in caplog.text
