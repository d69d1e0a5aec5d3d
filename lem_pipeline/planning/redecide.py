"""Deciding again what was decided: which dates that takes, and what it replaces, in words."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from lem.lake import Lake
from lem.lineage.stages import REPORT, judged_tables
from lem.lineage.tables import dates_in
from lem.lineage.versions import assets_of
from lem.registry import Registry
from lem.universe import Universe
from lem.universe.calendars import offset_partition
from lem.universe.windows import forward_days, is_training_date
from lem_pipeline.planning.dates import Dates, data_dates


def redecided(lake: Lake, registry: Registry, universe: Universe, dates: Dates) -> Dates:
    """The dates with all that follows from their decisions: later decisions, what was made of them, and its reports.

    A decision rests on the champion before it. So no date stays decided that comes after one that is decided again.

    Args:
        lake: with the backtests and reports that are there.
        registry: with the decisions that stand.
        universe: whose dates they are.
        dates: of the report that is asked for.
    """
    first, last = dates.decisions[0], dates.decisions[-1]
    after = [decision.date for decision in registry.promotions(universe.name) if decision.date > last]
    later = [date for date in after if is_training_date(universe, date)]
    orders = sorted({*dates.orders, *_with_orders(lake, universe, first)})
    end = max(offset_partition(universe, orders[-1], forward_days(universe)), *dates.fetched)
    if after:  # a decision reads the days before it
        end = max(end, offset_partition(universe, after[-1], -1))
    reports = [date for date in dates_in(lake, f"{universe.name}/{REPORT}") if first <= date != dates.report]
    return replace(
        dates,
        orders=orders,
        decisions=[*dates.decisions, *after],
        training=[*dates.training, *later],
        data=data_dates(universe, dates.data["panel"][0], end),
        redecide=True,
        reports=reports,
    )


def _with_orders(lake: Lake, universe: Universe, first: dt.date) -> set[dt.date]:
    """Dates from `first` on for which the tables that a decision goes into have a partition."""
    found = set[dt.date]()
    for stage in judged_tables():
        for asset in assets_of(universe, stage):
            folder = lake.path(universe.name, stage.name, first, asset).rpartition("/")[0]
            found |= set(dates_in(lake, folder, ".parquet"))
    return {date for date in found if date >= first}


def told(registry: Registry, universe: Universe, dates: Dates) -> list[str]:
    """What deciding these dates again replaces and makes again, a sentence a line.

    Args:
        registry: with the decisions that stand.
        universe: whose dates they are.
        dates: as `redecided` gives them.
    """
    stand = {decision.date: decision for decision in registry.promotions(universe.name)}
    lines = ["Deciding again replaces what was decided, as far as it comes out otherwise:"]
    for date in dates.decisions:
        decision = stand.get(date)
        if decision is None:
            lines.append(f"  {date}  is decided for the first time")
        elif decision.by_hand:
            lines.append(f"  {date}  stays, as it was decided by hand: champion {decision.champion_id}")
        else:
            lines.append(f"  {date}  is replaced: {decision.outcome}, champion {decision.champion_id or 'none'}")
    pages = ", ".join(map(str, sorted({*dates.reports, dates.report})))
    orders = f"{dates.orders[0]} to {dates.orders[-1]}"
    return [*lines, f"Then are made again: the backtests of {orders}, and the report(s) of {pages}."]
