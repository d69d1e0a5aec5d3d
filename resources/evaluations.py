"""What is stored of the evaluations of automation conditions, by what Dagster does not call public."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from resources.dagster_internals import SinceCondition, copy, serialize_value

if TYPE_CHECKING:
    from resources.dagster_internals import AutomationConditionEvaluation, SensorExecutionData


def storing(tick: SensorExecutionData, keep: Callable[[AutomationConditionEvaluation], bool]) -> SensorExecutionData:
    """A tick that stores these of its evaluations alone, without the operands of an operand that found nothing.

    Dagster stores all operands of all evaluations in which anything has changed. A setting would replace this.
    """
    kept = [_told(evaluation) for evaluation in tick.automation_condition_evaluations if keep(evaluation)]
    return copy(tick, automation_condition_evaluations=kept)


def asks(evaluation: AutomationConditionEvaluation) -> bool:
    """Whether an evaluation asks for a partition."""
    return not evaluation.true_subset.is_empty


def lasting(evaluation: AutomationConditionEvaluation) -> str:
    """What an evaluation found, as text, without times and without the moments that a `since` remembers by itself."""
    return serialize_value(_lasting(evaluation))


def _told(evaluation: AutomationConditionEvaluation) -> AutomationConditionEvaluation:
    operands = [_told(operand) for operand in evaluation.child_evaluations]
    nothing = all(operand.true_subset.is_empty and not operand.child_evaluations for operand in operands)
    return dataclasses.replace(evaluation, child_evaluations=[] if nothing else operands)


def _lasting(evaluation: AutomationConditionEvaluation) -> AutomationConditionEvaluation:
    moments = evaluation.condition_snapshot.class_name == SinceCondition.__name__
    operands = [] if moments else [_lasting(operand) for operand in evaluation.child_evaluations]
    return dataclasses.replace(
        evaluation, child_evaluations=operands, start_timestamp=None, end_timestamp=None, metadata=None
    )
