"""Features of the bars that have just closed, of all assets whose bars simply go on, made together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from lem.advice.clock import Moment
from lem.data.new_bars import new_bars
from lem.data.tail import Followed, Tail, followed
from lem.universe import Universe
from lem.universe.calendars import bar_close, expected_bars


@dataclass(frozen=True)
class Asked:
    """What a source told of an asset's new bars.

    Args:
        tail: the asset's bars before them.
        since: from when on bars were asked for (UTC).
        until: up to when (UTC).
        rows: the answer.
    """

    tail: Tail
    since: dt.datetime
    until: dt.datetime
    rows: pd.DataFrame

    @property
    def window(self) -> tuple[dt.datetime, dt.datetime, int]:
        """What assets have in common that are looked at together."""
        return self.since, self.until, self.tail.bars_of_day


def next_bars(asked: Mapping[str, Asked], universe: Universe, at: Moment, over: bool) -> Iterator[Followed]:
    """Validate new bars and compute their features; assets of which anything is in doubt are left out.

    Args:
        asked: by asset, all listed on the day of the last bar, and no outage in what was asked for.
        universe: of the assets.
        at: says which bar is the last.
        over: all bars of its day have closed.
    """
    for window in dict.fromkeys(one.window for one in asked.values()):
        alike = {symbol: one for symbol, one in asked.items() if one.window == window}
        symbol, any_one = next(iter(alike.items()))
        opens = _opens(universe, symbol, any_one, at)
        if opens is None:
            continue
        rows, quoted = {s: one.rows for s, one in alike.items()}, {s: one.tail.quoted for s, one in alike.items()}
        bars = new_bars(rows, quoted, opens, universe)
        made = None if bars is None else followed({s: one.tail for s, one in alike.items()}, bars, universe, over)
        if made is not None:
            yield made


def _opens(universe: Universe, symbol: str, asked: Asked, at: Moment) -> pd.DatetimeIndex | None:
    """The source's bars that were asked for and have closed; None unless they are whole bars that go on to the last."""
    opens = _closed(universe.model_copy(update={"bar": universe.source_bar}), symbol, asked, at)
    whole = _closed(universe, symbol, asked, at)
    parts = universe.bar_length // universe.source_bar_length
    if not len(whole) or whole[-1] != at.last or len(opens) != parts * len(whole) or not whole.equals(opens[::parts]):
        return None
    day = expected_bars(universe, symbol, at.last.date())
    return opens if day.get_loc(whole[0]) == asked.tail.bars_of_day else None


def _closed(universe: Universe, symbol: str, asked: Asked, at: Moment) -> pd.DatetimeIndex:
    """Opens of the bars that were asked for and have closed."""
    opens = expected_bars(universe, symbol, at.last.date())
    opens = opens[(opens >= pd.Timestamp(asked.since)) & (opens < pd.Timestamp(asked.until))]
    return opens[bar_close(universe, opens) <= pd.Timestamp(at.as_of)]
