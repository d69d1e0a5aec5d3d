"""The promotion gate: may the candidate trade, or does yesterday's champion stay?

Both are judged on a window on which neither was trained: their trainings end a purge of one horizon before it begins.
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
from lem.backtest.orders_table import execute
from lem.data.panel import Panel
from lem.execution.orders import SCENARIOS
from lem.gate.sanity import sanity_checks
from lem.model.contender import Contender
from lem.registry.decision_figures import BpsByStrategy, DecisionFigures, GateFigures, PairedGain
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

    def difference(self, orders: pd.DataFrame, against: str) -> Interval:
        """The candidate's gain minus another strategy's, paired by order, in bps.

        Args:
            orders: as for `compare`.
            against: the other strategy's column.
        """
        return paired_difference(
            orders["candidate"],
            orders[against],
            orders["arrival"].dt.normalize(),
            block_days=self.block_days,
            confidence=self.gate.confidence,
            resamples=self.resamples,
            seed=self.seed,
        )


def _gate_orders(
    panel: Panel, universe: Universe, gate_start: dt.date, contenders: dict[str, Contender]
) -> pd.DataFrame:
    """One row per order of the window, one gain column per strategy (bps), with asset, arrival, m and day."""
    inside_T = panel.date_T >= np.datetime64(gate_start)
    asset_A, bar_A = np.nonzero(panel.accepted(universe.horizon) & inside_T)
    models = {name: (c.model_id, c.model) for name, c in contenders.items()}
    table = execute(panel, asset_A, bar_A, universe.horizon, universe.backtest, universe.costs, models)
    keys = ["asset", "arrival", "side", "benchmark", "target", "min_bars"]
    return table.pivot(index=keys, columns="strategy", values="gain_bps").reset_index()


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


def _by_strategy(orders: pd.DataFrame, measure: Callable[[pd.Series], float]) -> BpsByStrategy:
    """A measure of each strategy's gains on the gate's orders."""
    return BpsByStrategy(
        candidate=measure(orders["candidate"]),
        optimal_stopping=measure(orders["optimal_stopping"]),
        twap=measure(orders["twap"]),
        champion=measure(orders["champion"]) if "champion" in orders else None,
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
            trained = f"{name} {contender.model_id} was trained up to {contender.train_end}"
            text = f"{trained}, after the gate opens on {gate_start}"
            return Verdict(stays, [text], sound=False)
    if not (panel.accepted(universe.horizon) & (panel.date_T >= np.datetime64(gate_start))).any():
        text = f"no order without a gap arrives from {gate_start} on: nothing to judge"
        return Verdict(stays, [text], sound=False)
    checks = sanity_checks(panel, universe, gate_start, candidate.model, candidate.holes)
    found = DecisionFigures(checks=tuple(checks))
    if problems := [check.text for check in checks if not check.passed]:
        return Verdict(stays, problems, found, sound=False)
    names = {"candidate": candidate} | ({"champion": champion} if champion else {})
    verdict = compare(_gate_orders(panel, universe, gate_start, names), PairedComparison.of(universe))
    figures = replace(verdict.figures, checks=found.checks)
    if champion is not None and candidate.model_id == champion.model_id:
        same = ["the candidate is the champion: the same inputs gave the same model"]
        return Verdict("kept", same, figures)
    return replace(verdict, figures=figures)


def compare(orders: pd.DataFrame, how: PairedComparison) -> Verdict:
    """Decide on the gains of a candidate that passed the sanity checks.

    The first model is promoted. A later one is refused if its worst 5 % are worse than tolerated, if it does not beat
    optimal stopping in the mean, or if its gain minus the champion's has an interval wholly below zero (with too few
    days for an interval: a mean below zero).

    Args:
        orders: one row per order: `arrival` (UTC) and the gains in bps of `candidate`, `optimal_stopping`, `twap` and,
            where there is one, `champion`.
        how: the comparison.
    """
    rule = how.difference(orders, "optimal_stopping")
    versus = how.difference(orders, "champion") if "champion" in orders else None
    measured = GateFigures(
        orders=len(orders),
        days=int(orders["arrival"].dt.normalize().nunique()),
        scenarios=len(SCENARIOS),
        mean_bps=_by_strategy(orders, _mean),
        cvar5_bps=_by_strategy(orders, cvar),
        candidate_minus_optimal_stopping=_paired(rule),
        candidate_minus_champion=_paired(versus) if versus else None,
    )
    figures = DecisionFigures(gate=measured)
    against_rule = f"against optimal stopping: {_say(rule)}"
    mine, theirs = measured.cvar5_bps.candidate, measured.cvar5_bps.champion
    if versus is None or theirs is None:
        return Verdict("promoted", ["first model: sane, so it trades", against_rule], figures)
    allowed = theirs - how.gate.tail_tolerance * abs(theirs)
    against = []
    if (versus.high if versus.known else versus.mean) < 0:
        against.append("its mean gain is lower than the champion's")
    if mine < allowed:
        against.append(f"its worst 5 % average {mine:.1f} bps, allowed: {allowed:.1f}")
    if rule.mean <= 0:
        against.append("it does not beat optimal stopping")
    facts = [
        f"against the champion: {_say(versus)}",
        against_rule,
        f"worst 5 %: {mine:.1f} bps, champion {theirs:.1f} bps",
    ]
    if against:
        return Verdict("kept", [f"refused: {reason}" for reason in against] + facts, figures)
    return Verdict("promoted", ["not worse than the champion, tail kept, optimal stopping beaten", *facts], figures)
