"""The plan of `lem prune`, and carrying it out.

Each removal is of something that nothing needs, so the command may be killed at any moment and started again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import dagster as dg

from lem.errors import LemError
from lem.lake import Lake
from lem.lineage.stages import REPORT, STAGES, delay
from lem.lineage.stored_report import INDEX
from lem.lineage.tables import dates_in
from lem.registry import Registry
from lem.universe import Universe
from lem_pipeline.pruning.history import Gone, history_kinds, space
from lem_pipeline.pruning.kinds import Age, Kind
from lem_pipeline.pruning.lake import lake_kinds, old_reports
from resources.dagster_internals import queue_is_served
from resources.locks import TakenError, take_for_life
from resources.processes import this_process

_IN_PROGRESS = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


class PruneError(LemError):
    """Nothing may be removed in this state, or by these settings."""


def plan(
    lake: Lake, registry: Registry, universes: Mapping[str, Universe], instance: dg.DagsterInstance, age: Age
) -> list[Kind]:
    """What there is of each kind, and what of it can go.

    Args:
        lake: with the objects.
        registry: says which of them are needed.
        universes: by name; what else the lake has is left alone.
        instance: with Dagster's history.
        age: how old a thing must be to go.

    Raises:
        PruneError: more days must be kept.
        LakeError: the lake cannot be read.
        RegistryError: the registry cannot be read.
    """
    there = [name for name in lake.names("") if not name.startswith(".") and name != INDEX]
    known = [universe for name, universe in universes.items() if name in there]
    for universe in known:
        if age.keep_days < (least := least_days(universe)):
            raise PruneError(
                f"keep {age.keep_days} days: {universe.name} needs {least}, since its automation makes what is missing "
                f"of the last {universe.night.catch_up_days} days ([night] catch_up_days); allowed: {least} or more"
            )
    kinds = [kind for one in known for kind in lake_kinds(lake, registry, one, age)]
    kinds += history_kinds(instance, age, _gone(lake, known, age))
    kinds.append(space(instance))
    if others := [name for name in there if name not in universes]:
        kinds[-1].notes.append(
            f"left alone in the lake, as no universe file has that name: {', '.join(others)} (setting LEM_UNIVERSES)"
        )
    return kinds


def carry_out(kinds: Iterable[Kind], instance: dg.DagsterInstance, lock: Path) -> None:
    """Remove what can go, while nothing else works on the home.

    Args:
        kinds: as planned a moment ago.
        instance: whose runs are in progress.
        lock: a file that this process takes, as only one may remove things.

    Raises:
        PruneError: a run is in progress, or another process prunes.
        LakeError: an object cannot be removed; those before it are gone.
        HistoryError: a database cannot be made smaller.
    """
    try:
        taken = take_for_life(lock, this_process())
    except TakenError as error:
        raise PruneError(f"another process prunes this home ({error}); wait for its end") from None
    try:
        for kind in kinds:
            refuse_beside_runs(instance)
            if kind.removable:
                kind.before()
            for one in kind.removable:
                one.remove()
        for one in space(instance).removable:  # with what the removals above have freed
            one.remove()
    finally:
        os.close(taken)


def refuse_beside_runs(instance: dg.DagsterInstance) -> None:
    """Refuse to remove anything while a run is in progress, or about to be.

    Raises:
        PruneError: there is one; the message says what to do.
    """
    queue = [dg.DagsterRunStatus.QUEUED] if queue_is_served(instance) else []
    if runs := instance.get_runs(dg.RunsFilter(statuses=[*_IN_PROGRESS, *queue])):
        named = ", ".join(f"{run.run_id} ({run.status.value})" for run in runs[:3])
        raise PruneError(
            f"{len(runs)} run(s) in progress: {named}; nothing is removed beside them: wait for their end, or where "
            "nothing works on them any more, clear them with: lem reap --yes"
        )


def least_days(universe: Universe) -> int:
    """The fewest days that can be kept: what is younger the automation would make again."""
    behind = max(delay(universe, stage) for stage in STAGES)
    return universe.night.catch_up_days + math.ceil(behind * 7 / 5) + 3


def _gone(lake: Lake, universes: Iterable[Universe], age: Age) -> Gone:
    """Which partitions are removed, or were by a command that was killed before it came to their runs."""
    stay = {
        dg.AssetKey([universe.name, REPORT]): {
            str(date)
            for date in set(dates_in(lake, f"{universe.name}/{REPORT}")) - set(old_reports(lake, universe, age))
        }
        for universe in universes
    }
    return lambda key, partition: key in stay and partition not in stay[key]
