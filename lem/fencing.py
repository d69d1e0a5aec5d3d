"""Tokens of fences, which lake and registry have in common (`lem.lake.fences` says what a fence is)."""

from __future__ import annotations

import time

from lem.errors import FencedError


def first_token() -> int:
    """Start of a new counter: the time in seconds, which is above all tokens of a counter that was lost."""
    return int(time.time())


def refuse(what: str, token: int, there: int) -> None:
    """Refuse a write over an object with a higher token.

    Args:
        what: names the object in the error.
        token: of the step that wants to write.
        there: token of the object as it is now; 0 where there is none.

    Raises:
        FencedError: `there` is higher than `token`.
    """
    if there > token:
        raise FencedError(
            f"{what} was written by a step that began later (fence {there}, this step has {token}): what this step "
            "made of it is not kept; if no later run exists, start this one again"
        )
