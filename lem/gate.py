"""The promotion gate: may the candidate trade, or does yesterday's champion stay?

Judged on a window that neither model was trained on: both trainings end a purge of one horizon before it begins.
Every figure is a paired comparison on the same orders, with a day-block bootstrap interval.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from lem.backtest.bootstrap import Interval, cvar, paired_difference
from lem.backtest.orders_table import execute
from lem.causality import model_is_causal
from lem.model.lem import LEM
from lem.orders import SCENARIOS
from lem.panel import Panel
from lem.strategies.learned import Learned
from lem.universe import Universe


@dataclass(frozen=True)
class Contender:
    """A model before the gate. train_end: first date (UTC) it was not trained on."""

    model_id: str
    model: LEM
    train_end: dt.date


@dataclass(frozen=True)
class Verdict:
    """The gate's decision: `promoted`, `kept` (yesterday's champion trades on) or `none` (no model may trade)."""

    decision: Literal["promoted", "kept", "none"]
    reasons: list[str]
    figures: dict[str, Any]


def sanity_problems(panel: Panel, contender: Contender, horizon: int) -> list[str]:
    """Why a model may not trade at all: weights that are not finite, or decisions that depend on later bars."""
    bad = [name for name, tensor in contender.model.state_dict().items() if not torch.isfinite(tensor).all()]
    if bad:
        return [f"weights are not finite: {', '.join(bad[:3])}"]
    return [
        f"look-ahead: {text}" for text in model_is_causal(panel, contender.model, horizon, Learned(contender.model))[:3]
    ]


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


def _compare(orders: pd.DataFrame, against: str, universe: Universe) -> Interval:
    return paired_difference(
        orders["candidate"],
        orders[against],
        orders["arrival"].dt.date,
        block_days=universe.purge_days,
        confidence=universe.gate.confidence,
        resamples=universe.backtest.bootstrap,
        seed=universe.training.seed,
    )


def _say(interval: Interval) -> str:
    inside = f"{interval.low:+.2f} to {interval.high:+.2f}" if interval.known else "too few days for an interval"
    return f"{interval.mean:+.2f} bps ({inside}; {interval.orders} orders, {interval.blocks} blocks)"


def _figures(interval: Interval) -> dict[str, float | None]:
    return {
        "mean_bps": interval.mean,
        "low_bps": interval.low if interval.known else None,
        "high_bps": interval.high if interval.known else None,
        "blocks": interval.blocks,
    }


def judge(
    panel: Panel,
    universe: Universe,
    gate_start: dt.date,
    candidate: Contender | None,
    champion: Contender | None,
) -> Verdict:
    """Decide which model trades.

    Args:
        panel: dates up to the end of the gate's window (exclusive: the date the decision is for), with warm-up
        before it.
        gate_start: first date of the window. candidate: None when no model was trained for this date.
    """
    stays: Literal["kept", "none"] = "kept" if champion else "none"
    if candidate is None:
        return Verdict(stays, ["no model was trained for this date"], {})
    for name, contender in (("candidate", candidate), ("champion", champion)):
        if contender is not None and contender.train_end > gate_start:
            trained = f"{name} {contender.model_id} was trained up to {contender.train_end}"
            text = f"{trained}, after the gate opens on {gate_start}"
            return Verdict(stays, [text], {})
    problems = sanity_problems(panel, candidate, universe.horizon)
    if problems:
        return Verdict(stays, problems, {})
    names = {"candidate": candidate} | ({"champion": champion} if champion else {})
    orders = _gate_orders(panel, universe, gate_start, names)
    if orders.empty:
        return Verdict(stays, [f"no order without a gap arrives from {gate_start} on: nothing to judge"], {})
    rule = _compare(orders, "optimal_stopping", universe)
    figures: dict[str, Any] = {
        "orders": len(orders),
        "days": int(orders["arrival"].dt.date.nunique()),
        "scenarios": len(SCENARIOS),
        "mean_bps": {name: float(orders[name].mean()) for name in (*names, "optimal_stopping", "twap")},
        "cvar5_bps": {name: cvar(orders[name]) for name in (*names, "optimal_stopping", "twap")},
        "candidate_minus_optimal_stopping": _figures(rule),
    }
    against_rule = f"against optimal stopping: {_say(rule)}"
    if champion is None:
        reasons = ["first model: sane, so it trades", against_rule]
        return Verdict("promoted", reasons, figures)
    if candidate.model_id == champion.model_id:
        return Verdict("kept", ["the candidate is the champion: the same inputs gave the same model"], figures)
    versus = _compare(orders, "champion", universe)
    figures["candidate_minus_champion"] = _figures(versus)
    mine, theirs = figures["cvar5_bps"]["candidate"], figures["cvar5_bps"]["champion"]
    allowed = theirs - universe.gate.tail_tolerance * abs(theirs)
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
