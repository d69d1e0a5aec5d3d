"""When partitions are made by themselves: one automation condition a stage, one sensor a universe.

The night begins with a cron schedule on `raw_bars`; each stage below waits until all that it reads is there. A stage
never joins the run of the one above it: what is good goes on while what failed waits, and its repair heals all below.

- What is new: a missing partition of the last `night.catch_up_days`, once an input of it has been made.
- What was missed or has failed: tried again each night, and those of the last night every `night.retry_hours`.
- What was rewritten with another content, however old: the tables made from it are made again. So are the partitions of
  a stage whose code version was raised. Models and decisions are not: what traded, traded. `lem run --redecide` makes
  them again.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable

import dagster as dg
from dagster import AutomationCondition as When

from lem.lineage import stages
from lem.lineage.keys import PartitionKey
from lem.lineage.stages import DECISION, MODEL, Stage, data_tables, delay
from lem.universe import Universe
from lem.universe.calendars import offset_partition
from lem.universe.windows import is_training_date, training_window
from resources.automation import AutomationSensor

Predicate = Callable[[Universe, dt.date, dt.datetime], bool]


def may_decide(universe: Universe, date: dt.date, now: dt.datetime) -> bool:
    """Whether there can be a model for the date: the universe reaches over its window."""
    return training_window(universe, date).start >= universe.start


def may_train(universe: Universe, date: dt.date, now: dt.datetime) -> bool:
    """Whether a model is trained for the date."""
    return is_training_date(universe, date) and may_decide(universe, date, now)


def decides_first(universe: Universe, date: dt.date, now: dt.datetime) -> bool:
    """Whether the decision of the date is the universe's first."""
    return not may_decide(universe, offset_partition(universe, date, -1), now)


class OnDates(When):
    """True for the partitions whose date keeps a rule of the universe.

    Args:
        universe: whose rule it is.
        rule: of (universe, date, time of the tick).
    """

    def __init__(self, universe: Universe, rule: Predicate) -> None:
        self._universe, self._rule = universe, rule

    @property
    def name(self) -> str:
        """As the UI shows it."""
        return self._rule.__name__

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """The partitions of the candidates that keep the rule."""
        now, by_date = context.evaluation_time, dict[dt.date, set[str]]()
        for key in context.candidate_subset.expensively_compute_partition_keys():
            by_date.setdefault(PartitionKey.parse(key).date, set()).add(key)
        # Once a date, not once an asset and date.
        kept = [keys for date, keys in by_date.items() if self._rule(self._universe, date, now)]
        keys = set().union(*kept)
        return dg.AutomationResult(context, context.candidate_subset.compute_intersection_with_partition_keys(keys))


class Called(When):
    """A condition under a name of its own.

    Dagster remembers what a `since` has seen under the names of its own operands, not of those further down. So two
    `since` whose operands are `AND`s would share one memory.

    Args:
        text: the name.
        operand: the condition.
    """

    def __init__(self, text: str, operand: dg.AutomationCondition) -> None:
        self._text, self._operand = text, operand

    @property
    def name(self) -> str:
        """As the UI shows it, and as Dagster remembers it."""
        return self._text

    @property
    def children(self) -> list[dg.AutomationCondition]:
        """The condition that is named."""
        return [self._operand]

    async def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:  # type: ignore[override]
        """As the operand."""
        candidates = context.candidate_subset
        inner = context.for_child_condition(self._operand, child_indices=[0], candidate_subset=candidates)
        result = await inner.evaluate_async()
        timing = result.timing_metadata
        return dg.AutomationResult(context, result.true_subset, child_results=[result], timing_metadata=timing)


def _calendar_days(universe: Universe, partitions: int) -> int:
    """Calendar days that surely hold this many partitions."""
    return partitions if universe.calendar == "24/7" else math.ceil(partitions * 7 / 5) + 2


def _last(days: int) -> dg.AutomationCondition:
    return When.in_latest_time_window(dt.timedelta(days=days)).with_label(f"of the last {days} days")


def conditions(universe: Universe) -> dict[str, dg.AutomationCondition]:
    """The condition of each stage, by table.

    In each, the part that leaves few partitions stands first, as Dagster evaluates the rest for these alone. A list of
    all partitions takes Dagster seconds.
    """
    night = universe.night_begins
    behind = _calendar_days(universe, max(delay(universe, stage) for stage in stages.STAGES))
    nightfall = When.cron_tick_passed(night.cron, night.time_zone)
    hour = When.cron_tick_passed(night.retry_cron, night.time_zone)
    updated = Called("an input was made", When.any_deps_match(When.newly_updated())).since_last_handled()
    changed = Called("an input has changed", When.any_deps_match(When.data_version_changed())).since_last_handled()
    rewritten = Called("its code has changed", When.code_version_changed()).since_last_handled()
    bad = When.missing() | When.execution_failed()
    idle, all_there = ~When.in_progress(), ~When.any_deps_match(When.missing())
    # What is asked for again together with its input would be made from it in one run, fail with it, and then be asked
    # for once more because the input has come.
    settled = ~When.any_deps_in_progress() & ~When.any_deps_match(When.will_be_requested())

    def due(days: int, wanted: dg.AutomationCondition) -> dg.AutomationCondition:
        """What is wanted of the last `catch_up_days` when the night begins, and of the last `days` with each retry."""
        begun = (_last(universe.night.catch_up_days + days) & nightfall) | (_last(days) & hour)
        return Called("the night or another try", begun).since_last_handled() & wanted

    def below(
        days: int, *guards: dg.AutomationCondition, cascades: bool = True, ready: dg.AutomationCondition = all_there
    ) -> dg.AutomationCondition:
        """What is new, missed or failed; and what is made from a partition that has another content now."""
        new = updated & _last(universe.night.catch_up_days + days) & When.missing()
        wanted = new.with_label("new") | due(days, bad if cascades else When.missing())
        for guard in guards:
            wanted &= guard
        if cascades:
            wanted |= (changed & ~When.missing()).with_label("made from what was rewritten")
            wanted |= (rewritten & ~When.missing()).with_label("made by earlier code")
        return wanted & ready & settled & idle

    def key(table: str) -> dg.AssetKey:
        return dg.AssetKey([universe.name, table])

    # Bars that were refused came too early or wrong: ask the source once more.
    refused = When.asset_matches(key("bars"), When.execution_failed()).with_label("its bars were refused")
    raw = due(1, bad | refused)
    if days := universe.source.capabilities.revisit_days:
        raw |= Called("the source may have revised it", _last(days) & nightfall).since_last_handled()
    raw |= (rewritten & ~When.missing()).with_label("made by earlier code")

    # Where no model is trained for a date, its decision waits for none: the champion stays.
    model, before = dg.AssetSelection.assets(key("lem_model")), dg.AssetSelection.assets(key("champion"))
    judged = ~When.any_deps_match(When.missing()).ignore(model | before)
    judged &= ~When.any_deps_match(When.missing()).allow(model) | ~OnDates(universe, may_train)
    judged &= ~When.any_deps_match(When.missing()).allow(before) | OnDates(universe, decides_first)

    def condition(stage: Stage) -> dg.AutomationCondition:
        if stage.name == MODEL:
            return below(behind + 1, OnDates(universe, may_train), cascades=False)
        if stage.name == DECISION:
            return below(behind + 1, OnDates(universe, may_decide), cascades=False, ready=judged)
        if not stage.reads:
            return raw & idle
        if stage in data:
            return below(1)
        return below(behind + 1)

    data = data_tables()
    return {stage.name: condition(stage) for stage in stages.STAGES}


def with_automation(universe: Universe, graph: dg.Definitions) -> dg.Definitions:
    """The graph with the condition of each stage, and the sensor that evaluates them."""
    chosen = conditions(universe)
    conditioned = graph.map_asset_specs(
        func=lambda spec: spec.replace_attributes(automation_condition=chosen[spec.key.path[-1]])
    )
    return dg.Definitions.merge(conditioned, dg.Definitions(sensors=[automation_of(universe)]))


def automation_of(universe: Universe) -> dg.AutomationConditionSensorDefinition:
    """The sensor of a universe: off until it is turned on, unless the universe file says `night.enabled = true`.

    A checkout that is only looked at shall neither ask venues nor train.
    """
    night = universe.night_begins
    return AutomationSensor(
        name=f"{universe.name}_automation",
        target=dg.AssetSelection.groups(universe.name),
        description=(
            f"The night of {universe.name}, partition by partition: raw bars at `{night.cron}` ({night.time_zone}), "
            "each stage below as soon as all that it reads is there. A failed partition holds up only what needs it, "
            "and its repair heals the rest. Turn on this or the schedule, not both."
        ),
        default_status=dg.DefaultSensorStatus.RUNNING if universe.night.enabled else dg.DefaultSensorStatus.STOPPED,
        minimum_interval_seconds=30,
        run_tags={"lem/universe": universe.name, "lem/night": "automation"},
        use_user_code_server=True,  # conditions that know the universe are evaluated where its code is
    )
