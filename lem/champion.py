"""The champion of a date: run the gate on what the registry and the lake hold, and record its decision."""

from __future__ import annotations

import datetime as dt

from lem.gate import Verdict, judge
from lem.lake import Lake, inputs_version
from lem.panel import Panel
from lem.registry import PromotionRecord, Registry
from lem.revisions import named
from lem.tables import read_range
from lem.training.nightly import load_contender
from lem.universe import Universe
from lem.windows import gate_dates, training_window


def decide_champion(lake: Lake, registry: Registry, universe: Universe, date: dt.date) -> PromotionRecord:
    """Decide which model trades on `date` and record it; deciding a date again replaces its record.

    The champion before is the one of the last decision with an earlier date, whatever was decided after `date`. A
    decision that was made by hand for `date` stands, and is returned.

    Raises:
        LakeError: the gate's window is incomplete, or a model's weights cannot be read or were changed.
        RegistryError: the champion before was replaced by hand while the gate judged.
    """
    standing = registry.promotion(universe.name, date)
    if standing is not None and standing.by_hand:
        return standing
    candidate, before = registry.candidate(universe.name, date), registry.champion_before(universe.name, date)
    made_from: dict[str, str] = {}
    if candidate is None:
        verdict: Verdict = Verdict("kept" if before else "none", ["no model was trained for this date"], {})
    else:
        gate_start = training_window(universe, date).gate_start
        table, inputs = read_range(lake, universe, "panel", gate_dates(universe, date))
        made_from = {"panel_version": inputs_version(named(inputs))}
        verdict = judge(
            Panel.from_table(table),
            universe,
            gate_start,
            load_contender(lake, candidate),
            load_contender(lake, before) if before else None,
        )
    previous = before.id if before else None
    decision = PromotionRecord(
        universe=universe.name,
        date=date,
        champion_id=candidate.id if candidate and verdict.decision == "promoted" else previous,
        candidate_id=candidate.id if candidate else None,
        previous_id=previous,
        decision=verdict.decision,
        reasons=verdict.reasons,
        figures=verdict.figures | made_from,
    )
    standing = registry.record_promotion(decision)
    if candidate and "mean_bps" in verdict.figures:
        means = {f"mean_bps_{name}": value for name, value in verdict.figures["mean_bps"].items()}
        registry.set_metrics(candidate.id, "gate", means)
    return standing
