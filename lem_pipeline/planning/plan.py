"""What a date's report needs, as runs in the order of the stages; what is in the lake already is left out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lem.lake import Lake
from lem.lineage.keys import PartitionKey
from lem.lineage.reads import Reads
from lem.lineage.stages import DECISION, MODEL, REPORT, Stage, data_tables, judged_tables
from lem.lineage.staleness import model_is_stale, report_is_stale
from lem.lineage.state import traders
from lem.lineage.tables import missing_partitions
from lem.lineage.versions import Versioned, assets_of
from lem.registry import Registry
from lem.universe import Universe
from lem.universe.calendars import offset_partition, partition_dates
from lem.universe.windows import dates_before, training_window
from lem_pipeline.planning.absent import to_fetch
from lem_pipeline.planning.dates import Dates, data_dates
from lem_pipeline.planning.steps import Step, asset_steps, span_steps, step_on


@dataclass
class _Plan:
    """A plan as it grows, stage after stage.

    Args:
        lake: what is there.
        registry: who trades.
        universe: whose plan it is.
        force: make everything again, whatever is there.
        versioned: the versions of what is there.
        made: dates of each stage that the plan makes.
        steps: the runs that do.
    """

    lake: Lake
    registry: Registry | None
    universe: Universe
    force: bool
    versioned: Versioned
    made: dict[str, set[dt.date]]
    steps: list[Step]

    def touched(self, stage: Stage, dates: Sequence[dt.date]) -> set[dt.date]:
        """Those of the dates that read a partition which the plan makes."""
        found = set[dt.date]()
        for read in stage.reads:
            if made := self.made.get(read.stage, set()):
                found |= {date for date in dates if not made.isdisjoint(read.dates(self.universe, date))}
        return found

    def wanting(self, stage: Stage, dates: Sequence[dt.date]) -> set[dt.date]:
        """Those of the dates whose partitions are absent, out of date, or read one that the plan makes."""
        if self.force:
            return set(dates)
        absent = missing_partitions(self.lake, self.universe, stage.name, dates, assets_of(self.universe, stage))
        more = traders(self.registry, self.universe, stage, dates) if self.registry else {}
        stale = self.versioned.stale(stage.name, dates, more)
        return {key.date for key in absent} | set(stale) | self.touched(stage, dates)

    def add_data(self, wanted: Mapping[str, list[dt.date]]) -> None:
        """The runs of the tables that no decision goes into."""
        shared: dict[str, set[dt.date]] = {}
        for stage in data_tables():
            dates = wanted[stage.name]
            if stage.reads:
                self.made[stage.name] = self.wanting(stage, dates) if dates else set()
                rest = self.made[stage.name] - shared.get(stage.name, set())
                self.steps += span_steps(self.universe, (stage.name,), dates, rest)
            else:
                follower = _follower(stage)
                shared[follower or stage.name] = self._add_fetches(stage, dates, follower)

    def _add_fetches(self, stage: Stage, dates: list[dt.date], follower: str | None) -> set[dt.date]:
        """The runs that ask a source. Those of all assets make the `follower` too; returns the dates of these."""
        if self.force:
            fetched = {symbol: set(dates) for symbol in self.universe.symbols}
        else:
            fetched = to_fetch(self.lake, self.versioned, self.universe, stage, dates)
        self.made[stage.name] = set().union(*fetched.values())
        together = set.intersection(*fetched.values())
        apart = {symbol: days - together for symbol, days in fetched.items()}
        self.steps += asset_steps(self.universe, (stage.name,), dates, apart)
        tables = (stage.name, follower) if follower else (stage.name,)
        self.steps += span_steps(self.universe, tables, dates, together)
        return together

    def add_decisions(self, dates: Dates) -> None:
        """The runs that train and decide, in date order.

        What was decided stands, and so does its model: a date up to the last decided one is left alone, unless it is
        said to be decided again.
        """
        universe, registry, panels = self.universe, self.registry, self.made.get("panel", set())
        assert registry is not None
        last = max((decision.date for decision in registry.promotions(universe.name)), default=None)
        judged = self.made.setdefault(DECISION, set())
        for date in dates.decisions:
            if last and date <= last and not dates.redecide:
                continue
            candidate = registry.candidate(universe.name, date)
            if date in dates.training and (
                self.force
                or candidate is None
                or not panels.isdisjoint(_trained_on(universe, date))
                or model_is_stale(self.versioned, universe, candidate)
            ):
                self.made.setdefault(MODEL, set()).add(date)
                self.steps.append(step_on(MODEL, date))
            self._add_decision(date, again=dates.redecide)
            judged.add(date)

    def _add_decision(self, date: dt.date, again: bool) -> None:
        """A run of its own, or one more date of the run before it."""
        last, judged = self.steps[-1] if self.steps else None, self.made[DECISION]
        next_ = offset_partition(self.universe, max(judged), 1) if judged else None
        if last and last.tables == (DECISION,) and date == next_:
            self.steps[-1] = replace(last, last=PartitionKey.of(date))
        else:
            self.steps.append(step_on(DECISION, date, again))

    def add_outdated(self, dates: Sequence[dt.date]) -> None:
        """The runs that make again those partitions of the tables that a decision goes into that are out of date."""
        assert self.registry is not None
        for stage in judged_tables():
            stale = self.versioned.stale(stage.name, dates, traders(self.registry, self.universe, stage, dates))
            self.steps += span_steps(self.universe, (stage.name,), dates, set(stale))

    def add_judged(self, dates: Sequence[dt.date]) -> None:
        """The runs of the tables that a decision goes into."""
        for stage in judged_tables():
            self.made[stage.name] = self.wanting(stage, dates)
            self.steps += span_steps(self.universe, (stage.name,), dates, self.made[stage.name])


def _trained_on(universe: Universe, date: dt.date) -> list[dt.date]:
    window = training_window(universe, date)
    return dates_before(universe, window.start, window.train_end)


def _follower(stage: Stage) -> str | None:
    """The first table that is made of one partition of this one and of nothing else: one run makes both."""
    alike = (other for other in data_tables() if other.reads == (Reads(stage.name),) and other.grain is stage.grain)
    return next((other.name for other in alike), None)


def data_steps(lake: Lake, universe: Universe, wanted: Mapping[str, list[dt.date]], force: bool) -> list[Step]:
    """The runs that make these dates of the tables that no decision goes into, and what is made from them.

    Args:
        lake: what is there.
        universe: whose tables they are.
        wanted: dates by table (`lem_pipeline.planning.dates.data_dates`).
        force: make all of them again.
    """
    plan = _Plan(lake, None, universe, force, Versioned(lake, universe), {}, [])
    plan.add_data(wanted)
    return plan.steps


def backfill_steps(
    lake: Lake, registry: Registry, universe: Universe, first: dt.date, last: dt.date, force: bool
) -> list[Step]:
    """The runs that make the data from `first` to `last`, and again what is out of date there of `judged_tables`.

    A backfill trains no model and makes no decision.
    """
    plan = _Plan(lake, registry, universe, force, Versioned(lake, universe), {}, [])
    plan.add_data(data_dates(universe, first, last))
    plan.add_outdated(partition_dates(universe, first, last))
    return plan.steps


def judged_again_steps(lake: Lake, registry: Registry, universe: Universe, dates: Sequence[dt.date]) -> list[Step]:
    """The runs that make again what is out of date of `judged_tables`, of dates whose data has been made."""
    plan = _Plan(lake, registry, universe, False, Versioned(lake, universe), {}, [])
    plan.add_outdated(dates)
    return plan.steps


def report_steps(lake: Lake, registry: Registry, universe: Universe, dates: Dates, force: bool) -> list[Step]:
    """The runs that make a report: data, then models and decisions in date order, then what follows, then the page."""
    plan = _Plan(lake, registry, universe, force, Versioned(lake, universe), {}, [])
    plan.add_data(dates.data)
    plan.add_decisions(dates)
    plan.add_judged(dates.orders)
    if plan.steps or report_is_stale(lake, plan.versioned, universe, dates.report):
        plan.steps += [step_on(REPORT, date) for date in sorted({*dates.reports, dates.report})]
    return plan.steps
