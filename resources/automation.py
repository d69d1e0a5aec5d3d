"""The sensor that evaluates automation conditions, in a way that leaves little behind and nothing for ever."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.dagster_internals import clear_evaluations
from resources.evaluations import asks, lasting, storing

if TYPE_CHECKING:
    from resources.dagster_internals import AutomationConditionEvaluation, SensorExecutionData

KEPT_DAYS = 7
"""For how long it can be looked up why a partition was asked for, or was not."""
CLEARED_EVERY_S = 3600


class AutomationSensor(dg.AutomationConditionSensorDefinition):
    """Dagster's own, but for what it stores.

    Dagster stores each evaluation in which anything has changed, a tick of a clock too, with all of its operands: 85 kB
    an asset. It deletes none of them, and no log of a tick: 45 MB a day that say that nothing was asked for. This
    one stores evaluations that ask for something, of the others those in which something has changed that lasts, and
    the log of a tick where it warns.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._found: dict[object, str] = {}
        self._cleared: float | None = None

    def evaluate_tick(self, context: dg.SensorEvaluationContext) -> SensorExecutionData:
        """As Dagster does, called by the code location every 30 seconds."""
        if self._cleared is None or time.monotonic() - self._cleared > CLEARED_EVERY_S:
            clear_evaluations(context.instance, before=time.time() - KEPT_DAYS * 86400)
            self._cleared = time.monotonic()
        context.log.setLevel(logging.WARNING)
        tick = super().evaluate_tick(context)
        if context.log_key and not tick.log_key:  # the file was made with the first look at the log
            context.instance.compute_log_manager.delete_logs(log_key=context.log_key)
        return storing(tick, self._tells_something)

    def _tells_something(self, evaluation: AutomationConditionEvaluation) -> bool:
        before, self._found[evaluation.key] = self._found.get(evaluation.key), lasting(evaluation)
        return asks(evaluation) or self._found[evaluation.key] != before
