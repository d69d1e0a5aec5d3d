"""Bars that have closed and that the source does not have yet."""

from __future__ import annotations

import datetime as dt

import pandas as pd

from lem.advice.clock import Moment
from lem.universe import Outage, Universe
from lem.universe.calendars import bar_close, expected_bars, outage_mask


def late_bars(raw: pd.DataFrame, universe: Universe, symbol: str, date: dt.date, at: Moment) -> pd.DatetimeIndex:
    """Opens of the bars that have closed and that the source will have soon: those after the last one it has.

    Empty unless they reach up to the bar that has just closed: nobody knows that older bars will still come.

    Args:
        raw: the rows that it has of the day.
        universe: gives the grid and the outages.
        symbol: of the asset.
        date: the day.
        at: says which bar has just closed.
    """
    grid = universe.model_copy(update={"bar": universe.source_bar})
    opens = expected_bars(grid, symbol, date)
    opens = opens[~outage_mask(grid, symbol, opens)]
    opens = opens[bar_close(grid, opens) <= pd.Timestamp(at.as_of)]
    behind = opens if raw.empty else opens[opens > raw["ts"].max()]
    return behind if len(behind) and bar_close(grid, behind)[-1] == pd.Timestamp(at.as_of) else behind[:0]


def not_yet(universe: Universe, until: dt.datetime, end: dt.datetime) -> Universe:
    """The universe in which the bars from `until` on are not expected yet; the day ends at `end`."""
    if until >= end:
        return universe
    later = Outage(start=until, end=end, reason="not closed yet")
    return universe.model_copy(update={"outages": (*universe.outages, later)})
