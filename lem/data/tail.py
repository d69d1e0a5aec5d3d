"""Bars that the features of an asset's next bar read, kept as arrays; features of several assets' next bars at once.

A tail holds exactly the bars from which the night computes the day: its `FeatureConfig.history` and the day's own, so
the features are the same bits.

Shapes: A = assets, C = columns, K = new bars of each asset, T = bars of a tail.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lem.data.features import FEATURES, feature_arrays, feature_rules, feature_table
from lem.data.new_bars import NewBars
from lem.data.panel import Panel
from lem.data.quick_rules import keeps
from lem.data.tape import NUMBERS, FeatureArrays, Tape
from lem.late import pd
from lem.universe import Universe
from lem.universe.calendars import offset_partition
from lem.universe.windows import history_dates


@dataclass(frozen=True, eq=False)
class Grid:
    """Opens and closes of bars, (T,), UTC."""

    opens: pd.DatetimeIndex
    closes: pd.DatetimeIndex

    @classmethod
    def of(cls, bars: pd.DataFrame) -> Grid:
        """The grid of a `bars` table."""
        return cls(pd.DatetimeIndex(bars["ts"]), pd.DatetimeIndex(bars["close_ts"]))

    def part(self, rows: slice) -> Grid:
        """Some of its bars."""
        return Grid(self.opens[rows], self.closes[rows])

    def then(self, later: Grid) -> Grid:
        """Its bars and those of another one behind them."""
        opens, closes = self.opens.append(later.opens), self.closes.append(later.closes)
        return Grid(pd.DatetimeIndex(opens), pd.DatetimeIndex(closes))

    def same(self, other: Grid) -> bool:
        """Whether it has the same bars as another one."""
        return self is other or self.opens.equals(other.opens)


@dataclass(frozen=True)
class Tail:
    """The last bars of an asset.

    Args:
        date: partition of the last bar.
        over: all bars of it have closed.
        grid: T bars.
        numbers_CT: high, low, close, VWAP and volume.
        traded_T: bool.
        start: position of the first bar of `date`.
        since: partition from which on no bar is left out; None where older bars were cut off within one.
        quoted: the rows of `date` have quote volume, or have none; None where there is no row.
    """

    date: dt.date
    over: bool
    grid: Grid
    numbers_CT: NDArray[np.float64]
    traded_T: NDArray[np.bool_]
    start: int
    since: dt.date | None
    quoted: bool | None

    @property
    def last(self) -> pd.Timestamp:
        """Open of the last bar."""
        return self.grid.opens[-1]

    @property
    def bars_of_day(self) -> int:
        """Bars of `date`."""
        return len(self.grid.opens) - self.start

    @classmethod
    def of(cls, past: pd.DataFrame, day: pd.DataFrame, universe: Universe, date: dt.date, over: bool) -> Tail:
        """The tail that ends with a day's bars.

        Args:
            past: bars of all the day's `history_dates`.
            day: bars of the day that have closed.
            universe: of the asset.
            date: the day.
            over: all bars of it have closed.
        """
        history = _history(universe)
        dates, kept = history_dates(universe, date), past.iloc[-history:]
        bars = pd.concat([kept, day], ignore_index=True) if len(kept) else day.reset_index(drop=True)
        there = day[day["flag"] != "outage"]
        return cls(
            date=date,
            over=over,
            grid=Grid.of(bars),
            numbers_CT=_numbers(bars),
            traded_T=(bars["flag"] == "ok").to_numpy(bool),
            start=len(kept),
            since=(dates[0] if dates else date) if len(past) <= history else None,
            quoted=bool((there["vwap_kind"] == "exact").all()) if len(there) else None,
        )

    def of_next_day(self, universe: Universe, date: dt.date) -> Tail | None:
        """What is left of it before the first bar of a later day; None where that cannot be told from it."""
        if not self.over or offset_partition(universe, self.date, 1) != date:
            return None
        history, first = _history(universe), history_dates(universe, date)[0]
        low = int(self.grid.opens.searchsorted(pd.Timestamp(first, tz="UTC")))
        bars = len(self.grid.opens)
        whole = self.since is not None and self.since <= first
        if bars - low < history and not whole:
            return None
        rows = slice(max(low, bars - history), None)
        return replace(
            self,
            date=date,
            over=False,
            grid=self.grid.part(rows),
            numbers_CT=self.numbers_CT[:, rows],
            traded_T=self.traded_T[rows],
            start=bars - rows.start,
            since=first if whole and bars - low <= history else None,
            quoted=None,
        )

    def then(self, grid: Grid, numbers_CT: NDArray, traded_T: NDArray, over: bool, quoted: bool) -> Tail:
        """Itself with further bars of its day behind it."""
        return replace(
            self,
            over=over,
            grid=grid,
            numbers_CT=np.concatenate([self.numbers_CT, numbers_CT], axis=1),
            traded_T=np.concatenate([self.traded_T, traded_T]),
            quoted=quoted,
        )


@dataclass(frozen=True)
class Followed:
    """What was made of new bars of several assets.

    Args:
        bars: the bars.
        features: the feature table, in the order of the bars.
        panel: of the same.
        tails: of each asset, that end with them.
    """

    bars: NewBars
    features: pd.DataFrame
    panel: Panel
    tails: Mapping[str, Tail]


def followed(tails: Mapping[str, Tail], bars: NewBars, universe: Universe, over: bool) -> Followed | None:
    """Features of bars that follow; None where one might break a rule.

    Args:
        tails: of each asset, before the bars.
        bars: new ones of these assets, in one day.
        universe: gives windows and clock.
        over: all bars of the day have closed with them.
    """
    assets, bars_each = len(bars.symbols), len(bars.table) // len(bars.symbols)
    added = Grid.of(bars.table.iloc[:bars_each])
    new_CAK = _numbers(bars.table).reshape(len(NUMBERS), assets, bars_each)
    traded_AK = (bars.table["flag"] == "ok").to_numpy(bool).reshape(assets, bars_each)
    longer: dict[str, Tail] = {}
    grids: list[tuple[Grid, Grid]] = []
    for row, symbol in enumerate(bars.symbols):
        before = tails[symbol].grid
        grid = next((after for known, after in grids if known.same(before)), None)
        if grid is None:
            grid = before.then(added)
            grids.append((before, grid))
        longer[symbol] = tails[symbol].then(grid, new_CAK[:, row], traded_AK[row], over, bool(bars.quoted_A[row]))
    made = FeatureArrays.of_shape(assets, bars_each, len(FEATURES))
    for _, grid in grids:
        rows = [row for row, symbol in enumerate(bars.symbols) if longer[symbol].grid is grid]
        tape = _tape([longer[bars.symbols[row]] for row in rows])
        made.put(rows, feature_arrays(tape, len(grid.opens) - bars_each, universe.features, universe.clock))
    features = feature_table(Tape.of(bars.table), made.flat())
    if not keeps(feature_rules(several=True), features):
        return None
    panel = Panel.from_table(features.assign(asset=np.repeat(bars.symbols, bars_each)))
    return Followed(bars, features, panel, longer)


def _tape(tails: list[Tail]) -> Tape:
    """The bars of tails on the same grid."""
    high_AT, low_AT, close_AT, vwap_AT, volume_AT = np.stack([tail.numbers_CT for tail in tails], axis=1)
    traded_AT, grid = np.stack([tail.traded_T for tail in tails]), tails[0].grid
    opens_T, closes_T = (times.to_numpy("datetime64[us]") for times in (grid.opens, grid.closes))
    return Tape(opens_T, closes_T, high_AT, low_AT, close_AT, vwap_AT, volume_AT, traded_AT)


def _history(universe: Universe) -> int:
    return universe.features.history(universe.clock.bars_per_day)


def _numbers(bars: pd.DataFrame) -> NDArray[np.float64]:
    return np.stack([bars[name].to_numpy(float) for name in NUMBERS])
