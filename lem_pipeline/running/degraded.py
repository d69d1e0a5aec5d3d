"""When a night goes on without a model that was due: the rule of runs in one process and of runs on workers."""

from __future__ import annotations

from lem.lineage.stages import MODEL
from lem.registry import Registry
from lem.universe import Universe
from lem_pipeline.planning.steps import Step
from lem_pipeline.running.launch import FailedCheck

TRAINING = (MODEL,)
"""Tables of a step that trains a model."""


def without_model(registry: Registry, universe: Universe, step: Step, why: str) -> FailedCheck | None:
    """What is said of a failed step without which the night goes on; None where the night cannot go on.

    It goes on where the step should have trained a model, and the last decision before that date left a champion. So
    ask once the decisions of the dates before are made.
    """
    if step.tables != TRAINING or registry.champion_before(universe.name, step.first.date) is None:
        return None
    return FailedCheck(f"no model for {step.first}: {why}", warning=False)
