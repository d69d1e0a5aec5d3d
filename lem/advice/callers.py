"""Who does something to live orders: set once at the door, written in the audit log."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, get_args

Actor = Literal["python", "cli", "http", "service"]
"""python: this library. cli: `lem advise`. http: a request to `lem serve`. service: `lem serve` by itself."""
ACTORS: tuple[Actor, ...] = get_args(Actor)


@dataclass(frozen=True)
class Caller:
    """Who does something.

    Args:
        actor: through which door.
        name: of the token for `http`, of the system's user for `cli` and `python`; None where there is none.
        address: of a request, as an IP address; None of all others.
    """

    actor: Actor
    name: str | None = None
    address: str | None = None


_CALLER: ContextVar[Caller | None] = ContextVar("lem_caller", default=None)


def user_name() -> str:
    """The name of the system's user, or its number where it has no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return str(os.getuid())


def caller() -> Caller:
    """Who does something at this moment: the system's user through Python, unless it was said otherwise."""
    return _CALLER.get() or Caller("python", user_name())


@contextmanager
def acting_as(who: Caller) -> Iterator[None]:
    """What is done in the block, and in threads and tasks that it starts through asyncio, is done by `who`."""
    token = _CALLER.set(who)
    try:
        yield
    finally:
        _CALLER.reset(token)
