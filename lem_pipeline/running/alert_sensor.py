"""The sensor that tells what is wrong: in the daemon, once a minute, whoever makes the nights."""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

import datetime as dt
from functools import partial

import dagster as dg

from assets.resource_names import prefixed
from lem.alerts.store import AlertStore
from lem.errors import AlertError
from lem.universe import Universe
from lem_pipeline.running.telling import heartbeat_once, is_set, look_and_tell
from lem_pipeline.running.watch import Watched, is_expected
from resources.stores import LakeResource, RegistryResource

EVERY_S = 60


def alerts_of(universe: Universe, prefix: str = "") -> dg.Definitions:
    """The sensor of a universe: on where the settings name somebody to be told, and off elsewhere.

    Args:
        universe: what is looked at.
        prefix: of the names of its resources.
    """

    @dg.sensor(
        name=f"{universe.name}_alerts",
        minimum_interval_seconds=EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING if is_set() else dg.DefaultSensorStatus.STOPPED,
        description=(
            f"Tells what is wrong with {universe.name}, each once, and when it is over: a night that failed, was "
            "missed or was degraded, drift, a champion that is too old, a quarantined day, a disk that is nearly full. "
            "To whom: LEM_ALERT_URLS."
        ),
    )
    @partial(prefixed, prefix=prefix)
    def alerts(context: dg.SensorEvaluationContext, lake: LakeResource, registry: RegistryResource) -> dg.SkipReason:
        if not is_set():
            return dg.SkipReason("LEM_ALERT_URLS and LEM_HEARTBEAT_URL are not set")
        store, now = AlertStore(registry.location()), dt.datetime.now(dt.UTC)
        watched = Watched(universe, lake.open(), registry.open(), store, context.instance)
        expected = is_expected(watched)
        problems, unsent = look_and_tell(watched, expected, now)
        if expected is not None:
            unsent += heartbeat_once(watched, now)
        if unsent:
            raise AlertError("; ".join(unsent))
        return dg.SkipReason("; ".join(problem.sentence for problem in problems) or "nothing is wrong")

    return dg.Definitions(sensors=[alerts])
