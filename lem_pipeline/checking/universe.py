"""Whether a universe can be run: its file, its dates, and bars of each asset from its source."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import numpy as np
import pandas as pd

from lem.errors import LemError, SourceError
from lem.sources.base import Source
from lem.universe import Universe
from lem.universe.calendars import expected_bars, outage_mask, partition_dates
from lem_pipeline.checking.finding import Finding, tried
from lem_pipeline.planning.dates import dates_for, last_data_date, latest_report_date
from resources.opening import universe_named
from resources.stores import SourceResource
from resources.universes import places, universe_file


def universe_findings(name: str, today: dt.date) -> Iterator[Finding]:
    """Look at a universe, from its file to the first and the last bar of each asset.

    Args:
        name: of the universe.
        today: UTC.
    """
    yield (file := tried("file", lambda: str(universe_file(name))))
    if file.state == "failed":
        return
    same = [place.files[name] for place in places() if name in place.files]
    if others := [str(path) for path in same if not path.samefile(same[0])]:
        yield Finding("warning", "file", f"of the same name, and not used: {', '.join(others)}")
    yield (read := tried("settings", lambda: _described(universe_named(name))))
    if read.state == "failed":
        return
    universe = universe_named(name)
    yield (dates := tried("dates", lambda: _dates(universe, today)))
    yield tried("report", lambda: _report(universe, today))
    if universe.training.device != "cpu":
        yield tried("training", lambda: _trains_on(universe))
    try:
        source = SourceResource().open(universe)
    except LemError as error:
        yield Finding("failed", "source", str(error))
        return
    if dates.state == "ok":
        for symbol in universe.symbols:
            yield asset_finding(universe, source, symbol, last_data_date(universe, today))


def _trains_on(universe: Universe) -> str:
    from lem.training.device import machine, with_device  # with torch, which takes seconds

    return f"on {machine(with_device(universe.training).device)}"


def asset_finding(universe: Universe, source: Source, symbol: str, last: dt.date) -> Finding:
    """Whether the source has a bar on the asset's first day and on its last one.

    Args:
        universe: whose asset it is.
        source: of the universe.
        symbol: of the asset.
        last: the last date whose bars have closed.
    """
    dates = partition_dates(universe, universe.start, last)
    days = [found for found in (_day(universe, symbol, dates), _day(universe, symbol, dates[::-1])) if found]
    if not days:
        asset = universe.assets[symbol]
        return Finding(
            "warning",
            symbol,
            f"no bar is expected of it from {universe.start} to {last} (listed {asset.listed}, delisted "
            f"{asset.delisted}, settle_days {universe.settle_days}): it is not in any report yet",
        )
    texts, state = [], "ok"
    for which, (date, ts) in zip(("first", "last"), days, strict=True):
        try:
            found, text = _bar(universe, source, symbol, ts)
        except LemError as error:
            return Finding("failed", symbol, f"{which} day {date}: {error}")
        if not found and universe.source.capabilities.absent == "missing":
            return Finding("failed", symbol, f"{which} day {date}: {text}; {_allowed(symbol, which)}")
        state = state if found else "warning"
        texts.append(f"{which} day {date}: {text}")
    return Finding("ok" if state == "ok" else "warning", symbol, ", ".join(texts))


def first_day(universe: Universe, source: Source, symbol: str, last: dt.date) -> dt.date | None:
    """The first date on which the source has bars of an asset, if it has none on the universe's first date.

    It is looked for by halves: from then on the source is taken to have bars.

    Args:
        universe: whose asset it is.
        source: of the universe.
        symbol: of the asset.
        last: the last date whose bars have closed.

    Raises:
        SourceError: the source does not answer, or has no bars of the asset on the last date either.
    """
    days = [
        found for date in partition_dates(universe, universe.start, last) if (found := _day(universe, symbol, [date]))
    ]

    def there(place: int) -> bool:
        return _bar(universe, source, symbol, days[place][1])[0]

    if not days or there(0):
        return None
    low, high = 0, len(days) - 1
    if not there(high):
        raise SourceError(
            f"{universe.name}: {symbol}: the source has no bar on {days[0][0]} and none on {days[high][0]}; allowed: "
            "an asset that trades there"
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if there(middle) else (middle, high)
    return days[high][0]


def _described(universe: Universe) -> str:
    length = f"{universe.bar} bars on {universe.calendar}"
    return f"{len(universe.assets)} assets, {length}, source {universe.source.kind}, horizon {universe.horizon}"


def _dates(universe: Universe, today: dt.date) -> str:
    return f"data from {universe.start} to {last_data_date(universe, today)}"


def _report(universe: Universe, today: dt.date) -> str:
    date = latest_report_date(universe, today)
    dates = dates_for(universe, date, today)
    return f"the latest one possible is of {date}: {len(dates.training)} models, bars from {dates.fetched[0]}"


def _day(universe: Universe, symbol: str, dates: list[dt.date]) -> tuple[dt.date, pd.Timestamp] | None:
    """The first of the dates on which a bar is expected, and the open of its last bar."""
    for date in dates:
        opens = expected_bars(universe, symbol, date)
        opens = opens[~np.asarray(outage_mask(universe, symbol, opens))]
        if len(opens):
            return date, opens[-1]
    return None


def _bar(universe: Universe, source: Source, symbol: str, ts: pd.Timestamp) -> tuple[bool, str]:
    """Whether the source has a bar that opens at `ts`, and what it says.

    Raises:
        SourceError: it did not answer, or with a bar that has no price.
    """
    start = ts.to_pydatetime()
    rows = source.fetch(symbol, start, start + universe.source_bar_length.to_pytimedelta()).table
    rows = rows[rows["ts"] == ts]
    if rows.empty:
        return False, f"no bar at {ts:%Y-%m-%d %H:%M} UTC"
    bar = rows.iloc[-1]
    if not bar["close"] > 0:
        raise SourceError(f"the bar at {ts:%Y-%m-%d %H:%M} UTC closes at {bar['close']}; allowed: a price above 0")
    return True, f"close {bar['close']:g}"


def _allowed(symbol: str, which: str) -> str:
    if which == "first":
        return f"allowed: a later start, or the first date of its listing (assets.{symbol}.listed)"
    return f"allowed: the last date of its listing (assets.{symbol}.delisted), or an [[outages]] that has the bar"
