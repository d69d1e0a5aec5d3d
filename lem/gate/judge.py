"""The promotion gate: may the candidate trade, or does yesterday's champion stay?

Both are judged on a window on which neither was trained: their trainings end a purge of one horizon before it begins.
What counts is what is left after costs, beside the best rule that knows them; gains before costs stand beside it.
First the candidate must pass the sanity checks (`lem.gate.sanity`). Then every figure is a paired comparison on the
same orders, with a day-block bootstrap interval.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd

from lem.backtest.bootstrap import Interval, cvar, paired_difference
from lem.data.panel import Panel
from lem.execution.orders import SCENARIOS
from lem.gate.gains import GateOrders, gate_orders
from lem.gate.sanity import sanity_checks
from lem.model.contender import Contender
from lem.registry.decision_figures import BpsByStrategy, DecisionFigures, GateFigures, PairedGain
from lem.registry.records import REFUSED
from lem.strategies.rules import RULES_WITH_COSTS, rule_label
from lem.universe import Universe
from lem.universe.backtest_config import GateConfig


@dataclass(frozen=True)
class Verdict:
    """The gate's decision.

    Args:
        decision: `promoted`, `kept` (yesterday's champion trades on) or `none` (no model may trade).
        reasons: why, in sentences.
        figures: what the gate measured and checked; empty if it did not get that far.
        sound: False if the night is degraded: there was no candidate that could be compared, or it may not trade.
    """

    decision: Literal["promoted", "kept", "none"]
    reasons: list[str]
    figures: DecisionFigures = field(default_factory=DecisionFigures)
    sound: bool = True


@dataclass(frozen=True)
class PairedComparison:
    """How gains are compared.

    Args:
        gate: the gate's settings.
        block_days: days in a block of the bootstrap.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """

    gate: GateConfig
    block_days: int
    resamples: int
    seed: int

    @classmethod
    def of(cls, universe: Universe) -> PairedComparison:
        """The comparison by a universe's settings."""
        return cls(universe.gate, universe.purge_days, universe.backtest.bootstrap, universe.training.seed)

    def difference(self, ours: pd.Series, theirs: pd.Series, arrival: pd.Series) -> Interval:
        """One strategy's figures minus another's, paired by order, in bps.

        Args:
            ours: of one strategy, an order a row.
            theirs: of the other.
            arrival: of each order, UTC.
        """
        return paired_difference(
            ours,
            theirs,
            arrival.dt.normalize(),
            block_days=self.block_days,
            confidence=self.gate.confidence,
            resamples=self.resamples,
            seed=self.seed,
        )


def _say(interval: Interval) -> str:
    inside = f"{interval.low:+.2f} to {interval.high:+.2f}" if interval.known else "too few days for an interval"
    return f"{interval.mean:+.2f} bps ({inside}; {interval.orders} orders, {interval.blocks} blocks)"


def _paired(interval: Interval) -> PairedGain:
    return PairedGain(
        mean_bps=interval.mean,
        low_bps=interval.low if interval.known else None,
        high_bps=interval.high if interval.known else None,
        blocks=interval.blocks,
    )


def _by_strategy(gains: pd.DataFrame, measure: Callable[[pd.Series], float], rule: str) -> BpsByStrategy:
    """A measure of each strategy's figures on the gate's orders."""
    return BpsByStrategy(
        candidate=measure(gains["candidate"]),
        optimal_stopping=measure(gains["optimal_stopping"]),
        twap=measure(gains["twap"]),
        champion=measure(gains["champion"]) if "champion" in gains else None,
        rule=measure(gains[rule]),
    )


def _mean(gains: pd.Series) -> float:
    return float(gains.mean())


def judge(
    panel: Panel,
    universe: Universe,
    gate_start: dt.date,
    candidate: Contender | None,
    champion: Contender | None,
) -> Verdict:
    """Decide which model trades.

    Args:
        panel: the gate's window with the warm-up before it; it ends before the date for which the decision is.
        universe: its orders, costs and settings of the gate.
        gate_start: first date of the window.
        candidate: None when no model was trained for this date.
        champion: the model that traded before; None when there was none.
    """
    stays: Literal["kept", "none"] = "kept" if champion else "none"
    if candidate is None:
        return Verdict(stays, ["no model was trained for this date"], sound=False)
    for name, contender in (("candidate", candidate), ("champion", champion)):
        if contender is not None and contender.train_end > gate_start:
            trained = f"{name} {contender.model_id} was trained on days before {contender.train_end}"
            text = f"{trained}, and the gate opens on {gate_start}: it has seen days that judge it"
            return Verdict(stays, [text], sound=False)
    if not (panel.accepted(universe.horizon) & (panel.date_T >= np.datetime64(gate_start))).any():
        text = f"no order without a gap arrives from {gate_start} on: nothing to judge"
        return Verdict(stays, [text], sound=False)
    checks = sanity_checks(panel, universe, gate_start, candidate.model, candidate.holes)
    found = DecisionFigures(checks=tuple(checks))
    if problems := [check.text for check in checks if not check.passed]:
        return Verdict(stays, problems, found, sound=False)
    names = {"candidate": candidate} | ({"champion": champion} if champion else {})
    verdict = compare(gate_orders(panel, universe, gate_start, names), PairedComparison.of(universe))
    figures = replace(verdict.figures, checks=found.checks)
    if champion is not None and candidate.model_id == champion.model_id:
        same = ["the candidate is the champion: the same inputs gave the same model"]
        return Verdict("kept", same, figures)
    return replace(verdict, figures=figures)


def compare(orders: GateOrders, how: PairedComparison) -> Verdict:
    """Decide on the gains of a candidate that passed the sanity checks.

    What counts is what is kept after costs. The first model is promoted. A later one is refused

    - if its gain after costs minus the champion's has an interval wholly below zero (with too few days for an
      interval: a mean below zero),
    - if its worst 5 % after costs are worse than tolerated,
    - if its gains after costs are worth no more than those of the best rule that knows costs (`GateOrders.worth`).

    Args:
        orders: with `candidate`, the rules and, where there is one, `champion`.
        how: the comparison.
    """
    champion = "champion" in orders.net
    worth_of = orders.worth.mean().to_dict()
    rule = max(RULES_WITH_COSTS, key=lambda name: worth_of[name])

    def against(table: pd.DataFrame, other: str) -> Interval:
        return how.difference(table["candidate"], table[other], orders.arrival)

    gap = against(orders.worth, rule)
    gross = against(orders.gross, "optimal_stopping")
    versus = against(orders.net, "champion") if champion else None
    gross_versus = against(orders.gross, "champion") if champion else None
    measured = GateFigures(
        orders=len(orders.net),
        days=int(orders.arrival.dt.normalize().nunique()),
        scenarios=len(SCENARIOS),
        mean_bps=_by_strategy(orders.gross, _mean, rule),
        cvar5_bps=_by_strategy(orders.gross, cvar, rule),
        candidate_minus_optimal_stopping=_paired(gross),
        candidate_minus_champion=_paired(gross_versus) if gross_versus else None,
        rule=rule,
        net_mean_bps=(net_mean := _by_strategy(orders.net, _mean, rule)),
        net_cvar5_bps=(tail := _by_strategy(orders.net, cvar, rule)),
        net_worth_bps=_by_strategy(orders.worth, _mean, rule),
        net_candidate_minus_rule=_paired(gap),
        net_candidate_minus_champion=_paired(versus) if versus else None,
    )
    figures = DecisionFigures(gate=measured)
    name = rule_label(rule)
    facts = [
        f"after costs {net_mean.candidate:+.2f} bps; {name}, the best rule that knows costs: {net_mean.rule:+.2f} bps",
        f"worth more than {name} by {_say(gap)}",
        f"before costs, against optimal stopping: {_say(gross)}",
    ]
    if versus is None or gross_versus is None or tail.champion is None:
        return Verdict("promoted", ["first model: sane, so it trades", *facts], figures)
    allowed = tail.champion - how.gate.tail_tolerance * abs(tail.champion)
    refused = []
    if (versus.high if versus.known else versus.mean) < 0:
        better = ", although it is higher before them" if gross_versus.mean > 0 else ""
        refused.append(f"its mean gain after costs is lower than the champion's{better}")
    if tail.candidate < allowed:
        refused.append(f"its worst 5 % after costs average {tail.candidate:.1f} bps, allowed: {allowed:.1f}")
    if gap.mean <= 0:
        refused.append(f"after costs its gains are worth no more than those of {name}, a rule that needs no training")
    facts = [
        f"after costs, against the champion: {_say(versus)}",
        f"before costs, against the champion: {_say(gross_versus)}",
        *facts,
        f"worst 5 % after costs: {tail.candidate:.1f} bps, champion {tail.champion:.1f} bps",
    ]
    if refused:
        return Verdict("kept", [f"{REFUSED} because {reason}" for reason in refused] + facts, figures)
    return Verdict("promoted", [f"after costs not worse than the champion, tail kept, {name} beaten", *facts], figures)
