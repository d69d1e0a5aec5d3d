"""What goes into the registry and comes out of it, and the canonical JSON that identifies a model."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar, get_args

from lem.errors import RegistryError
from lem.registry.decision_figures import FIRST_VERSION, DecisionFigures

Decision = Literal["promoted", "kept", "none"]
_OUTCOMES: dict[Decision, str] = {"promoted": "promoted", "kept": "champion stays", "none": "no model trades"}
_WHO_TRADES: dict[Decision, str] = {
    "promoted": "The candidate is promoted",
    "kept": "The champion stays",
    "none": "No model trades",
}
REFUSED = "the candidate was refused"
"""How the gate's reasons against a candidate begin."""
T = TypeVar("T")


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, ASCII only.

    Parsing the text and calling this again gives the same text, so a stored manifest keeps its hash.

    Args:
        value: of JSON's own types.

    Raises:
        RegistryError: the value holds something that JSON cannot say (NaN, infinity, dates, arrays, ...).
    """
    try:
        # Twice: keys that are numbers sort as numbers now, and as text once they were stored.
        return _dump(json.loads(_dump(value)))
    except (TypeError, ValueError) as error:
        raise RegistryError(
            f"cannot write a {type(value).__name__} as canonical JSON: {error}; allowed are finite numbers, "
            "strings, booleans, null, lists, and dicts with string keys"
        ) from error


def _dump(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def manifest_id(manifest: dict[str, Any]) -> str:
    """The id of a model: the first 16 hex digits of the SHA-256 of its manifest as canonical JSON."""
    return hashlib.sha256(canonical_json(manifest).encode()).hexdigest()[:16]


def utc_now() -> dt.datetime:
    """The present moment, in UTC."""
    return dt.datetime.now(dt.UTC)


def check_date(value: object, what: str) -> None:
    """Refuse what is not a plain `datetime.date`: a datetime or Timestamp too.

    Args:
        value: to be checked.
        what: its name in the message.

    Raises:
        RegistryError: the value is something else.
    """
    if type(value) is not dt.date:
        raise RegistryError(f"{what} must be a datetime.date, not {type(value).__name__} {value!r}")


def _check_moment(value: object, what: str) -> None:
    if not isinstance(value, dt.datetime) or value.tzinfo is None:
        raise RegistryError(f"{what} must be a datetime with a time zone, not {value!r}")


@dataclass(frozen=True, order=True)
class InputVersion:
    """One partition that was read, and the data version it had then."""

    table_name: str
    partition_key: str
    data_version: str


@dataclass(frozen=True)
class ModelRecord:
    """A trained model: its id, where its weights lie, and everything it was made from.

    Args:
        id: see `manifest_id`.
        universe: name of its universe.
        usable_on: first date on which it may trade.
        train_start: first date of the training window, UTC.
        train_end: end of the training window, exclusive, UTC.
        weights_sha256: 64 hex digits, checked on load.
        weights_path: where the weights lie inside the lake.
        code_version: see `lem.code`.
        seed: of the training, in [0, 2**63).
        manifest: what `id` is the hash of; anything that JSON can hold.
        inputs: one entry per partition read, kept sorted.
        created_at: when it was registered, UTC.

    Raises:
        RegistryError: a field has the wrong type, a partition is listed twice, or the window is empty or ends
            after `usable_on` (the model would have seen the future).
    """

    id: str
    universe: str
    usable_on: dt.date
    train_start: dt.date
    train_end: dt.date
    weights_sha256: str
    weights_path: str
    code_version: str
    seed: int
    manifest: dict[str, Any]
    inputs: list[InputVersion] = field(default_factory=list)
    created_at: dt.datetime = field(default_factory=utc_now)

    def __post_init__(self) -> None:
        where = f"model {self.id!r}"
        for name in ("usable_on", "train_start", "train_end"):
            check_date(getattr(self, name), f"{name} of {where}")
        _check_moment(self.created_at, f"created_at of {where}")
        if not self.train_start < self.train_end <= self.usable_on:
            raise RegistryError(
                f"{where} is trained on [{self.train_start}, {self.train_end}), usable on {self.usable_on}: "
                "allowed is train_start < train_end <= usable_on"
            )
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise RegistryError(f"seed of {where} must be an int in [0, 2**63), not {self.seed!r}")
        if not isinstance(self.manifest, dict):
            raise RegistryError(f"manifest of {where} must be a dict, not {type(self.manifest).__name__}")
        object.__setattr__(self, "inputs", sorted(self.inputs))
        counts = Counter((read.table_name, read.partition_key) for read in self.inputs)
        if twice := [partition for partition, count in counts.items() if count > 1]:
            raise RegistryError(f"inputs of {where} name a partition more than once: {twice[:5]}")

    @property
    def horizon(self) -> int | None:
        """N of the orders that it was trained for; None where its manifest does not say it, here and below."""
        return self._said("horizon", int)

    @property
    def bar(self) -> str | None:
        """Length of the bars that it was trained on, as `1h`."""
        return self._said("bar", str)

    @property
    def feature_settings(self) -> dict[str, Any] | None:
        """The settings of its features, as JSON: `[features]` of the universe file."""
        return self._said("features", dict)

    @property
    def model_settings(self) -> dict[str, Any] | None:
        """Its size, as JSON: `[model]` of the universe file."""
        return self._said("model", dict)

    @property
    def training_settings(self) -> dict[str, Any] | None:
        """How it was trained, as JSON: `[training]` of the universe file."""
        return self._said("training", dict)

    @property
    def costs_settings(self) -> dict[str, Any] | None:
        """What trading was assumed to cost, as JSON: `[costs]` of the universe file."""
        return self._said("costs", dict)

    @property
    def libraries(self) -> dict[str, str]:
        """Name and version of each library that it was trained with; empty where the manifest does not say it."""
        return self._said("libraries", dict) or {}

    @property
    def stage_version(self) -> str:
        """Version of the stage that trained it; the first where the manifest does not say it."""
        return self._said("stage_version", str) or FIRST_VERSION

    @property
    def machine(self) -> str | None:
        """Type of the machine that it was trained on, as `x86_64`."""
        return self._said("machine", str)

    def _said(self, key: str, kind: type[T]) -> T | None:
        value = self.manifest.get(key)
        return value if isinstance(value, kind) else None


def differences(one: ModelRecord, other: ModelRecord) -> list[str]:
    """The names of the fields in which two records differ, apart from `created_at`."""
    return [
        name
        for name in (f.name for f in fields(ModelRecord) if f.name not in ("created_at", "manifest"))
        if getattr(one, name) != getattr(other, name)
    ] + ["manifest"] * (canonical_json(one.manifest) != canonical_json(other.manifest))


@dataclass(frozen=True)
class PromotionRecord:
    """A decision for one date, the promotion gate's or one made by hand: which model trades on it, and why.

    Args:
        universe: its name.
        date: for which the decision is, UTC.
        champion_id: the model that trades on `date`; None when no model may trade.
        candidate_id: the model that was judged; None when there was none.
        previous_id: the champion before; None when there was none.
        decision: "promoted" (the candidate is champion), "kept" (the champion before stays) or "none" (there is no
            champion).
        reasons: why, in sentences.
        figures: what the decision rests on.
        decided_at: when it was made, UTC.

    Raises:
        RegistryError: a field has the wrong type, or the decision contradicts `champion_id`.
    """

    universe: str
    date: dt.date
    champion_id: str | None
    candidate_id: str | None
    previous_id: str | None
    decision: Decision
    reasons: list[str] = field(default_factory=list)
    figures: DecisionFigures = field(default_factory=DecisionFigures)
    decided_at: dt.datetime = field(default_factory=utc_now)

    def __post_init__(self) -> None:
        where = f"the promotion of {self.universe} on {self.date}"
        check_date(self.date, f"date of {where}")
        _check_moment(self.decided_at, f"decided_at of {where}")
        if not isinstance(self.reasons, list) or not all(isinstance(reason, str) for reason in self.reasons):
            raise RegistryError(f"reasons of {where} must be a list of strings, not {self.reasons!r}")
        if not isinstance(self.figures, DecisionFigures):
            raise RegistryError(f"figures of {where} must be DecisionFigures, not {type(self.figures).__name__}")
        if self.decision not in get_args(Decision):
            allowed = ", ".join(get_args(Decision))
            raise RegistryError(f"decision of {where} is {self.decision!r}: allowed are {allowed}")
        agrees = {
            "promoted": self.champion_id is not None and self.champion_id == self.candidate_id,
            "kept": self.champion_id is not None,
            "none": self.champion_id is None,
        }
        if not agrees[self.decision]:
            raise RegistryError(
                f"{where} is {self.decision!r} with champion {self.champion_id} and candidate "
                f"{self.candidate_id}: promoted means that the candidate is champion, kept that there is a "
                "champion, none that there is none"
            )

    @property
    def by_hand(self) -> bool:
        """Whether a person decided, rather than the gate."""
        return self.figures.by_hand

    @property
    def outcome(self) -> str:
        """Who trades and by whom it was decided, in few words: `champion stays`, `promoted by hand`."""
        return f"{_OUTCOMES[self.decision]}{' by hand' if self.by_hand else ''}"

    @property
    def verdict(self) -> str:
        """What became of the candidate: `promoted`, `promoted by hand`, `refused`, or `no candidate` without one."""
        if self.candidate_id is None:
            return "no candidate"
        return self.outcome if self.decision == "promoted" else "refused"

    @property
    def sentence(self) -> str:
        """Who trades and the first reason, in a sentence without its full stop."""
        why = self.reasons[0].removesuffix(".") if self.reasons else "no reason is recorded"
        if self.by_hand:
            who = f"model {self.champion_id} trades" if self.champion_id else "no model trades"
            return f"Decided by hand: {who} ({why.removeprefix('by hand: ')})"
        if self.decision != "promoted" and self.candidate_id and not why.startswith("the candidate "):
            failed = any(not check.passed for check in self.figures.checks)
            because = f"it failed a sanity check ({why})" if failed else why.removeprefix("refused: ")
            why = f"{REFUSED} because {because}"
        return f"{_WHO_TRADES[self.decision]}: {why}"

    @property
    def degraded(self) -> str:
        """What was wrong with the night, a sentence; empty if it brought a model that may trade, or none was due."""
        return self.figures.degraded

    @property
    def night(self) -> str:
        """How the night went, in words: `as it should be`, or `degraded: ` and what was wrong."""
        return f"degraded: {self.degraded}" if self.degraded else "as it should be"
