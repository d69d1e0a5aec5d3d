"""The `ccxt` source: names, pages, venues, errors and secrets. Its faults are in tests/integration."""

from __future__ import annotations

import datetime as dt
import logging
import math
import re
import threading
import traceback

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lem.errors import SourceError
from lem.sources import open_source
from lem.sources.base import NUMBERS
from lem.sources.ccxt_client import PageFault, VenueClient
from lem.sources.ccxt_venue import Ccxt
from lem.sources.venues import number
from lem.universe.calendars import partition_window
from lem.universe.source_config import CcxtConfig
from tests.exchange import faults as wrong
from tests.exchange.clock import FakeClock
from tests.exchange.faults import Answer
from tests.exchange.server import Exchange, decimal

DATE = dt.date(2024, 1, 5)
START, END = partition_window(DATE)
HOUR = dt.timedelta(hours=1)
SECRETS = {"apiKey": "key-3d/9 f+==", "secret": "secret-'quoted'-77", "password": "pass-word-5"}


@pytest.fixture(scope="module")
def bars(make_universe):
    universe = make_universe()
    window = (START - dt.timedelta(days=2), END + dt.timedelta(days=2))
    return {
        f"{symbol[:3]}USDT": open_source(universe, "").fetch(symbol, *window).table[["ts", *NUMBERS]]
        for symbol in universe.symbols
    }


@pytest.fixture
def exchange(bars):
    with Exchange(bars, interval="1h") as running:
        yield running


@pytest.fixture
def source_of(make_universe, exchange):
    """`source_of(assets={...}, page=5)`: a source on the exchange."""

    def make(assets=None, credentials=None, clock=None, **source):
        keys = {"kind": "ccxt", "venue": "binance", "bar": "1h", "retries": 1, "url": exchange.url, **source}
        universe = make_universe(assets=assets or {"AAA-USDT": {}, "BBB-USDT": {}}, source=keys)
        return Ccxt(universe, credentials or {}, clock or FakeClock())

    return make


def test_an_unknown_venue_offers_near_ones(source_of):
    with pytest.raises(SourceError, match=r"source\.venue: ccxt 4\.\S+ has no venue 'binanse': did you mean binance"):
        source_of(venue="binanse")


def test_a_bar_length_that_the_venue_lacks_offers_those_it_has(make_universe):
    universe = make_universe(source={"kind": "ccxt", "venue": "kraken", "bar": "2h"}, bar="2h")
    with pytest.raises(SourceError, match=r"source\.bar: kraken has no bars of 2h; allowed there: 1m, 5m, .*4h, 1d"):
        Ccxt(universe, {})


def test_only_a_universe_of_its_own_kind_is_taken(make_universe):
    with pytest.raises(SourceError, match=r"small: source\.kind is 'simulated', not 'ccxt'"):
        Ccxt(make_universe(), {})


@pytest.mark.parametrize("name", ["AAAUSDT", "AAA/USDT", "AAA-USDT", None])
def test_a_market_is_found_by_the_venues_name_the_unified_one_and_the_canonical_one(name, source_of):
    raw = source_of({"AAA-USDT": {"venue_symbol": name} if name else {}}).fetch("AAA-USDT", START, END)
    assert raw.source == "binance/AAAUSDT/1h"
    assert list(raw.table["source_row"]) == list(range(1, 25))


@pytest.mark.parametrize(
    ("venue", "name", "path"),
    [
        ("binance", "AAAUSDT", "/api/v3/klines"),
        ("binance", "AAA/USDT:USDT", "/fapi/v1/klines"),
        ("binanceusdm", "AAAUSDT", "/fapi/v1/klines"),
        ("binanceusdm", "AAA-USDT", "/fapi/v1/klines"),
    ],
)
def test_spot_is_meant_unless_the_unified_name_or_the_venue_says_otherwise(venue, name, path, source_of, exchange):
    source = source_of({"AAA-USDT": {"venue_symbol": name}}, venue=venue)
    assert len(source.fetch("AAA-USDT", START, END).table) == 24
    assert exchange.counts[path] == 1
    assert exchange.counts.total() == {"binance": 5, "binanceusdm": 3}[venue]


def test_a_market_that_was_listed_or_renamed_later_is_found_once_the_list_is_forgotten(source_of, exchange):
    source = source_of({"NEW-USDT": {}, "BBB-USDT": {}})

    def refused():
        with pytest.raises(SourceError, match="NEW-USDT: binance has no market"):
            source.fetch("NEW-USDT", START, END)

    refused()
    exchange.rename("AAAUSDT", "NEWUSDT")
    refused()
    source.forget("NEW-USDT")
    assert len(source.fetch("NEW-USDT", START, END).table) == 24
    for _ in range(2):
        source.forget("BBB-USDT")
        assert len(source.fetch("BBB-USDT", START, END).table) == 24
    assert exchange.counts["/api/v3/exchangeInfo"] == 2, "a list that has the market is kept"


def test_an_unknown_market_offers_near_ones_and_speaks_of_renames(source_of):
    source = source_of({"AAB-USDT": {}})
    with pytest.raises(
        SourceError, match=r"AAB-USDT: binance has no market 'AAB-USDT': did you mean .*AAA/USDT.*renames"
    ):
        source.fetch("AAB-USDT", START, END)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.integers(0, 95), length=st.integers(1, 60), page=st.integers(2, 50), minutes=st.integers(-59, 59))
def test_any_window_and_page_give_exactly_the_bars_that_open_in_it(
    first, length, page, minutes, bars, source_of, exchange
):
    start = START - dt.timedelta(days=2) + first * HOUR + dt.timedelta(minutes=minutes)
    end = start + length * HOUR
    asked = len(exchange.requests)
    got = source_of(page=page).fetch("AAA-USDT", start, end).table
    truth = bars["AAAUSDT"]
    want = truth[(truth["ts"] >= start) & (truth["ts"] < end)].reset_index(drop=True)
    pd.testing.assert_frame_equal(got[["ts", *NUMBERS]], want, check_exact=True)
    assert len(exchange.requests) - asked >= math.ceil(len(want) / page)
    for query in exchange.requests[asked:]:
        assert int(query["endTime"]) - int(query["startTime"]) <= (page - 1) * 3_600_000


def test_no_more_bars_are_asked_for_than_the_venue_gives_in_a_page(source_of, exchange):
    source_of(page=5000).fetch("AAA-USDT", START, END)
    assert [query["limit"] for query in exchange.requests] == ["1000"]


@given(st.floats(min_value=5e-324, max_value=1e300, allow_nan=False))
def test_a_number_comes_through_the_exchange_with_the_same_bits(value):
    assert "e" not in decimal(value)
    assert number(decimal(value)) == value


def test_the_markets_are_loaded_once_and_the_clock_is_asked_once_for_past_days(source_of, exchange):
    source = source_of()
    for symbol in ("AAA-USDT", "BBB-USDT"):
        for days in range(2):
            source.fetch(symbol, START - dt.timedelta(days=days), END - dt.timedelta(days=days))
    assert exchange.counts == {
        "/api/v3/exchangeInfo": 1,
        "/fapi/v1/exchangeInfo": 1,
        "/dapi/v1/exchangeInfo": 1,
        "/api/v3/time": 1,
        "/api/v3/klines": 4,
    }


def test_the_clock_is_asked_again_until_the_day_is_over(source_of, exchange):
    exchange.now = END - HOUR
    source = source_of(grace_seconds=30)
    with pytest.raises(SourceError, match="closed bars only until 2024-01-05 22:00 UTC"):
        source.fetch("AAA-USDT", START, END)
    exchange.now = END + dt.timedelta(seconds=29)
    with pytest.raises(SourceError, match="closed bars only until 2024-01-05 23:00 UTC"):
        source.fetch("AAA-USDT", START, END)
    exchange.now = END + dt.timedelta(seconds=30.5)  # the Date of an answer has whole seconds: not refused for that
    assert len(source.fetch("AAA-USDT", START, END).table) == 24


def test_threads_share_markets_and_turns_but_no_client(source_of, exchange, bars):
    source, tables = source_of(page=5, clock=FakeClock()), {}

    def fetch(symbol, days):
        window = (START + dt.timedelta(days=days), END + dt.timedelta(days=days))
        tables[symbol, days] = source.fetch(symbol, *window).table

    threads = [
        threading.Thread(target=fetch, args=(symbol, days))
        for symbol in ("AAA-USDT", "BBB-USDT")
        for days in (-2, -1, 0)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tables) == 6
    for (symbol, days), table in tables.items():
        truth = bars[symbol.replace("-", "")]
        want = truth[truth["ts"].dt.date == DATE + dt.timedelta(days=days)]
        assert np.array_equal(table[list(NUMBERS)].to_numpy(), want[list(NUMBERS)].to_numpy())
    assert exchange.counts["/api/v3/exchangeInfo"] == 1


def test_no_bars_are_missed_outside_of_the_listing_and_in_known_outages(make_universe, exchange):
    exchange.faults.rows(wrong.nothing)
    outage = {"start": START.isoformat(), "end": (START + 12 * HOUR).isoformat(), "reason": "x"}
    source = {"kind": "ccxt", "venue": "binance", "bar": "1h", "url": exchange.url}
    assets = {"AAA-USDT": {"listed": "2024-01-06"}, "BBB-USDT": {"delisted": "2024-01-05"}}
    universe = make_universe(source=source, assets=assets, outages=[outage])
    opened = Ccxt(universe, {}, FakeClock())
    assert opened.fetch("AAA-USDT", START, END).table.empty
    assert opened.fetch("BBB-USDT", START, START + 12 * HOUR).table.empty
    assert opened.fetch("BBB-USDT", END, END + HOUR).table.empty
    assert len(exchange.requests) == 3
    assert opened.fetch("BBB-USDT", START, END).table.empty
    assert len(exchange.requests) == 6  # asked twice more for the hours behind the outage


def test_requests_are_spaced_as_the_universe_says_or_as_ccxt_knows(source_of, exchange):
    clock = FakeClock()
    source_of(page=2, requests_per_second=4, clock=clock).fetch("AAA-USDT", START, END)
    assert clock.elapsed == pytest.approx((exchange.counts.total() - 1) / 4)
    clock, before = FakeClock(), exchange.counts.total()
    source_of(page=2, clock=clock).fetch("AAA-USDT", START, END)
    # ccxt's costs of Binance: 50 ms for one unit, exchange information 4, 1 and 1, time 0.2, klines 0.4 each.
    assert exchange.counts.total() - before == 16
    assert clock.elapsed == pytest.approx(0.05 * (4 + 1 + 1 + 0.2 + 11 * 0.4))


# Secrets


@pytest.mark.parametrize("code", [503, 401])
def test_credentials_reach_the_client_and_no_message_log_or_traceback(code, source_of, exchange, caplog):
    body = " ".join([*SECRETS.values(), "key-3d%2F9%20f%2B%3D%3D"]).encode()
    exchange.faults.answer(Answer(code, body=body), on=None)
    caplog.set_level(logging.DEBUG)
    source = source_of(credentials=SECRETS)
    client = source._venue().client
    assert {name: getattr(client, name) for name in SECRETS} == SECRETS
    with pytest.raises(SourceError, match=rf"HTTP {code}.*\*\*\* \*\*\* \*\*\* \*\*\*") as caught:
        source.fetch("AAA-USDT", START, END)
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(source) + repr(vars(caught.value))
    for secret in (*SECRETS.values(), "key-3d%2F9"):
        assert secret not in shown
    assert not any(path.startswith("/sapi") for path in exchange.counts), "public bars ask for nothing private"


def test_a_password_in_the_base_url_is_in_no_message_as_it_stands_there_or_as_it_is_sent(source_of, exchange):
    exchange.faults.answer(Answer(503, body=b"gone: hush%40hush, hush@hush."), on=None)
    source = source_of(url=exchange.url.replace("http://", "http://me:hush%40hush@"))
    with pytest.raises(SourceError, match=r"HTTP 503.* gone: \*\*\*, \*\*\*\.") as caught:
        source.fetch("AAA-USDT", START, END)
    assert "hush" not in str(caught.value)


def test_a_long_answer_is_cut_in_the_message(source_of, exchange):
    exchange.faults.answer(Answer(503, body=b"<p>" * 10_000), on=None)
    with pytest.raises(SourceError) as caught:
        source_of().fetch("AAA-USDT", START, END)
    assert len(str(caught.value)) < 600


@pytest.fixture
def venue(exchange):
    return VenueClient(CcxtConfig(kind="ccxt", venue="binance", url=exchange.url), {}, FakeClock())


def test_each_attempt_forgets_what_the_one_before_it_was_told(venue):
    def call():
        turns.append(len(turns))
        if len(turns) == 1:
            venue._status, venue._headers = 503, {"Retry-After": "17"}
        if len(turns) < 3:
            raise PageFault("nothing")
        return "an answer"

    turns, clock = [], venue._clock
    assert venue.ask("something", call) == "an answer"
    assert clock.slept == [17.5, 1.0], "the pause that was asked for with jitter, then backoff"


def test_a_pause_after_429_is_everyones_and_another_one_is_that_of_the_client_alone(venue, exchange):
    other, clock = VenueClient(venue._config, {}, venue._clock), venue._clock
    venue._status = 429
    venue._wait(0, 17.0)
    assert clock.elapsed == 0
    other._limiter.wait()
    assert clock.elapsed == 17.5
    venue._status = 503
    venue._wait(0, 17.0)
    assert clock.elapsed == 35.0


MARKET = {"id": "XBTUSDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "baseId": "XBT", "quoteId": "USDT"}
MARKET |= {"type": "spot", "spot": True, "linear": None, "info": {}, "precision": {}, "limits": {}}


def test_what_a_venue_no_longer_has_is_refused(make_universe):
    universe = make_universe(source={"kind": "ccxt", "venue": "kraken", "bar": "1h"}, assets={"BTC-USDT": {}})
    source = Ccxt(universe, {}, FakeClock())
    client = source._first.client
    client.set_markets([MARKET])
    client.fetch_time = lambda: int((START + 800 * HOUR).timestamp() * 1000)
    source._own.venue = source._first
    with pytest.raises(SourceError, match=r"bars from 2024-01-05 00:00 UTC are asked for.*only the last 720 of 1h"):
        source.fetch("BTC-USDT", START, END)


def test_a_venue_without_a_clock_is_believed_by_the_date_of_its_answers_or_not_at_all(exchange):
    config = CcxtConfig(kind="ccxt", venue="binance", url=exchange.url)
    venue = VenueClient(config, {}, FakeClock())
    venue.client.has["fetchTime"] = False
    assert not venue.is_past(exchange.now + dt.timedelta(seconds=2))
    assert venue.is_past(exchange.now - dt.timedelta(seconds=2))
    venue = VenueClient(config, {}, FakeClock())
    venue.client.has["fetchTime"] = False
    venue._date = lambda: None
    with pytest.raises(SourceError, match=r"no server time and its answers have no Date"):
        venue.is_past(exchange.now)


def test_nothing_but_the_base_url_differs_from_a_users_universe(make_universe, exchange):
    """A guard of the tests themselves: the source that they use is the one that a user's file gives."""
    config = make_universe(source={"kind": "ccxt", "venue": "binance", "url": exchange.url}).source
    assert config.model_copy(update={"url": ""}) == CcxtConfig(kind="ccxt", venue="binance")
    assert re.match(r"http://127\.0\.0\.1:\d+$", config.url)
