"""Decisions by hand: promote any model, or roll back to the champion before, each with its reason.

They are decisions like the gate's, and the gate does not replace them: it judges the next night's candidate against the
model that was promoted by hand.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import pairwise

import torch

from lem.errors import RegistryError
from lem.lake import Lake
from lem.model.contender import load_contender
from lem.registry import ModelRecord, PromotionRecord, Registry
from lem.registry.decision_figures import DecisionFigures, Rollback
from lem.registry.records import check_date, utc_now
from lem.universe import Universe
from lem.universe.calendars import partition_dates


def promote(
    lake: Lake, registry: Registry, universe: Universe, model_id: str, reason: str, date: dt.date | None = None
) -> PromotionRecord:
    """Make a model the champion of `date`, and of the dates after it until the gate or somebody decides otherwise.

    Args:
        lake: that holds the weights.
        registry: where the decision is recorded.
        universe: of the model.
        model_id: the id, or its first characters.
        reason: why, in words.
        date: at most tomorrow (UTC); if left out, the date of the universe's last decision.

    Raises:
        RegistryError: there is no such model in this universe, it may not trade yet on that date or not at all, the
            reason is empty, or the date is before the last decision or too late.
        LakeError: its weights are missing or were changed.
    """
    _check_reason(reason)
    model = registry.model(model_id)
    _usable(lake, model)

    def choose(log: list[PromotionRecord]) -> PromotionRecord:
        return _by_hand(universe, log, model.id, _date(universe, log, date), f"by hand: {reason.strip()}")

    return registry.decide(universe.name, choose, f"promote model {model.id} by hand")


def rollback(
    lake: Lake, registry: Registry, universe: Universe, reason: str, date: dt.date | None = None
) -> PromotionRecord:
    """Let the champion before the present one trade again; rolling back once more goes to the one before that.

    Args:
        lake: that holds the weights.
        registry: where the decision is recorded.
        universe: whose champion is replaced.
        reason: why, in words.
        date: as in `promote`.

    Raises:
        RegistryError: there was no other champion before, the present one was replaced at the same moment, or as in
            `promote`.
        LakeError: as in `promote`.
    """
    _check_reason(reason)
    seen = _target(universe, registry.decisions(universe.name))
    _usable(lake, registry.model(seen[1]))

    def choose(log: list[PromotionRecord]) -> PromotionRecord:
        present, earlier = now = _target(universe, log)
        if now != seen:
            raise RegistryError(
                f"{universe.name}: nothing was rolled back: somebody replaced the champion {seen[0] or 'none'} by "
                f"{present or 'none'} at this very moment; look at the history and try again"
            )
        why = f"rolled back from {present or 'no model'}: {reason.strip()}"
        return _by_hand(universe, log, earlier, _date(universe, log, date), why, Rollback(taken_back=present))

    return registry.decide(universe.name, choose, f"roll back the champion of {universe.name}")


def champions(log: Sequence[PromotionRecord]) -> list[str | None]:
    """The champions up to the present one, which is the last: each traded until the next replaced it.

    Left out are models that were rolled back from, and those that the gate chose before it judged the same date again.
    None stands for dates on which no model traded.

    Args:
        log: the decisions of a universe, in the order in which they were made.
    """
    line: list[str | None] = []
    ordered = sorted(log, key=lambda decision: decision.date)
    judged_again = [
        one.date == next_.date and not one.by_hand and not next_.by_hand for one, next_ in pairwise(ordered)
    ]
    for decision, replaced in zip(ordered, [*judged_again, False], strict=False):
        if replaced:
            continue
        if decision.figures.rollback:
            while line and line[-1] != decision.champion_id:
                line.pop()
        if not line or line[-1] != decision.champion_id:
            line.append(decision.champion_id)
    return line


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise RegistryError("a decision by hand without a reason; allowed: a sentence, which is kept with the decision")


def _target(universe: Universe, log: Sequence[PromotionRecord]) -> tuple[str | None, str]:
    """The present champion, and the one to which a rollback goes."""
    line = champions(log)
    earlier = [model_id for model_id in line[:-1] if model_id is not None and model_id != line[-1]]
    if not earlier:
        present = f"the first one, {line[-1]}, trades" if line and line[-1] else "no model trades"
        raise RegistryError(
            f"{universe.name}: there is no earlier champion to roll back to: {present}; allowed: promoting any model "
            "of the universe"
        )
    return line[-1], earlier[-1]


def _usable(lake: Lake, model: ModelRecord) -> None:
    weights = load_contender(lake, model).model.state_dict()
    if bad := [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]:
        raise RegistryError(
            f"model {model.id}: weights are not finite: {', '.join(bad[:3])}; allowed: a model that can trade"
        )


def _date(universe: Universe, log: Sequence[PromotionRecord], date: dt.date | None) -> dt.date:
    last = max((decision.date for decision in log), default=None)
    if date is None:
        if last is None:
            raise RegistryError(f"{universe.name}: there is no decision yet whose date could be taken; give a date")
        return last
    check_date(date, "the decision's date")
    tomorrow = utc_now().date() + dt.timedelta(days=1)
    # No date before the last decision's is allowed, so a slip of the pen into the far future would be final.
    latest = max(min(tomorrow, universe.end or tomorrow), last or universe.start)
    if not (last or universe.start) <= date <= latest or not partition_dates(universe, date, date):
        days = "dates" if universe.calendar == "24/7" else "weekdays"
        since = f"the last decision ({last})" if last else f"the universe's start ({universe.start})"
        raise RegistryError(
            f"{universe.name}: no decision by hand for {date}; allowed: {days} from {since} to {latest}"
        )
    return date


def _by_hand(
    universe: Universe,
    log: Sequence[PromotionRecord],
    model_id: str,
    date: dt.date,
    why: str,
    rolled_back: Rollback | None = None,
) -> PromotionRecord:
    line = champions(log)
    return PromotionRecord(
        universe=universe.name,
        date=date,
        champion_id=model_id,
        candidate_id=model_id,
        previous_id=line[-1] if line else None,
        decision="promoted",
        reasons=[why],
        figures=DecisionFigures(by_hand=True, rollback=rolled_back),
    )
