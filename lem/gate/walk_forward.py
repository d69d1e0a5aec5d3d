"""Whether every day's champion follows from the decisions, and every backtest was traded by that day's champion."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lem.registry import PromotionRecord
from lem.universe import Universe
from lem.universe.calendars import offset_partition, partition_dates
from lem.universe.windows import forward_days


@dataclass(frozen=True)
class Break:
    """A date whose champion does not follow.

    Args:
        date: of the decision, or of the orders.
        text: what does not follow from what.
    """

    date: dt.date
    text: str


def broken_decisions(decisions: Iterable[PromotionRecord]) -> list[Break]:
    """Decisions that do not follow from the one before: about another champion, or with one that nothing promotes.

    A decision by hand follows from nothing: a person named its champion.

    Args:
        decisions: those of a universe that stand.
    """
    found, before = list[Break](), None
    for decision in sorted(decisions, key=lambda one: one.date):
        if not decision.by_hand:
            left = _trades_by(before, decision)
            if decision.previous_id != before:
                text = f"was decided with champion {_name(decision.previous_id)}, and {_name(before)} traded before"
                found.append(Break(decision.date, text))
            elif decision.champion_id != left:
                text = f"names champion {_name(decision.champion_id)}, and by its decision {_name(left)} trades"
                found.append(Break(decision.date, text))
        before = decision.champion_id
    return found


def _trades_by(before: str | None, decision: PromotionRecord) -> str | None:
    """Who trades by a decision of the gate: its candidate where that was promoted, else the champion before."""
    return decision.candidate_id if decision.decision == "promoted" else before


def broken_orders(
    decisions: Sequence[PromotionRecord], traded: Mapping[dt.date, Iterable[str]], dates: Iterable[dt.date]
) -> list[Break]:
    """Dates on whose orders another model traded than the champion of that date.

    Args:
        decisions: those of the universe that stand.
        traded: ids of the models that executed the orders, by date of their arrival.
        dates: that have orders.
    """
    found, ordered = list[Break](), sorted(decisions, key=lambda one: one.date)
    for date in dates:
        last = next((one for one in reversed(ordered) if one.date <= date), None)
        champion, models = last.champion_id if last else None, sorted(traded.get(date, ()))
        if models != ([champion] if champion else []):
            text = f"orders were executed by {', '.join(models) or 'no model'}, and the champion is {_name(champion)}"
            found.append(Break(date, text))
    return found


def undecided(decisions: Iterable[PromotionRecord], dates: Iterable[dt.date]) -> list[dt.date]:
    """Those of the dates for which no decision was made although later dates are decided."""
    decided = {one.date for one in decisions}
    last = max(decided, default=None)
    return [date for date in dates if last is not None and date < last and date not in decided]


def how_to_decide_again(universe: Universe, date: dt.date, today: dt.date) -> str:
    """The command that decides a date and all decided ones after it again.

    Args:
        universe: for which the decision is.
        date: that is decided again.
        today: UTC.
    """
    yesterday = today - dt.timedelta(days=1)
    closed = min(universe.end or yesterday, yesterday)
    # The report of the last of these dates covers the date and as few as can be before it.
    within = partition_dates(universe, date, offset_partition(universe, date, universe.backtest.report_days - 1))
    ended = [day for day in within if offset_partition(universe, day, forward_days(universe)) <= closed]
    if ended:
        return f"lem run -u {universe.name} -d {ended[-1]} --redecide"
    return f"lem night -u {universe.name} --redecide"


def _name(model_id: str | None) -> str:
    return model_id or "none"
