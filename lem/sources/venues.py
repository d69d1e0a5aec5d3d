"""The venues whose own bars have quote volume, and how ccxt asks for them; all others use `fetch_ohlcv`.

Methods, fields of a row, parameters and limits are those of ccxt 4.5.90: its implicit methods, its comments, and its
own `fetch_ohlcv`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from operator import itemgetter, mul
from typing import Any

from lem.sources.volumes import volume_unit

Bar = tuple[float, float, float, float, float, float]
"""Open, high, low, close, volume and quote volume; the last is NaN if there is none."""

_TEXT = frozenset({str})
_FIRST_MS, _LAST_MS = 631_152_000_000, 4_102_444_800_000
"""1990 and 2100: of a number between them it is certain that it is a time in ms."""


@dataclass(frozen=True)
class Window:
    """One page of bars to ask for.

    Args:
        market: ccxt's market.
        timeframe: ccxt's name of the bar length.
        length: of a bar, in ms.
        first: open of the first bar, ms of UTC.
        last: open of the last bar, ms of UTC.
        limit: the most bars of the page.
    """

    market: Mapping[str, Any]
    timeframe: str
    length: int
    first: int
    last: int
    limit: int


@dataclass(frozen=True)
class Klines:
    """How a venue's own bars are asked for and read.

    Args:
        method: ccxt's implicit method.
        request: gives the method's parameters for a client and a page.
        rows: finds the rows in the venue's answer.
        fields: positions in a row of time (s or ms), open, high, low, close, volume and quote volume.
        page: most bars in one answer.
        newest_first: the venue gives the newest bar first.
        unbounded: the venue takes no end, so rows after the page are no fault.
        vwap: the last field is the bar's VWAP; the quote volume is made from it.
        reach: bars back from now that the venue still has; None if it has them all.
    """

    method: str
    request: Callable[[Any, Window], dict[str, Any]]
    rows: Callable[[Any, Window], Sequence[Any]]
    fields: tuple[int, int, int, int, int, int, int]
    page: int
    newest_first: bool = False
    unbounded: bool = False
    vwap: bool = False
    reach: int | None = None

    def ask(self, client: Any, window: Window) -> list[tuple[int, Bar]]:
        """Bars of a page as (open in ms of UTC, numbers), the oldest first if the venue keeps its own order.

        Raises:
            ccxt.BaseError: the venue refused, or did not answer.
            KeyError: the answer is no table of bars.
            IndexError: the same.
            TypeError: the same.
            ValueError: the same.
        """
        answer = getattr(client, self.method)(self.request(client, window))
        rows = self.rows(answer, window)
        if not isinstance(rows, list):
            raise TypeError(f"a list of rows was expected, not {type(rows).__name__}")
        rows = rows[::-1] if self.newest_first else rows
        bars = self._columns(rows) or [self._bar(row) for row in rows]
        if self.unbounded:
            bars = [bar for bar in bars if window.first <= bar[0] <= window.last]
        return bars

    def _columns(self, rows: list[Any]) -> list[tuple[int, Bar]] | None:
        """The bars of a page whose numbers are all text, column by column; None for any other, `_bar` reads that."""
        try:
            times, *columns = zip(*map(itemgetter(*self.fields), rows), strict=True)
            if not _TEXT.issuperset(map(type, chain.from_iterable(columns))):
                return None
            stamps = list(map(int, times))
            if not _FIRST_MS <= min(stamps) <= max(stamps) < _LAST_MS:
                stamps = list(map(milliseconds, times))
            *numbers, last = (list(map(float, column)) for column in columns)
        except (TypeError, ValueError, KeyError, IndexError):
            return None  # read row by row, the first fault is told
        last = list(map(mul, last, numbers[-1])) if self.vwap else last
        return list(zip(stamps, zip(*numbers, last, strict=True), strict=True))

    def _bar(self, row: Any) -> tuple[int, Bar]:
        ts, *numbers = itemgetter(*self.fields)(row)
        open_, high, low, close, volume, last = map(number, numbers)
        return milliseconds(ts), (open_, high, low, close, volume, last * volume if self.vwap else last)


def number(text: Any) -> float:
    """The double nearest to the venue's decimal; NaN for null, which the validation of bars judges.

    Raises:
        TypeError: it is no number.
        ValueError: its text is no number.
    """
    if isinstance(text, bool):
        raise TypeError(f"{text!r} is no number")
    return math.nan if text is None else float(text)


def milliseconds(value: Any) -> int:
    """A bar's open in ms of UTC, from s or ms; its size tells which.

    Raises:
        ValueError: in neither unit it is a time between 1990 and 2100.
    """
    whole = int(value)
    for time in (whole, whole * 1000):
        if _FIRST_MS <= time < _LAST_MS:
            return time
    raise ValueError(f"{value!r} is no time in s or ms")


def _interval(client: Any, window: Window) -> Any:
    return client.timeframes[window.timeframe]


def _binance(client: Any, window: Window) -> dict[str, Any]:
    return {
        "symbol": window.market["id"],
        "interval": _interval(client, window),
        "startTime": window.first,
        "endTime": window.last,
        "limit": window.limit,
    }


def _mexc(client: Any, window: Window) -> dict[str, Any]:
    interval = client.options["timeframes"]["spot"][window.timeframe]
    # The venue leaves out the bar that opens at endTime; one more millisecond includes it and no other.
    return _binance(client, window) | {"interval": interval, "endTime": window.last + 1}


def _bybit(client: Any, window: Window) -> dict[str, Any]:
    return {
        "category": "spot" if window.market["spot"] else "linear",
        "symbol": window.market["id"],
        "interval": _interval(client, window),
        "start": window.first,
        "end": window.last,
        "limit": window.limit,
    }


def _okx(client: Any, window: Window) -> dict[str, Any]:
    # `before` and `after` are both exclusive; bars of six hours or more are in UTC only if the name asks for it.
    suffix = "utc" if window.length >= 6 * 3_600_000 else ""
    return {
        "instId": window.market["id"],
        "bar": _interval(client, window) + suffix,
        "before": window.first - 1,
        "after": window.last + 1,
        "limit": window.limit,
    }


def _kraken(client: Any, window: Window) -> dict[str, Any]:
    # `since` is exclusive, and there is no end.
    since = str((window.first - window.length) // 1000)
    return {"pair": window.market["id"], "interval": _interval(client, window), "since": since}


def _gate(client: Any, window: Window) -> dict[str, Any]:
    return {
        "currency_pair": window.market["id"],
        "interval": _interval(client, window),
        "from": window.first // 1000,
        "to": window.last // 1000,
    }


def _kucoin(client: Any, window: Window) -> dict[str, Any]:
    # One second after the last open: this includes the last bar and no other, be the end inclusive or exclusive.
    return {
        "symbol": window.market["id"],
        "type": _interval(client, window),
        "startAt": window.first // 1000,
        "endAt": window.last // 1000 + 1,
    }


def _as_it_is(answer: Any, window: Window) -> Any:
    return answer


_ORDER = (0, 1, 2, 3, 4, 5)
_BINANCE = Klines("publicGetKlines", _binance, _as_it_is, (*_ORDER, 7), page=1000)
_BINANCE_USDM = Klines("fapiPublicGetKlines", _binance, _as_it_is, (*_ORDER, 7), page=1000)
_BYBIT = Klines(
    "publicGetV5MarketKline",
    _bybit,
    lambda answer, window: answer["result"]["list"],
    (*_ORDER, 6),
    page=1000,
    newest_first=True,
)
_OKX = Klines(
    "publicGetMarketHistoryCandles",
    _okx,
    lambda answer, window: answer["data"],
    (*_ORDER, 7),
    page=100,
    newest_first=True,
)

KLINES: dict[tuple[str, str], Klines] = {
    ("binance", "spot"): _BINANCE,
    ("binance", "linear"): _BINANCE_USDM,
    ("binanceus", "spot"): _BINANCE,
    ("binanceusdm", "linear"): _BINANCE_USDM,
    ("bybit", "spot"): _BYBIT,
    ("bybit", "linear"): _BYBIT,
    ("okx", "spot"): _OKX,
    ("okx", "linear"): replace(_OKX, fields=(0, 1, 2, 3, 4, 6, 7)),
    ("gate", "spot"): Klines("publicSpotGetCandlesticks", _gate, _as_it_is, (0, 5, 3, 4, 2, 6, 1), page=1000),
    ("kucoin", "spot"): Klines(
        "publicGetMarketCandles",
        _kucoin,
        lambda answer, window: answer["data"],
        (0, 1, 3, 4, 2, 5, 6),
        page=1500,
        newest_first=True,
    ),
    ("mexc", "spot"): Klines("spotPublicGetKlines", _mexc, _as_it_is, (*_ORDER, 7), page=500),
    ("kraken", "spot"): Klines(
        "publicGetOHLC",
        _kraken,
        lambda answer, window: answer["result"][window.market["id"]],
        (0, 1, 2, 3, 4, 6, 5),
        page=720,
        unbounded=True,
        vwap=True,
        reach=720,
    ),
}
"""How to ask for bars with quote volume, by venue and kind of market (`spot`, `linear`)."""


@dataclass(frozen=True)
class Unified:
    """Bars through ccxt's `fetch_ohlcv`: they never have quote volume, so their VWAP is estimated.

    Args:
        page: most bars in one answer.
        reach: bars back from now that the venue still has; None if it has them all.
        volume_unit: what one of the venue's volume is in base currency.
    """

    page: int
    reach: int | None = None
    volume_unit: float = 1.0

    def ask(self, client: Any, window: Window) -> list[tuple[int, Bar]]:
        """As `Klines.ask`. ccxt sorts the rows by time; some venues give rows after the page, which are left out."""
        symbol, until = window.market["symbol"], window.last + window.length - 1
        rows = client.fetch_ohlcv(symbol, window.timeframe, window.first, window.limit, {"until": until})
        bars: list[tuple[int, Bar]] = []
        for ts, *numbers in rows:
            open_, high, low, close, volume = map(number, numbers)
            bars.append((milliseconds(ts), (open_, high, low, close, volume * self.volume_unit, math.nan)))
        return [bar for bar in bars if window.first <= bar[0] <= window.last]


def bars_of(client: Any, market: Mapping[str, Any], stated: str | None = None) -> Klines | Unified:
    """How to ask for the bars of a market: the venue's own way if its bars have quote volume.

    Args:
        client: ccxt's client of the venue.
        market: ccxt's market.
        stated: what the volume of the venue's contract markets counts, as the universe says (`source.contract_volume`).

    Raises:
        SourceError: the volume of the market cannot be told in base currency, or is stated although it is known.
    """
    kind = "spot" if market.get("spot") else "linear" if market.get("linear") else "other"
    found = KLINES.get((client.id, kind))
    unit = volume_unit(client.id, market, stated, known=found is not None)
    if found is not None:
        return found
    limit = client.feature_value(market["symbol"], "fetchOHLCV", "limit")
    return Unified(page=min(int(limit), 1000) if limit else 100, volume_unit=unit)
