"""The answers of the report's first screen.

Did it work, what does the model keep after costs, is that more than the rules keep, and how sure are we?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lem.backtest.bootstrap import Interval
from lem.registry import PromotionRecord
from lem.reports.tables import MODEL, RIVALS, executed, select
from lem.strategies.rules import RULES_WITH_COSTS


@dataclass(frozen=True)
class Kept:
    """What a strategy keeps after costs and what it risks for it: a point of the frontier, bps.

    Args:
        mean_bps: mean gain of its orders.
        std_bps: their standard deviation; NaN of a single order.
        cvar5_bps: mean of the worst 5 %.
    """

    mean_bps: float
    std_bps: float
    cvar5_bps: float


@dataclass(frozen=True)
class Comparison:
    """The model against a rule on the same orders.

    Args:
        against: the rule.
        knows_costs: whether the rule knows what trading costs.
        kept: by the rule.
        interval: of the paired difference before costs, bps.
        verdict: what `interval` allows to say.
        net_interval: of the paired difference after costs, bps.
        net_verdict: what `net_interval` allows to say.
    """

    against: str
    knows_costs: bool
    kept: Kept
    interval: Interval
    verdict: str
    net_interval: Interval
    net_verdict: str


@dataclass(frozen=True)
class Headline:
    """What the first screen says.

    Args:
        date: the report's, ISO.
        status: complete, degraded (a model was due, and none came that may trade), incomplete, no model, or no orders.
        problems: what was not as it should be, in sentences.
        warnings: what has drifted, in sentences.
        last_day: latest arrival day with an executed order, ISO; "" without one.
        champion_id: the champion by the decision for `date`; "" without one.
        decision: the decision of the promotion gate for `date`, or one made by hand; "" without one.
        said: the same in a sentence without its full stop, with the first reason; "" without one.
        by_hand: whether the decision was made by hand.
        reasons: of the decision, () without one.
        orders: number of executed parent orders.
        blocks: number of independent blocks of days.
        gain: the model's over all its orders before costs, bps; None without a model.
        net_gain: the model's over all its orders after costs, bps; None without a model.
        kept: the same with what is risked for it; None without a model.
        capacity: size of an order at which the model's mean gain is gone, in bar volumes; None without a model.
        comparisons: one for each of `RIVALS` that traded the model's orders; first, of those that know costs, the one
            that keeps most.
    """

    date: str
    status: str
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    last_day: str
    champion_id: str
    decision: str
    said: str
    by_hand: bool
    reasons: tuple[str, ...]
    orders: int
    blocks: int
    gain: Interval | None
    net_gain: Interval | None
    kept: Kept | None
    capacity: float | None
    comparisons: tuple[Comparison, ...]


def row_interval(row: Mapping[Any, Any]) -> Interval:
    """The interval of a row of `full_table`."""
    return Interval(row["mean_bps"], row["low_bps"], row["high_bps"], int(row["orders"]), int(row["blocks"]))


def _kept(row: Mapping[Any, Any]) -> Kept:
    return Kept(row["mean_bps"], row["std_bps"], row["cvar5_bps"])


def verdict(interval: Interval) -> str:
    """What a paired difference allows to say: better, worse, not distinguishable, or too few days to say."""
    if not interval.known:
        return "too few days to say"
    if interval.low > 0:
        return "better"
    return "worse" if interval.high < 0 else "not distinguishable"


def headline(
    orders: pd.DataFrame,
    table: pd.DataFrame,
    promotions: Sequence[PromotionRecord],
    date: str,
    due: str,
    found: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> Headline:
    """The answers of the first screen.

    Args:
        orders: from `prepare_orders`.
        table: from `full_table` of the same orders.
        promotions: the decisions up to the date.
        date: the report's, ISO.
        due: the last arrival day that should have executed orders, ISO.
        found: further problems, in sentences.
        warnings: what has drifted, in sentences.
    """
    done = executed(orders)
    comparisons = []
    after = {row["strategy"]: _kept(row) for row in select(table, "all", "on").to_dict("records")}
    for rival in RIVALS:
        off, on = (select(table, "all", costs, rival).to_dict("records") for costs in ("off", "on"))
        if off:
            gap, net = row_interval(off[0]), row_interval(on[0])
            knows = rival in RULES_WITH_COSTS
            comparisons.append(Comparison(rival, knows, after[rival], gap, verdict(gap), net, verdict(net)))
    comparisons.sort(key=lambda found: (not found.knows_costs, -found.kept.mean_bps if found.knows_costs else 0.0))
    own = table[table["strategy"] == MODEL]
    off, on = (select(own, "all", costs).to_dict("records") for costs in ("off", "on"))
    gate = next((decision for decision in promotions if decision.date.isoformat() == date), None)
    last_day = str(done["date"].max()) if len(done) else ""
    problems = [] if gate else [f"No decision of the promotion gate is recorded for {date}."]
    problems += [*_problems(orders, done, last_day, due), *found]
    degraded = gate.degraded if gate else ""
    if degraded:
        problems.insert(0, f"{degraded[:1].upper()}{degraded[1:]}.")
    if not len(done):
        status = "no orders"
    elif not off:
        status = "no model"
    else:
        status = "degraded" if degraded else "incomplete" if problems else "complete"
    return Headline(
        date=date,
        status=status,
        problems=tuple(problems),
        warnings=tuple(warnings),
        last_day=last_day,
        champion_id=(gate.champion_id or "") if gate else "",
        decision=gate.decision if gate else "",
        said=gate.sentence if gate else "",
        by_hand=gate.by_hand if gate else False,
        reasons=tuple(gate.reasons) if gate else (),
        orders=done["order"].nunique(),
        blocks=done["block"].nunique(),
        gain=row_interval(off[0]) if off else None,
        net_gain=row_interval(on[0]) if on else None,
        kept=after.get(MODEL),
        capacity=on[0]["capacity"] if on else None,
        comparisons=tuple(comparisons),
    )


def _problems(orders: pd.DataFrame, done: pd.DataFrame, last_day: str, due: str) -> list[str]:
    """What was not as it should be on the latest day with executed orders."""
    if not len(done):
        return ["No order was executed."]
    problems = []
    if last_day < due:
        problems.append(f"The latest executed orders arrived on {last_day}; those up to {due} should be there.")
    last = done[done["date"] == last_day]
    # An asset without rows, as one that is not listed any more, had no order to execute.
    there = orders.loc[orders["date"] == last_day, "asset"].unique()
    idle = sorted(set(there) - set(last["asset"].unique()))
    if idle:
        problems.append(f"No order in {', '.join(idle)} was executed on {last_day}.")
    if MODEL in done["strategy"].unique() and MODEL not in last["strategy"].unique():
        problems.append(f"The model executed no order on {last_day}.")
    return problems
