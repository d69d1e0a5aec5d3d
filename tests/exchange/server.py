"""A loopback exchange: Binance's spot and USD-M REST over bars that a test gives, or that lie in Parquet files.

The real ccxt client works against it; the base URL is all that has to be changed. It serves the server's time, exchange
information and klines, with numbers as decimal strings that parse to the same doubles, startTime and endTime inclusive,
the newest 500 rows where no limit is given and at most 1000 where one is, and the bar that is not finished yet.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd

from tests.exchange.faults import Answer, Faults, Row

NUMBERS = ("open", "high", "low", "close", "volume", "quote_volume")
INTERVALS = {"1min": "1m", "5min": "5m", "15min": "15m", "30min": "30m", "1h": "1h", "2h": "2h", "4h": "4h", "1d": "1d"}
DEFAULT_LIMIT, MOST_ROWS = 500, 1000


def decimal(number: float) -> str:
    """The shortest decimal that parses to the same double, without an exponent."""
    text = repr(float(number))
    return np.format_float_positional(number, unique=True, trim="-") if "e" in text else text


@dataclass
class Book:
    """The bars of one market. `ts` holds opens in ms of UTC."""

    name: str
    base: str
    quote: str
    ts: np.ndarray
    numbers: np.ndarray
    length: int
    trades: np.ndarray

    def rows(self, first: int, last: int, limit: int, now: int, newest: bool) -> list[Row]:
        """Klines that open from `first` to `last`, both inclusive, and before now; the unfinished one as far as it is.

        newest: the last `limit` of them, as the venue does where no start is asked for.
        """
        lo, hi = np.searchsorted(self.ts, first), np.searchsorted(self.ts, min(last, now - 1), side="right")
        lo, hi = (max(lo, hi - limit), hi) if newest else (lo, min(hi, lo + limit))
        return [self._row(i, now) for i in range(lo, hi)]

    def _row(self, i: int, now: int) -> Row:
        ts, numbers = int(self.ts[i]), self.numbers[i]
        if ts + self.length > now:
            open_, _, _, _, volume, quote = numbers
            price = quote / volume if volume else open_
            numbers = (open_, max(open_, price), min(open_, price), price, volume / 2, quote / 2)
        *prices, volume, quote = map(decimal, numbers)
        return [ts, *prices, volume, ts + self.length - 1, quote, int(self.trades[i]), "0", "0", "0"]


def _book(name: str, table: pd.DataFrame, interval: str) -> Book:
    base, quote = next((name[: -len(end)], end) for end in ("USDT", "USDC", "USD", "BTC") if name.endswith(end))
    ts = pd.DatetimeIndex(table["ts"]).as_unit("ms").asi8
    length = int(pd.Timedelta(1, "D") / pd.Timedelta(1, "ms")) if interval == "1d" else 0
    length = length or int(pd.Timedelta(interval) / pd.Timedelta(1, "ms"))
    trades = table["trades"].to_numpy() if "trades" in table else np.ones(len(table), dtype=int)
    return Book(name, base, quote, ts, table[list(NUMBERS)].to_numpy(float, copy=True), length, trades)


@dataclass
class Exchange:
    """The server, from `with` to its end.

    Args:
        bars: tables with `ts` (UTC), prices, volume, quote_volume and perhaps trades, or Parquet files of them, by the
            venue's name of the market (BTCUSDT). interval: their bar length, the only one that is served.
        now: the exchange's clock; without one, a day after the last bar. date: the Date of its answers, where that is
            not `now`.
        faults: what it does wrong. counts: requests by path. requests: the queries of the requests for bars, in order.
    """

    bars: Mapping[str, pd.DataFrame | Path]
    interval: str = "1min"
    now: dt.datetime | None = None
    date: dt.datetime | None = None
    faults: Faults = field(default_factory=Faults)
    counts: Counter[str] = field(default_factory=Counter)
    requests: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.books = {
            name: _book(name, table if isinstance(table, pd.DataFrame) else pd.read_parquet(table), self.interval)
            for name, table in self.bars.items()
        }
        last = max((int(book.ts[-1]) for book in self.books.values() if len(book.ts)), default=0)
        self.now = self.now or dt.datetime.fromtimestamp(last / 1000, dt.UTC) + dt.timedelta(days=2)
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._before: list[Row] = []

    def __enter__(self) -> Exchange:
        handler = type("Handler", (_Handler,), {"exchange": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Base URL, for `source.url`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def rename(self, old: str, new: str) -> None:
        """The market has another name from now on; the venue no longer knows the old one."""
        self.books[new] = self.books.pop(old)
        self.books[new].name, self.books[new].base = new, new.removesuffix(self.books[new].quote)

    @property
    def now_ms(self) -> int:
        assert self.now is not None
        return int(self.now.timestamp() * 1000)

    def respond(self, path: str, query: dict[str, str], headers: Mapping[str, str]) -> Answer:
        """The answer to one request."""
        with self._lock:
            self.counts[path] += 1
            self.headers.append(dict(headers))
            number = len(self.requests) + 1
            if path.endswith("/klines"):
                self.requests.append(query)
        match path:
            case "/api/v3/klines" | "/fapi/v1/klines":
                return self._klines(query, number)
            case "/api/v3/time" | "/fapi/v1/time":
                whole = _json({"serverTime": self.now_ms})
            case "/api/v3/exchangeInfo":
                whole = _json(self._info([_spot(book) for book in self.books.values()]))
            case "/fapi/v1/exchangeInfo":
                whole = _json(self._info([_perpetual(book) for book in self.books.values()]))
            case "/dapi/v1/exchangeInfo":
                whole = _json(self._info([]))
            case _:
                return Answer(404, body=b"<html>404 Not found</html>")
        answer = self.faults.answer_at(path, self.counts[path])
        return answer if answer.body is not None else replace(answer, body=whole.body)

    def _info(self, symbols: list[dict[str, Any]]) -> dict[str, Any]:
        head = {"timezone": "UTC", "serverTime": self.now_ms, "rateLimits": [], "exchangeFilters": []}
        return {**head, "symbols": symbols}

    def _klines(self, query: dict[str, str], number: int) -> Answer:
        answer = self.faults.answer_for(number)
        if answer.body is not None:
            return answer
        book = self.books.get(query.get("symbol", ""))
        if book is None:
            return _json({"code": -1121, "msg": "Invalid symbol."}, 400)
        if query.get("interval") != INTERVALS[self.interval]:
            return _json({"code": -1120, "msg": "Invalid interval."}, 400)
        limit = min(int(query.get("limit", DEFAULT_LIMIT)), MOST_ROWS)
        first, last = int(query.get("startTime", 0)), int(query.get("endTime", self.now_ms))
        rows = book.rows(first, last, limit, self.now_ms, newest="startTime" not in query)
        with self._lock:
            rows = self._before if number in self.faults.repeat else self.faults.rows_for(number, rows)
            self._before = rows
        return replace(answer, body=_json(rows).body)


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(status, body=json.dumps(value, separators=(",", ":")).encode())


def _spot(book: Book) -> dict[str, Any]:
    """A market in the spot exchange information, with the filters that ccxt reads precision and limits from."""
    return {
        "symbol": book.name,
        "status": "TRADING",
        "baseAsset": book.base,
        "baseAssetPrecision": 8,
        "quoteAsset": book.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.00010000", "maxPrice": "1000000", "tickSize": "0.00010000"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000000", "stepSize": "0.00001000"},
            {"filterType": "NOTIONAL", "minNotional": "5.00000000", "maxNotional": "9000000.00000000"},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }


def _perpetual(book: Book) -> dict[str, Any]:
    """A market in the USD-M exchange information: its perpetual contract."""
    return {
        "symbol": book.name,
        "pair": book.name,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING",
        "baseAsset": book.base,
        "quoteAsset": book.quote,
        "marginAsset": book.quote,
        "pricePrecision": 4,
        "quantityPrecision": 3,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.0001", "maxPrice": "1000000", "tickSize": "0.0001"},
            {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "10000", "stepSize": "0.001"},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


class _Handler(BaseHTTPRequestHandler):
    exchange: Exchange
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        answer = self.exchange.respond(parts.path, query, dict(self.headers))
        if answer.delay:
            self.exchange.closing.wait(answer.delay)
        body = answer.body or b""
        # A client that has stopped waiting is no error of the exchange.
        with contextlib.suppress(ConnectionError):
            self.send_response_only(answer.status)
            date = self.exchange.date or self.exchange.now
            assert date is not None
            self.send_header("Date", format_datetime(date.astimezone(dt.UTC), usegmt=True))
            self.send_header("Content-Type", "application/json;charset=UTF-8")
            whole = len(body) if answer.reset else len(body) - answer.cut
            self.send_header("Content-Length", str(whole))
            for name, value in answer.headers:
                self.send_header(name, value)
            self.end_headers()
            sent = 0
            while answer.drops and sent < len(body) and not self.exchange.closing.wait(answer.drops):
                self.wfile.write(body[sent : sent + 1])
                sent += 1
            self.wfile.write(body[sent : len(body) - answer.cut])
            if answer.reset:
                self.wfile.flush()
                time.sleep(0.05)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""
