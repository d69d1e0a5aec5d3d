"""Bars that the source leaves out because nobody traded, where the universe says that it does (`source.absent`).

An absent bar counts as one without trades only between two bars of the same answer, the neighbours of its window
included (`lem.sources.neighbours`). It is not one before the first bar, behind the last, or in a listed outage.

Shapes: T = bars of the days' grids.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lem.late import pd
from lem.universe import Universe
from lem.universe.calendars import outage_mask

_MANY = 5
"""Separate gaps in a day from which on they look like a convention and not like a fault."""


def split_neighbours(
    universe: Universe, raw: Sequence[pd.DataFrame], days: Sequence[dt.date]
) -> tuple[list[pd.DataFrame], list[pd.DataFrame]]:
    """The rows of each day, and the neighbours of its window that came with them; none unless the universe says so.

    Args:
        universe: says what it means that there is no bar.
        raw: raw rows of each day.
        days: the days.
    """
    if universe.source.capabilities.absent != "no_trades":
        return list(raw), [rows.iloc[:0] for rows in raw]
    # A row without a time is no neighbour: the rules judge it with its day.
    inside = [rows["ts"].isna() | (rows["ts"].dt.date == day) for rows, day in zip(raw, days, strict=True)]
    kept = [rows[own].reset_index(drop=True) for rows, own in zip(raw, inside, strict=True)]
    return kept, [rows[~own] for rows, own in zip(raw, inside, strict=True)]


def last_closes(
    universe: Universe,
    symbol: str,
    ts: pd.DatetimeIndex,
    day_T: NDArray[np.int64],
    close_T: NDArray[np.float64],
    neighbours: Sequence[pd.DataFrame],
) -> NDArray[np.float64]:
    """The last close before each bar in which nobody traded; NaN for all other bars.

    Args:
        universe: says what it means that there is no bar, and lists the outages.
        symbol: of the asset.
        ts: open of each bar of the grid, UTC.
        day_T: day of each bar of the grid, a position in `neighbours`.
        close_T: closes of the bars that are there; NaN for the others.
        neighbours: rows of other days that came with each day's answer.
    """
    if universe.source.capabilities.absent != "no_trades":
        return np.full(len(ts), np.nan)
    there = pd.Series(close_T).where(close_T > 0)
    before, after = (there.groupby(day_T).transform(fill) for fill in ("ffill", "bfill"))
    for day, rows in enumerate(neighbours):
        own = day_T == day
        if rows.empty or not own.any() or there[own].isna().all():
            continue
        earlier, later = rows[rows["ts"] < ts[own][0]], rows[rows["ts"] > ts[own][-1]]
        if len(earlier):
            before[own] = before[own].fillna(float(earlier["close"].iloc[-1]))
        if len(later):
            after[own] = after[own].fillna(float(later["close"].iloc[0]))
    absent = there.isna() & before.gt(0) & after.gt(0)
    return before.where(absent & ~outage_mask(universe, symbol, ts)).to_numpy(float)


def absent_hint(universe: Universe, gaps: pd.DatetimeIndex) -> str:
    """That a venue may leave out bars in which nobody traded, where a day's gaps look like it; else empty.

    Args:
        universe: with the source's bar length.
        gaps: opens of a day's missing bars, UTC, ascending.
    """
    source = universe.source
    places = int((gaps.to_series().diff() != universe.bar_length).sum())
    if places < _MANY or "absent" not in type(source).model_fields or source.capabilities.absent != "missing":
        return ""
    return (
        f"{len(gaps)} bars are missing in {places} places; where the source makes no bar when nobody trades, no "
        'outages are needed: absent = "no_trades" in [source]'
    )
