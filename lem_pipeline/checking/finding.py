"""What a check found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lem.errors import LemError

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Finding:
    """One line of a check.

    Args:
        state: whether it is as it should be; a warning is no reason to stop.
        what: was looked at.
        text: what was found, and what to do where it is not ok.
    """

    state: State
    what: str
    text: str


def tried(what: str, look: Callable[[], str]) -> Finding:
    """The finding of a look that gives words, or an error with what is allowed."""
    try:
        return Finding("ok", what, look())
    except LemError as error:
        return Finding("failed", what, str(error))
