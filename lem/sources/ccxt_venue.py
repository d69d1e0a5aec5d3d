"""Bars of a venue through ccxt: pages along the expected grid; a page that lacks bars is asked for again.

A window is refused until the venue's own clock says that all of its bars are closed. If a page fails after its
retries, the whole window fails; nothing is skipped. The rows are handed on as the venue gave them: broken prices,
duplicates and gaps are judged when bars are validated.
"""

from __future__ import annotations

import datetime as dt
import difflib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from lem.errors import SourceError
from lem.sources.base import NUMBERS, RawBars, check_window
from lem.sources.ccxt_client import PageFault, VenueClient
from lem.sources.ccxt_rules import rules_of
from lem.sources.limits import CLOCK, Clock
from lem.sources.venues import Bar, Klines, Unified, Window, bars_of
from lem.universe import Universe
from lem.universe.calendars import is_listed, outage_mask
from lem.universe.source_config import CcxtConfig
from lem.universe.source_section import Absent

ASKED_AGAIN = 2
"""How often missing bars of a page are asked for again before their absence counts as the venue's answer."""

_DAY_MS = 86_400_000
Row = tuple[int, Bar]
"""A bar's open in ms of UTC, and its numbers."""


@dataclass(frozen=True)
class _Part:
    """A part of a window in which the asset has one name.

    Args:
        market: ccxt's market of that name.
        first: open of the first bar, ms of UTC.
        last: open of the last bar, ms of UTC.
    """

    market: Mapping[str, Any]
    first: int
    last: int


class Ccxt:
    """The source of `kind = "ccxt"`.

    Args:
        universe: whose `[source]` section names the venue.
        credentials: `apiKey`, `secret`, `password` of the venue; public bars need none.
        clock: of this machine, for waiting; only the venue's clock tells which bars are closed.
        absent: what it means that a bar is not there, where another section says it.

    Raises:
        SourceError: ccxt knows no such venue, or the venue has no bars of this length.
    """

    def __init__(
        self, universe: Universe, credentials: Mapping[str, str], clock: Clock = CLOCK, absent: Absent | None = None
    ) -> None:
        config = universe.source
        if not isinstance(config, CcxtConfig):
            raise SourceError(f"{universe.name}: source.kind is {universe.source.kind!r}, not 'ccxt'")
        self._universe, self._config, self._credentials, self._clock = universe, config, dict(credentials), clock
        self._timeframe, self._absent = config.bar.replace("min", "m"), absent or config.absent
        self._own, self._lock = threading.local(), threading.Lock()
        self._doubted = False
        self._first = VenueClient(config, self._credentials, clock)
        timeframes = self._first.client.timeframes or {}
        if self._timeframe not in timeframes:
            raise SourceError(
                f"{universe.name}: source.bar: {config.venue} has no bars of {config.bar}; "
                f"allowed there: {', '.join(timeframes) or 'none'}"
            )
        self._bar_ms = self._first.client.parse_timeframe(self._timeframe) * 1000

    def fetch(self, symbol: str, start: dt.datetime, end: dt.datetime) -> RawBars:
        """Rows of the asset whose bar opens in [start, end), UTC.

        `source` is venue, market and bar length; `source_row` is the number of the bar in its UTC day, from 1. So the
        same bars give the same bytes, whatever was asked before.

        Raises:
            SourceError: the venue did not answer, or not with bars; or some bars of the window are not closed yet.
            UniverseError: unknown symbol.
        """
        check_window(start, end)
        self._universe.check_symbol(symbol)
        tables, names = [], []
        opens = self._opens(start, end)
        if len(opens):
            venue = self._venue()
            self._check_closed(venue, symbol, int(opens[-1]))
            for part in self._parts(venue, symbol, opens):
                names.append(f"{self._config.venue}/{part.market['id']}/{self._timeframe}")
                tables.append(self._table(self._rows(venue, symbol, part), names[-1]))
        # For a window without any bar the venue is not asked.
        source = names[-1] if names else f"{self._config.venue}/{self._universe.assets[symbol].name_on(end, symbol)}"
        table = pd.concat(tables, ignore_index=True) if tables else self._table([], source)
        return RawBars(table, source, self._clock.now())

    def forget(self, symbol: str) -> None:
        """Let the next `fetch` ask for a new list if the asset's market is not in the list of markets.

        The market may have been listed or renamed since. Bars are never kept, and a listed market does not change.
        """
        self._universe.check_symbol(symbol)
        self._doubted = True

    def trading_rules(self, symbol: str) -> Mapping[str, Decimal]:
        """What the venue takes of an asset by its present name, from its list of markets.

        Raises:
            SourceError: the venue did not answer, or has no such market.
            UniverseError: unknown symbol.
        """
        asset = self._universe.assets[self._universe.check_symbol(symbol)]
        venue = self._venue()
        return rules_of(self._market(venue, symbol, asset.venue_symbol or symbol), venue.client.precisionMode)

    def _venue(self) -> VenueClient:
        """This thread's client. The first thread asks for the markets, for all of them."""
        if not hasattr(self._own, "venue"):
            with self._lock:
                if not self._first.client.markets:
                    self._first.load_markets()
                    self._own.venue = self._first
                    return self._first
            self._own.venue = VenueClient(self._config, self._credentials, self._clock)
            self._own.venue.client.set_markets_from_exchange(self._first.client)
        return self._own.venue

    def _opens(self, start: dt.datetime, end: dt.datetime) -> np.ndarray:
        """Opens of the bars in [start, end) on the grid, in ms of UTC: every bar length divides the UTC day."""
        first, stop = (-(-int(pd.Timestamp(time).value) // (self._bar_ms * 10**6)) for time in (start, end))
        return np.arange(first, stop, dtype=np.int64) * self._bar_ms

    def _check_closed(self, venue: VenueClient, symbol: str, last: int) -> None:
        """Refuse a window whose last bar is not closed by the venue's clock.

        Raises:
            SourceError: it is not closed; says until when the venue has closed bars.
        """
        grace = dt.timedelta(seconds=self._config.grace_seconds)
        end = _time(last + self._bar_ms)
        if not venue.is_past(end + grace):
            now = venue.known_time
            assert now is not None
            closed = _time(int((now - grace).timestamp() * 1000) // self._bar_ms * self._bar_ms)
            raise SourceError(
                f"{self._config.venue}: {symbol}: bars up to {end:%Y-%m-%d %H:%M} are asked for, but the venue "
                f"has closed bars only until {closed:%Y-%m-%d %H:%M} UTC (its clock says {now:%Y-%m-%d %H:%M:%S}, "
                f"source.grace_seconds is {self._config.grace_seconds:g}); ask again later"
            )

    def _parts(self, venue: VenueClient, symbol: str, opens: np.ndarray) -> Iterator[_Part]:
        """The window, split where the asset's name changes."""
        asset = self._universe.assets[symbol]
        days = opens // _DAY_MS
        name_of = {day: asset.name_on(_time(int(day) * _DAY_MS).date(), symbol) for day in np.unique(days)}
        names = np.array([name_of[day] for day in days], dtype=object)
        changes = np.flatnonzero(names[1:] != names[:-1]) + 1
        for part in np.split(np.arange(len(opens)), changes):
            market = self._market(venue, symbol, names[part[0]])
            self._check_own(venue.client, symbol, market, _time(int(opens[part[0]])).date())
            yield _Part(market, int(opens[part[0]]), int(opens[part[-1]]))

    def _market(self, venue: VenueClient, symbol: str, name: str) -> Mapping[str, Any]:
        """The market of a name, which is unified (`BTC/USDT`), the venue's (`BTCUSDT`) or canonical (`BTC-USDT`).

        The venue may use one name for a spot market and a swap: then it means spot. The swap has a unified name of
        its own (`BTC/USDT:USDT`).

        Raises:
            SourceError: the venue has no such market; the message offers the nearest ones.
        """
        found = _market_of(venue.client, name)
        if found is None and self._doubted:
            self._doubted = False
            venue.load_markets(again=True)
            found = _market_of(venue.client, name)
        if found is not None:
            return found
        markets, by_id, pair = venue.client.markets, venue.client.markets_by_id, name.replace("-", "/")
        near = dict.fromkeys(difflib.get_close_matches(name, [*markets, *by_id], n=4))
        near |= dict.fromkeys(difflib.get_close_matches(pair, list(markets), n=2))
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise SourceError(
            f"{self._universe.name}: {symbol}: {self._config.venue} has no market {name!r}: {hint}"
            "set venue_symbol to its name there; a market that was renamed is listed with its earlier names "
            f"(assets.{symbol}.renames: until, venue_symbol), one that is gone with its last date "
            f"(assets.{symbol}.delisted)"
        )

    def _check_own(self, client: Any, symbol: str, market: Mapping[str, Any], date: dt.date) -> None:
        """Refuse a market that another asset of the universe has on the same date, under whatever name."""
        for other in self._universe.symbols:
            if other == symbol or not is_listed(self._universe, other, date):
                continue
            name = self._universe.assets[other].name_on(date, other)
            if (theirs := _market_of(client, name)) is not None and theirs["symbol"] == market["symbol"]:
                raise SourceError(
                    f"{self._universe.name}: {symbol} and {other} are both {self._config.venue}'s market "
                    f"{market['symbol']!r} on {date}; allowed: a market of its own for each asset (venue_symbol)"
                )

    def _rows(self, venue: VenueClient, symbol: str, part: _Part) -> list[Row]:
        """Rows of one part of a window, page by page along the grid."""
        bars = bars_of(venue.client, part.market, self._config.contract_volume)
        self._check_reach(venue, symbol, part, bars)
        limit = min(self._config.page or bars.page, bars.page)
        rows: list[Row] = []
        before: list[Row] = []
        for first in range(part.first, part.last + 1, limit * self._bar_ms):
            last = min(part.last, first + (limit - 1) * self._bar_ms)
            window = Window(part.market, self._timeframe, self._bar_ms, first, last, limit)
            before = self._page(venue, symbol, bars, window, before)
            rows += before
        return rows

    def _check_reach(self, venue: VenueClient, symbol: str, part: _Part, bars: Klines | Unified) -> None:
        """Refuse a window that begins before the oldest bars that the venue still has."""
        if bars.reach is None:
            return
        oldest = _time(part.first + bars.reach * self._bar_ms)
        if venue.is_past(oldest):
            raise SourceError(
                f"{self._config.venue}: {symbol}: bars from {_time(part.first):%Y-%m-%d %H:%M} UTC are asked for, "
                f"but the venue has only the last {bars.reach} of {self._config.bar}; allowed: later ones, or longer "
                "bars (source.bar)"
            )

    def _page(
        self, venue: VenueClient, symbol: str, bars: Klines | Unified, window: Window, before: list[Row]
    ) -> list[Row]:
        """Rows of one page. Missing bars are asked for again, from one bar earlier if that may help.

        Bars can be missing because something failed at the moment, because the venue's pages are shorter, or because
        it leaves out the first bar. Bars that are still missing then are the venue's answer; validation judges it.

        Raises:
            SourceError: the page has no bar at all, although the venue is said to leave out some.
        """
        rows = self._ask(venue, symbol, bars, window, before)
        asked = 0
        while asked < ASKED_AGAIN:
            missing = self._missing(symbol, window, rows)
            if not len(missing):
                break
            venue.again(asked)
            empty = not rows and not asked
            first = int(missing[0]) - (0 if empty else self._bar_ms)
            last = min(int(missing[-1]), first + (window.limit - 1) * self._bar_ms)
            more = self._ask(venue, symbol, bars, replace(window, first=first, last=last), [])
            new = [row for row in more if row[0] >= missing[0] and row not in rows]
            rows = _merged(rows, new)
            asked = 0 if np.isin([ts for ts, _ in new], missing).any() else asked + 1
        if not rows and self._absent == "no_trades" and len(self._missing(symbol, window, rows)):
            opens = f"{_time(window.first):%Y-%m-%d %H:%M} to {_time(window.last):%Y-%m-%d %H:%M}"
            raise SourceError(
                f"{self._config.venue}: {symbol}: no bar at all from {opens} "
                "UTC: a whole page without bars is not taken for one without trades (source.absent); allowed: a longer "
                "page (source.page), longer bars (source.bar), or an outage that the universe lists"
            )
        return rows

    def _missing(self, symbol: str, window: Window, rows: list[Row]) -> np.ndarray:
        """Opens of the bars of a page that are missing, without those in outages or before or after the listing."""
        opens = np.arange(window.first, window.last + 1, self._bar_ms, dtype=np.int64)
        there = np.fromiter((ts for ts, _ in rows), np.int64, len(rows))
        if np.array_equal(there, opens):
            return opens[:0]
        opens = np.setdiff1d(opens, there)
        asset = self._universe.assets[symbol]
        listed, delisted = (
            int(pd.Timestamp(day).value) // 10**6 if day else None for day in (asset.listed, asset.delisted)
        )
        opens = opens if listed is None else opens[opens >= listed]
        opens = opens if delisted is None else opens[opens < delisted + _DAY_MS]
        times = pd.DatetimeIndex(pd.to_datetime(opens, unit="ms", utc=True))
        return opens[~outage_mask(self._universe, symbol, times)]

    def _ask(
        self, venue: VenueClient, symbol: str, bars: Klines | Unified, window: Window, before: list[Row]
    ) -> list[Row]:
        """One page as the venue gives it. Rows outside of the page are a fault of the venue."""
        first, end = _time(window.first), _time(window.last + window.length)

        def call() -> list[Row]:
            rows = bars.ask(venue.client, window)
            if rows and rows == before:
                raise PageFault("the answer is the page before this one, again")
            outside = [row[0] for row in rows if not window.first <= row[0] < window.last + window.length]
            if outside:
                raise PageFault(
                    f"{len(outside)} of {len(rows)} rows lie outside of the page, the first at "
                    f"{_time(outside[0]):%Y-%m-%d %H:%M} UTC"
                )
            return rows

        return venue.ask(f"{symbol} [{first:%Y-%m-%d %H:%M}, {end:%Y-%m-%d %H:%M}) UTC", call)

    def _table(self, rows: list[Row], source: str) -> pd.DataFrame:
        """Rows as raw bars."""
        ts = np.fromiter((ts for ts, _ in rows), np.int64, len(rows))
        numbers = np.fromiter(
            chain.from_iterable(numbers for _, numbers in rows), float, len(rows) * len(NUMBERS)
        ).reshape(len(rows), len(NUMBERS))
        # Column by column: casting the whole table takes longer than making it.
        return pd.DataFrame(
            {
                "ts": pd.DatetimeIndex(ts.astype("datetime64[ms]").astype("datetime64[us]")).tz_localize("UTC"),
                **dict(zip(NUMBERS, np.ascontiguousarray(numbers.T), strict=True)),
                "adjustment": np.ones(len(rows)),
                "source": pd.array(np.full(len(rows), source, dtype=object), dtype="str"),
                "source_row": ts % _DAY_MS // self._bar_ms + 1,
            },
            copy=False,
        )


def _market_of(client: Any, name: str) -> Mapping[str, Any] | None:
    """The market of a name in the client's list; None if it is not there."""
    pair = name.replace("-", "/")
    for unified in (name, pair, f"{pair}:{pair.partition('/')[2]}"):
        if unified in client.markets:
            return client.markets[unified]
    same = client.markets_by_id.get(name) or []
    return next((market for market in same if market.get("spot")), same[0] if same else None)


def _merged(rows: list[Row], new: list[Row]) -> list[Row]:
    """The rows in their order, with each new row before the first row that opens later."""
    rows = list(rows)
    for row in sorted(new, key=lambda row: row[0]):
        place = next((i for i, (ts, _) in enumerate(rows) if ts > row[0]), len(rows))
        rows.insert(place, row)
    return rows


def _time(epoch_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(epoch_ms / 1000, dt.UTC)


def opened(universe: Universe, data_root: str, credentials: Mapping[str, str]) -> Ccxt:
    """The source of a universe, as `lem.sources.open_source` asks for it."""
    return Ccxt(universe, credentials)
