"""What a decision rests on, as records: the gate's figures, its sanity checks, what was decided by hand.

Only this module writes them as JSON and reads them. A stored row outlives the code that wrote it, so reading never
fails: a key that has no field here, or whose value the field may not hold, is kept in `more` and written back as it
was. Code has no such way out: where it makes a record, a field that does not exist is refused.

Gains are in bps, after costs where a name begins with `net_` and before them elsewhere; positive is good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any, get_type_hints

from pydantic import (
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.dataclasses import dataclass

_ROLLED_BACK_FROM = "rolled_back_from"
"""Key in the JSON under which `Rollback.taken_back` lies."""
_STRICT = ConfigDict(extra="forbid")
FIRST_VERSION = "1"
"""Version of a stage whose code has never changed what it makes. What names no version was made by this one."""


@dataclass(frozen=True, config=_STRICT)
class Stored:
    """A part of a decision's figures.

    Args:
        more: what a stored row has beyond the fields, by key; empty in a record that code makes.
    """

    more: dict[str, Any] = Field(default_factory=dict, kw_only=True, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _set_aside(cls, values: Any) -> Any:
        if not isinstance(values, dict):  # made in code
            return values
        known = {f.name for f in fields(cls)} - {"more"}
        unknown = {key: value for key, value in values.items() if key not in known}
        return {key: value for key, value in values.items() if key in known} | {"more": unknown}

    def to_json(self) -> dict[str, Any]:
        """As it is stored: JSON's own types; a field that has its default is left out."""
        return self.more | self._said()

    def _said(self) -> dict[str, Any]:
        values = {f.name: (getattr(self, f.name), f.default) for f in fields(self) if f.name != "more"}
        return {name: _plain(value) for name, (value, default) in values.items() if value != default}


@dataclass(frozen=True, config=_STRICT)
class PairedGain(Stored):
    """The mean of a paired difference of gains over the gate's orders, and its interval.

    Args:
        mean_bps: the mean, in bps.
        low_bps: lower end of the interval, in bps; None with too few days.
        high_bps: upper end of the interval, in bps; None with too few days.
        blocks: number of independent blocks of days.
    """

    mean_bps: StrictFloat
    low_bps: StrictFloat | None
    high_bps: StrictFloat | None
    blocks: StrictInt


@dataclass(frozen=True, config=_STRICT)
class BpsByStrategy(Stored):
    """A figure of the gain, in bps, of each strategy that executed the gate's orders.

    Args:
        candidate: the model that is judged.
        optimal_stopping: the rule that the gate compares with.
        twap: TWAP; None where it was not executed.
        champion: the model that traded before; None where there was none.
        rule: the best rule that knows costs; None in rows from before the gate judged after costs.
    """

    candidate: StrictFloat
    optimal_stopping: StrictFloat
    twap: StrictFloat | None = None
    champion: StrictFloat | None = None
    rule: StrictFloat | None = None


@dataclass(frozen=True, config=_STRICT)
class GateFigures(Stored):
    """What the gate measured on its window.

    Args:
        orders: number of parent orders.
        days: number of days (UTC) on which they arrive.
        scenarios: number of scenarios.
        mean_bps: mean gain of each strategy.
        cvar5_bps: mean of the worst 5 % of each strategy's gains.
        candidate_minus_optimal_stopping: difference of their gains on the same orders.
        candidate_minus_champion: likewise; None where there was no champion.
        rule: name of the best rule that knows costs; empty, and what follows None, in rows from before the gate judged
            after costs.
        net_mean_bps: mean gain of each strategy after costs.
        net_cvar5_bps: mean of the worst 5 % of each strategy's gains after costs.
        net_worth_bps: what each strategy's gains after costs are worth to orders of this risk aversion
            (`lem.gate.judge`).
        net_candidate_minus_rule: difference of what their gains are worth on the same orders.
        net_candidate_minus_champion: difference of their gains after costs; None where there was no champion.
    """

    orders: StrictInt
    days: StrictInt
    scenarios: StrictInt
    mean_bps: BpsByStrategy
    cvar5_bps: BpsByStrategy
    candidate_minus_optimal_stopping: PairedGain
    candidate_minus_champion: PairedGain | None = None
    rule: StrictStr = ""
    net_mean_bps: BpsByStrategy | None = None
    net_cvar5_bps: BpsByStrategy | None = None
    net_worth_bps: BpsByStrategy | None = None
    net_candidate_minus_rule: PairedGain | None = None
    net_candidate_minus_champion: PairedGain | None = None


@dataclass(frozen=True, config=_STRICT)
class Check(Stored):
    """One sanity check of a candidate.

    Args:
        name: in snake case.
        passed: whether this check lets the candidate trade.
        text: what was found, a sentence.
        figures: what was found, in numbers; each name ends with its unit (`_bps`, `_sigma`) unless it is a count.
    """

    name: StrictStr
    passed: StrictBool
    text: StrictStr
    figures: dict[str, StrictInt | StrictFloat]


@dataclass(frozen=True, config=_STRICT)
class Rollback(Stored):
    """A decision by hand that let an earlier champion trade again.

    Args:
        taken_back: id of the champion until then; None where no model traded.
    """

    taken_back: StrictStr | None


@dataclass(frozen=True, config=_STRICT)
class DecisionFigures(Stored):
    """What a decision rests on.

    Args:
        gate: what the gate measured; None where it compared nothing.
        checks: the candidate's sanity checks, in the order in which they were made; empty where none was made.
        panel_version: one data version of all panels that the gate read; None where it read none.
        degraded: what was wrong, a sentence, if the night should have brought a model that may trade and did not; else
            empty.
        by_hand: whether a person decided, rather than the gate.
        rollback: set if the decision let an earlier champion trade again.
        stage_version: version of the code that made the decision; "1" where a row does not say it.
    """

    gate: GateFigures | None = None
    checks: tuple[Check, ...] = ()
    panel_version: StrictStr | None = None
    degraded: StrictStr = ""
    by_hand: StrictBool = False
    rollback: Rollback | None = None
    stage_version: StrictStr = FIRST_VERSION

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> DecisionFigures:
        """The record of what `to_json` gave, in this version of the code or any other."""
        parts = {name: stored[name] for name in _FLAT if name in stored}
        if gate := {name: stored[name] for name in _OF_GATE if name in stored}:
            parts["gate"] = gate
        if _ROLLED_BACK_FROM in stored:
            parts["rollback"] = {"taken_back": stored[_ROLLED_BACK_FROM]}
        read = {name: part for name, value in parts.items() if (part := _read(name, value)) is not None}
        written = cls(**read).to_json()
        return cls(**read, more={key: value for key, value in stored.items() if key not in written})

    def _said(self) -> dict[str, Any]:
        """With the gate's figures among the others."""
        said = super()._said()
        said |= said.pop("gate", {})
        if self.rollback:
            said[_ROLLED_BACK_FROM] = said.pop("rollback")["taken_back"]
        return said


_FLAT = [f.name for f in fields(DecisionFigures) if f.name not in ("more", "gate", "rollback")]
_OF_GATE = [f.name for f in fields(GateFigures) if f.name != "more"]


@cache
def _parts() -> dict[str, TypeAdapter[Any]]:
    return {name: TypeAdapter(hint) for name, hint in get_type_hints(DecisionFigures).items()}


def _read(name: str, value: Any) -> Any:
    """The value as the field holds it; None where the field may not hold it, or would not be written back the same."""
    try:
        part = _parts()[name].validate_python(value)
    except ValidationError:
        return None
    return part if _plain(part) == value else None


def _plain(value: Any) -> Any:
    if isinstance(value, Stored):
        return value.to_json()
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
