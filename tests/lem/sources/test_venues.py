"""The venues whose bars carry quote volume: what is asked of them through ccxt, and what is read from the answer."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import ccxt
import pytest

from lem.sources.venues import KLINES, Unified, Window, bars_of, milliseconds
from tests.conftest import ROOT

# Venues, each with the answer that ccxt's own comments show. The method, its URL and its parameters are ccxt's.

MARKET = {
    "active": True,
    "precision": {},
    "limits": {},
    "info": {},
    "margin": False,
    "option": False,
    "future": False,
    "swap": False,
    "contract": False,
    "spot": True,
    "linear": None,
    "inverse": None,
    "type": "spot",
    "subType": None,
    "settle": None,
    "base": "BTC",
    "quote": "USDT",
    "symbol": "BTC/USDT",
    "baseId": "BTC",
    "quoteId": "USDT",
}
LINEAR = {
    "spot": False,
    "linear": True,
    "swap": True,
    "contract": True,
    "type": "swap",
    "subType": "linear",
    "settle": "USDT",
}
T0 = 1_678_928_640_000  # 2023-03-16 01:04
MINUTE = 60_000


def okx_rows():
    return [
        [str(T0 + MINUTE), "24324.1", "24347.6", "24321.7", "24341.4", "2565", "10.5401", "256500", "1"],
        [str(T0), "24288", "24324.1", "24287", "24324.1", "3304", "13.5937", "330400", "1"],
    ]


def seven(*places):
    """Two rows, in any order of fields, oldest first: open, high, low, close, volume, quote volume are 1.1 ... 6.6."""
    values = {"o": "1.1", "h": "2.2", "l": "3.3", "c": "4.4", "v": "5.5", "q": "6.6", "_": "0"}
    return lambda scale: [[str(t // scale), *(values[p] for p in places)] for t in (T0, T0 + MINUTE)]


VENUES = [
    (
        "binanceus",
        "spot",
        "BTCUSDT",
        "/api/v3/klines",
        {"startTime": T0, "endTime": T0 + MINUTE, "limit": 2, "interval": "1m"},
        seven(*"ohlcv_q")(1),
    ),
    (
        "bybit",
        "spot",
        "BTCUSDT",
        "/v5/market/kline",
        {"category": "spot", "start": T0, "end": T0 + MINUTE, "limit": 2, "interval": "1"},
        {"retCode": 0, "result": {"list": seven(*"ohlcvq")(1)[::-1]}},
    ),
    (
        "bybit",
        "linear",
        "BTCUSDT",
        "/v5/market/kline",
        {"category": "linear", "start": T0, "end": T0 + MINUTE, "limit": 2, "interval": "1"},
        {"retCode": 0, "result": {"list": seven(*"ohlcvq")(1)[::-1]}},
    ),
    (
        "okx",
        "spot",
        "BTC-USDT",
        "/api/v5/market/history-candles",
        {"bar": "1m", "before": T0 - 1, "after": T0 + MINUTE + 1, "limit": 2},
        {"code": "0", "data": seven(*"ohlcv_q_")(1)[::-1]},
    ),
    (
        "okx",
        "linear",
        "BTC-USDT-SWAP",
        "/api/v5/market/history-candles",
        {"bar": "1m", "before": T0 - 1, "after": T0 + MINUTE + 1, "limit": 2},
        {"code": "0", "data": seven(*"ohlc_vq_")(1)[::-1]},
    ),
    (
        "gate",
        "spot",
        "BTC_USDT",
        "/api/v4/spot/candlesticks",
        {"interval": "1m", "from": T0 // 1000, "to": T0 // 1000 + 60},
        seven(*"qchlov")(1000),
    ),
    (
        "kucoin",
        "spot",
        "BTC-USDT",
        "/api/v1/market/candles",
        {"type": "1min", "startAt": T0 // 1000, "endAt": T0 // 1000 + 61},
        {"code": "200000", "data": seven(*"ochlvq")(1000)[::-1]},
    ),
    (
        "mexc",
        "spot",
        "BTCUSDT",
        "/api/v3/klines",
        {"interval": "1m", "startTime": T0, "endTime": T0 + MINUTE + 1, "limit": 2},
        seven(*"ohlcv_q")(1),
    ),
]


def client_of(venue, market_id, kind, answer):
    """ccxt's client with one market, whose requests are answered with `answer`; and the URLs that it asked for."""
    client, urls = getattr(ccxt, venue)({"enableRateLimit": False}), []
    market = {**MARKET, **(LINEAR if kind == "linear" else {}), "id": market_id}
    if kind == "linear":
        market["symbol"] = "BTC/USDT:USDT"
    client.set_markets([market])

    def fetch(url, *_, **__):
        urls.append(url)
        return answer

    client.fetch = fetch
    return client, client.market(market["symbol"]), urls


@pytest.mark.parametrize(
    ("venue", "kind", "name", "path", "query", "answer"), VENUES, ids=lambda value: str(value)[:20]
)
def test_a_venues_own_bars_are_asked_for_and_read_as_ccxt_has_them(venue, kind, name, path, query, answer):
    client, market, urls = client_of(venue, name, kind, answer)
    got = bars_of(client, market).ask(client, Window(market, "1m", MINUTE, T0, T0 + MINUTE, 2))
    assert got == [(t, (1.1, 2.2, 3.3, 4.4, 5.5, 6.6)) for t in (T0, T0 + MINUTE)]
    asked = urlsplit(urls[0])
    assert asked.path == path
    given = {key: values[0] for key, values in parse_qs(asked.query).items()}
    assert name in given.values()
    assert given.items() >= {key: str(value) for key, value in query.items()}.items()


def test_krakens_vwap_gives_the_quote_volume_and_what_lies_outside_of_the_page_is_its_manner():
    rows = [[(T0 + i * MINUTE) // 1000, "10", "12", "9", "11", "10.5", str(2 + i), 5] for i in range(-1, 4)]
    answer = {"error": [], "result": {"XXBTZUSD": rows, "last": 1}}
    client, market, urls = client_of("kraken", "XXBTZUSD", "spot", answer)
    bars = bars_of(client, market)
    got = bars.ask(client, Window(market, "1m", MINUTE, T0, T0 + MINUTE, 2))
    assert got == [(T0, (10.0, 12.0, 9.0, 11.0, 2.0, 21.0)), (T0 + MINUTE, (10.0, 12.0, 9.0, 11.0, 3.0, 31.5))]
    assert f"since={T0 // 1000 - 60}" in urls[0]
    assert bars.reach == 720


def test_other_venues_give_bars_without_quote_volume_through_fetch_ohlcv():
    candle = {"low": "9", "high": "12", "open": "10", "close": "11", "volume": "0.1"}
    starts = [T0 + MINUTE, T0, T0 - MINUTE]
    answer = {"candles": [{**candle, "start": str(start // 1000)} for start in starts]}
    client, market, _ = client_of("coinbase", "BTC-USDT", "spot", answer)
    bars = bars_of(client, market)
    assert isinstance(bars, Unified)
    assert 2 <= bars.page <= 1000
    got = bars.ask(client, Window(market, "1m", MINUTE, T0, T0 + MINUTE, 2))
    assert [ts for ts, _ in got] == [T0, T0 + MINUTE]
    assert all(numbers[:5] == (10.0, 12.0, 9.0, 11.0, 0.1) and math.isnan(numbers[5]) for _, numbers in got)


def test_every_venue_in_the_table_has_the_method_in_the_installed_ccxt():
    for (venue, _), klines in KLINES.items():
        assert callable(getattr(getattr(ccxt, venue)(), klines.method))


@pytest.mark.parametrize("value", ["x", "17", 17, "-5", 10**18, None])
def test_what_is_no_time_is_refused(value):
    with pytest.raises((ValueError, TypeError)):
        milliseconds(value)


def test_the_docs_name_every_venue_with_exact_vwap_and_its_method():
    text = (ROOT / "docs" / "venues.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (spot|linear) \| `(\w+)` \|.*\| (\d+) \|", text, re.MULTILINE)
    told = {(venue, kind): (method, int(page)) for venue, kind, method, page in rows}
    assert told == {key: (klines.method, klines.page) for key, klines in KLINES.items()}


PAGE = [[str(1_700_000_000_000 + 60_000 * n), *(f"{n}.{k}" for k in range(1, 12))] for n in range(5)]


BAD = [None, 7, True, "", "1.5x", "nan", "1e400", [], "absent", "short"]


@pytest.mark.parametrize("name", KLINES, ids="-".join)
def test_a_page_is_read_as_each_of_its_rows_is(name):
    """Column by column where all is text, and row by row else: the same bars, or the same error."""
    for place, bad in product(range(8), BAD):
        klines, page = KLINES[name], [list(row) for row in PAGE]
        if bad == "short":
            page[3] = page[3][:place]
        elif bad != "absent":
            page[3][place] = bad
        whole = replace(klines, method="page", request=lambda client, window: {}, rows=lambda answer, window: answer)
        window = Window({}, "1m", 60_000, 0, 2**60, 1000)

        def read(read_page):
            try:
                return repr(read_page())
            except (TypeError, ValueError, KeyError, IndexError) as error:
                return type(error), str(error)

        rows, client = (
            page[::-1] if klines.newest_first else page,
            SimpleNamespace(page=lambda request, page=page: page),
        )
        alone = read(lambda rows=rows, klines=klines: [klines._bar(row) for row in rows])
        found = read(lambda whole=whole, client=client, window=window: whole.ask(client, window))
        assert found == alone, (place, bad)
        if bad == "absent":
            assert klines._columns(page), "a page of text is read row by row: ingestion is slow"
