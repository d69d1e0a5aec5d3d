"""The champion of a date: run the gate on what the registry and the lake hold, and record its decision."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from lem.data.panel import Panel
from lem.gate.judge import Verdict, judge
from lem.lake import Lake, inputs_version
from lem.lineage.keys import name_missing
from lem.lineage.stages import DECISION, stage_named
from lem.lineage.tables import missing_partitions, read_range
from lem.lineage.versions import named
from lem.model.contender import load_contender
from lem.registry import ModelRecord, PromotionRecord, Registry
from lem.universe import Universe
from lem.universe.windows import dates_before, gate_dates, is_training_date, training_window


def decide_champion(
    lake: Lake, registry: Registry, universe: Universe, date: dt.date, again: bool = False
) -> PromotionRecord | None:
    """Decide which model trades on `date` and record it. What was decided stands.

    A date that was decided keeps its decision. A date before the last decided one gets none: the decisions after it
    were made without it, and no longer would follow from those before them. The champion before is that of the last
    decision with an earlier date.

    Args:
        lake: with the panels and the weights.
        registry: of the models and decisions.
        universe: for which the decision is.
        date: UTC.
        again: decide whatever was decided, and replace the record; then all later dates must be decided again too. A
            decision that was made by hand stands here too.

    Returns:
        The decision that stands for the date; None where there is none, and later dates are decided.

    Raises:
        LakeError: the gate's window is incomplete, or a model's weights cannot be read or were changed.
        RegistryError: the champion before was replaced by hand while the gate judged.
    """
    standing = registry.promotion(universe.name, date)
    if standing is not None and (standing.by_hand or not again):
        return standing
    if not again and any(decision.date > date for decision in registry.promotions(universe.name)):
        return None
    candidate, before = registry.candidate(universe.name, date), registry.champion_before(universe.name, date)
    panel_version = None
    if candidate is None:
        verdict = _without_candidate(lake, universe, date, before)
    else:
        gate_start = training_window(universe, date).gate_start
        table, inputs = read_range(lake, universe, "panel", gate_dates(universe, date))
        panel_version = inputs_version(named(inputs))
        verdict = judge(
            Panel.from_table(table),
            universe,
            gate_start,
            replace(load_contender(lake, candidate), holes=holes(candidate, universe)),
            load_contender(lake, before) if before else None,
        )
    degraded = "" if verdict.sound else _degraded(verdict, candidate, before)
    previous = before.id if before else None
    decision = PromotionRecord(
        universe=universe.name,
        date=date,
        champion_id=candidate.id if candidate and verdict.decision == "promoted" else previous,
        candidate_id=candidate.id if candidate else None,
        previous_id=previous,
        decision=verdict.decision,
        reasons=verdict.reasons,
        figures=replace(
            verdict.figures, panel_version=panel_version, degraded=degraded, stage_version=stage_named(DECISION).version
        ),
    )
    standing = registry.record_promotion(decision)
    if candidate and verdict.figures.gate:
        registry.set_gate_gains(candidate.id, verdict.figures.gate.mean_bps)
    return standing


def holes(record: ModelRecord, universe: Universe) -> tuple[dt.date, ...]:
    """Partition dates of a model's training window that its manifest does not name as inputs."""
    read = {one.partition_key for one in record.inputs if one.table_name == "panel"}
    dates = dates_before(universe, record.train_start, record.train_end)
    return tuple(date for date in dates if str(date) not in read)


def _without_candidate(lake: Lake, universe: Universe, date: dt.date, before: ModelRecord | None) -> Verdict:
    """No model was due, or one was and none came: why, as far as the lake can tell."""
    if not is_training_date(universe, date):
        text = f"no model is due on this date: one is trained every {universe.training.retrain_every} partitions"
        return Verdict("kept" if before else "none", [text])
    reason, window = "no model was trained for this date", training_window(universe, date)
    dates = dates_before(universe, window.start, window.train_end)
    if lost := missing_partitions(lake, universe, "panel", dates):
        reason += f": {len(lost)} of {len(dates)} partitions of its window are missing: {name_missing(lost)}"
    return Verdict("kept" if before else "none", [reason], sound=False)


def _degraded(verdict: Verdict, candidate: ModelRecord | None, before: ModelRecord | None) -> str:
    refused = f"candidate {candidate.id} was refused: {verdict.reasons[0]}" if candidate else verdict.reasons[0]
    more = f" (and {len(verdict.reasons) - 1} more reasons)" if len(verdict.reasons) > 1 else ""
    trades = (
        f"champion {before.id}, trained on days before {before.train_end}, trades on" if before else "no model trades"
    )
    return f"{refused}{more}; {trades}"
