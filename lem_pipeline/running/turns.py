"""Taking turns with the runs of others on one Dagster instance: the automation, the UI, other commands.

A command executes its runs in its own process, past Dagster's queue. So it looks by itself who else makes the same
partitions or holds the pool of trainings, waits for them, and leaves out what they have made in the meantime. The queue
counts the command's runs in turn, and the automation asks for nothing that a run has in hand.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import dagster as dg

from assets.run_names import TRAINING_POOL
from lem.lineage.keys import PartitionKey
from lem.lineage.stages import MODEL, below
from lem.universe import Universe
from lem.universe.calendars import partition_dates
from lem_pipeline.planning.steps import TABLES_TAG, Step, asset_steps, span_steps, symbols_of
from lem_pipeline.running.launch import RUN_PROCESS
from resources.dagster_internals import partitions_named, pool_limit, pools_of, queue_is_served
from resources.processes import is_running, this_process
from resources.stores import PROCESS_TAG
from resources.terminal import console

POLL_S = 1.0
_ACTIVE = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]

Made = set[tuple[str, PartitionKey]]
"""Tables and keys."""


@dataclass
class Turns:
    """The turns of a command that carries out a plan.

    Args:
        instance: keeps the runs.
        universe: whose plan it is.
        keep: whether what others have made in the meantime is left alone.
        begun: when the plan was made (seconds since 1970).
        ended: when this command has last made each table.
    """

    instance: dg.DagsterInstance
    universe: Universe
    keep: bool = True
    begun: float = field(default_factory=time.time)
    ended: dict[str, float] = field(default_factory=dict)

    def wait(self, step: Step) -> list[Step]:
        """Wait for a step's turn; returns what is left of it to be made."""
        told = ""
        while holder := self._holder(step):
            if holder != told:
                console.print(f"  waiting: {holder}")
                told = holder
            time.sleep(POLL_S)
        left = [step] if step.again or not self.keep else self._left(step)
        if left != [step]:
            console.print(f"  {'the rest' if left else 'all of it'} was made by others in the meantime")
        return left

    def done(self, step: Step) -> None:
        """A step has been made by this command."""
        self.ended |= dict.fromkeys(step.tables, time.time())

    def _holder(self, step: Step) -> str:
        """Which run must end first, in words; empty if it is the step's turn."""
        wanted, training = _partitions(self.universe, step), list[str]()
        for run in self._unfinished():
            if not wanted.isdisjoint(self._makes(run)):
                return f"run {run.run_id} ({run.status.value.lower()}) makes some of it"
            if run.status in _ACTIVE and TRAINING_POOL in pools_of(run):
                training.append(run.run_id)
        limit = pool_limit(self.instance, TRAINING_POOL) if MODEL in step.tables else None
        if limit is not None and len(training) >= limit:
            return f"run {training[0]} trains, and {limit} at a time may (pool {TRAINING_POOL})"
        return ""

    def _unfinished(self) -> Iterator[dg.DagsterRun]:
        """Runs of others that make, or will make, something; those of killed processes are left out."""
        queue = [dg.DagsterRunStatus.QUEUED] if queue_is_served(self.instance) else []
        for run in self.instance.get_runs(dg.RunsFilter(statuses=[*_ACTIVE, *queue])):
            process = run.tags.get(RUN_PROCESS) or run.tags.get(PROCESS_TAG) or ""
            if process != this_process() and is_running(process) is not False:
                yield run

    def _left(self, step: Step) -> list[Step]:
        """The step without what others have made from what is there now."""
        above = [when for table, when in self.ended.items() if any(s.name in step.tables for s in below(table))]
        since, made = max([self.begun, *above]), Made()
        for record in self.instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]), limit=200):
            mine = record.dagster_run.tags.get(RUN_PROCESS) == this_process()
            if not mine and record.start_time and record.start_time >= since:
                made |= self._makes(record.dagster_run)
        wanted = _partitions(self.universe, step)
        left = {key for key in {key for _, key in wanted} if not {(table, key) for table in step.tables} <= made}
        if len(left) * len(step.tables) == len(wanted):
            return [step]
        dates = partition_dates(self.universe, step.first.date, step.last.date)
        if step.first.asset is None:
            return span_steps(self.universe, step.tables, dates, {key.date for key in left})
        by_asset = {symbol: {key.date for key in left if key.asset == symbol} for symbol in self.universe.symbols}
        return asset_steps(self.universe, step.tables, dates, by_asset)

    def _makes(self, run: dg.DagsterRun) -> Made:
        """The partitions of this universe that a run makes."""
        selected = {key.path[-1] for key in run.asset_selection or () if key.path[0] == self.universe.name}
        if not selected and run.tags.get("lem/universe") == self.universe.name:
            selected = set(json.loads(run.tags.get(TABLES_TAG, "[]")))
        named = partitions_named(run)
        if not selected or named is None:
            return set()
        first, last = map(PartitionKey.parse, named)
        return _partitions(self.universe, Step(tuple(selected), first, last))


def _partitions(universe: Universe, step: Step) -> Made:
    dates = partition_dates(universe, step.first.date, step.last.date)
    keys = [PartitionKey(symbol, date) for symbol in symbols_of(universe, step) for date in dates]
    return {(table, key) for table in step.tables for key in keys}
