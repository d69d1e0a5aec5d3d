"""The answers of the report's first screen.

Did it work, what does the model keep after costs, is that more than the rules keep, and how sure are we?
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lem.backtest.bootstrap import Interval
from lem.registry import PromotionRecord
from lem.registry.decision_figures import PairedGain
from lem.reports.tables import MODEL, RIVALS, executed, select
from lem.reports.verdicts import row_interval, verdicts
from lem.strategies.rules import RULES_WITH_COSTS


@dataclass(frozen=True)
class Kept:
    """What a strategy keeps after costs and what it risks for it: a point of the frontier, bps.

    Args:
        mean_bps: mean gain of its orders.
        std_bps: their standard deviation; NaN of a single order.
        cvar5_bps: mean of the worst 5 %.
        worth_bps: mean of what they are worth by the gate's measure; NaN where it was not asked for.
    """

    mean_bps: float
    std_bps: float
    cvar5_bps: float
    worth_bps: float


@dataclass(frozen=True)
class Comparison:
    """The model against a rule on the same orders. Verdicts hold for all comparisons of the first screen together.

    Args:
        against: the rule.
        knows_costs: whether the rule knows what trading costs.
        kept: by the rule.
        interval: of the paired difference before costs, bps.
        verdict: what `interval` allows to say.
        net_interval: of the paired difference after costs, bps.
        net_verdict: what `net_interval` allows to say.
        worth_interval: of the paired difference of what the gains after costs are worth by the gate's measure, bps;
            None for a rule that does not know costs, which the gate does not compare with.
        worth_verdict: what `worth_interval` allows to say; "" without one.
    """

    against: str
    knows_costs: bool
    kept: Kept
    interval: Interval
    verdict: str
    net_interval: Interval
    net_verdict: str
    worth_interval: Interval | None
    worth_verdict: str


@dataclass(frozen=True)
class GateSaid:
    """What the gate found on its own days, by the same measure, of the latest candidate that it compared with a rule.

    Args:
        date: of the decision, ISO.
        candidate_id: of the model that was judged.
        rule: the rule whose gains were worth most there.
        gap: what the candidate's gains were worth more, bps.
        opposite: whether the model's gains on the report's orders say the opposite, against the rule that is worth most
            there.
    """

    date: str
    candidate_id: str
    rule: str
    gap: PairedGain
    opposite: bool


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
        compared: how many comparisons the verdicts hold for together.
        worth_most: of the rules that know costs the one whose gains are worth most, as the gate chooses; "" without.
        gate: what the gate found; None where it compared nothing yet.
        differ: a sentence that says why what is kept and what it is worth point in different directions; "" where they
            do not.
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
    compared: int
    worth_most: str
    gate: GateSaid | None
    differ: str


def _kept(row: Mapping[Any, Any]) -> Kept:
    return Kept(row["mean_bps"], row["std_bps"], row["cvar5_bps"], row["worth_mean_bps"])


def _comparisons(table: pd.DataFrame) -> tuple[tuple[Comparison, ...], int]:
    """The model against each of `RIVALS`, and how many comparisons that are."""
    kept = {row["strategy"]: _kept(row) for row in select(table, "all", "on").to_dict("records")}
    made: dict[tuple[str, str], tuple[Interval, float]] = {}
    for rival in RIVALS:
        off, on = (select(table, "all", costs, rival).to_dict("records") for costs in ("off", "on"))
        if not off:
            continue
        made[rival, "off"] = row_interval(off[0]), off[0]["p_value"]
        made[rival, "on"] = row_interval(on[0]), on[0]["p_value"]
        if rival in RULES_WITH_COSTS and not math.isnan(on[0]["worth_mean_bps"]):
            made[rival, "worth"] = row_interval(on[0], "worth_"), on[0]["worth_p_value"]
    said = dict(zip(made, verdicts(list(made.values())), strict=True))
    found = []
    for rival in dict.fromkeys(rival for rival, _ in made):
        before, after, valued = (made.get((rival, what), (None,))[0] for what in ("off", "on", "worth"))
        assert before is not None
        assert after is not None
        verdict_of = {what: said.get((rival, what), "") for what in ("off", "on", "worth")}
        ends = before, verdict_of["off"], after, verdict_of["on"], valued, verdict_of["worth"]
        found.append(Comparison(rival, rival in RULES_WITH_COSTS, kept[rival], *ends))
    found.sort(key=lambda one: (not one.knows_costs, -one.kept.mean_bps if one.knows_costs else 0.0))
    return tuple(found), sum(interval.known for interval, _ in made.values())


def _gate_said(promotions: Sequence[PromotionRecord], date: str, here: Interval | None) -> GateSaid | None:
    """What the gate found of the latest candidate that it compared with a rule up to the date.

    Args:
        promotions: the decisions.
        date: the report's, ISO.
        here: what the model's gains are worth more on the report's orders.
    """
    for decision in sorted(promotions, key=lambda decision: decision.date, reverse=True):
        gate = decision.figures.gate
        if decision.date.isoformat() <= date and gate and gate.rule and gate.net_candidate_minus_rule:
            gap = gate.net_candidate_minus_rule
            opposite = here is not None and gap.mean_bps * here.mean < 0
            return GateSaid(decision.date.isoformat(), decision.candidate_id or "", gate.rule, gap, opposite)
    return None


def _differ(mean: float, worth: float) -> str:
    """Why what is kept and what it is worth point in different directions.

    Args:
        mean: the model's mean after costs minus that of the rule that keeps most, bps.
        worth: what its gains are worth minus those of the rule whose gains are worth most, bps.
    """
    if mean < 0 < worth:
        return "That differs from the answer above: the model keeps less on average, but loses less where it loses."
    if worth < 0 < mean:
        return "That differs from the answer above: the model keeps more on average, but its losses outweigh that."
    return ""


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
    comparisons, compared = _comparisons(table)
    after = {row["strategy"]: _kept(row) for row in select(table, "all", "on").to_dict("records")}
    valued = [one for one in comparisons if one.worth_interval]
    most = max(valued, key=lambda one: one.kept.worth_bps) if valued else None
    here = most.worth_interval if most else None
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
        comparisons=comparisons,
        compared=compared,
        worth_most=most.against if most else "",
        gate=_gate_said(promotions, date, here),
        differ=_differ(comparisons[0].net_interval.mean, here.mean) if here else "",
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
