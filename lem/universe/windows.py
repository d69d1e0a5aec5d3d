"""Which partitions a stage reads: all the date arithmetic of the pipeline, in one place.

As-of rule: a partition dated d uses nothing that closed after the start of d. Offsets count partitions (days, or
weekdays on an equity calendar, holidays included), so windows that must hold a number of sessions carry a margin for
holidays.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

from lem.universe.calendars import offset_partition, partition_dates
from lem.universe.session_bars import weekdays_that_hold
from lem.universe.universe import Universe

_HOLIDAY_SHARE, _HOLIDAY_MARGIN = 1.05, 3
"""US exchanges close on 9 or 10 of 261 weekdays, at most three of them within any three weeks."""


def _days_for(universe: Universe, bars: int) -> int:
    """Number of partitions that hold `bars` bars in any case."""
    if universe.calendar == "24/7":
        return math.ceil(bars / universe.bars_per_day)
    if universe.in_sessions:
        return weekdays_that_hold(universe.calendar, universe.bar_length, bars, universe.start)
    return math.ceil(bars * _HOLIDAY_SHARE) + _HOLIDAY_MARGIN


def feature_history_days(universe: Universe) -> int:
    """Number of partitions of bars before d that `features[d]` reads."""
    return _days_for(universe, universe.features.history(universe.bars_per_day))


def warmup_days(universe: Universe) -> int:
    """Number of partitions of features before d that the context of an order arriving on d needs."""
    return _days_for(universe, universe.model.warmup + 1)


def forward_days(universe: Universe) -> int:
    """Number of partitions after d in which an order that arrives on d may still trade."""
    return _days_for(universe, universe.horizon)


@dataclass(frozen=True)
class TrainingWindow:
    """Partition dates of one model.

    Args:
        start: first date that it is trained on.
        train_end: first date after training; from here to `gate_start` lies the purge, one horizon long, so that no
            order is in both training and judgement.
        gate_start: first date that the gate judges it on.
        end: first date after those; the model's own date.
    """

    start: dt.date
    train_end: dt.date
    gate_start: dt.date
    end: dt.date


def training_window(universe: Universe, date: dt.date) -> TrainingWindow:
    """The window of the model that may trade on `date`."""
    training = universe.training
    return TrainingWindow(
        start=offset_partition(universe, date, -training.window_days),
        train_end=offset_partition(universe, date, -training.holdout_days - universe.purge_days),
        gate_start=offset_partition(universe, date, -training.holdout_days),
        end=date,
    )


def dates_before(universe: Universe, start: dt.date, end: dt.date) -> list[dt.date]:
    """Partition dates in [start, end), without those before the universe's start."""
    return [d for d in partition_dates(universe, max(start, universe.start), end) if d < end]


def history_dates(universe: Universe, date: dt.date) -> list[dt.date]:
    """Partition dates of the bars before `date` that its features read."""
    return dates_before(universe, offset_partition(universe, date, -feature_history_days(universe)), date)


def execution_dates(universe: Universe, date: dt.date) -> list[dt.date]:
    """Partition dates of features that the backtest of `date` reads: the warm-up before and the horizon after it."""
    start = max(offset_partition(universe, date, -warmup_days(universe)), universe.start)
    return partition_dates(universe, start, offset_partition(universe, date, forward_days(universe)))


def gate_days(universe: Universe) -> int:
    """Partitions of panels before d that the decision of d reads: the gate's days and the warm-up before them."""
    return universe.training.holdout_days + warmup_days(universe)


def gate_dates(universe: Universe, date: dt.date) -> list[dt.date]:
    """Partition dates of the panels that the decision of `date` reads."""
    return dates_before(universe, offset_partition(universe, date, -gate_days(universe)), date)


def is_training_date(universe: Universe, date: dt.date) -> bool:
    """Whether a model is trained for `date`: every `training.retrain_every`-th partition since the universe's start."""
    return (len(partition_dates(universe, universe.start, date)) - 1) % universe.training.retrain_every == 0
