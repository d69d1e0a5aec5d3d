"""Files of this home are for its owner alone, unless the owner opened the home's folder to others."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OTHERS = 0o077
_users_own: list[int] = []


def keep_private(home: Path) -> None:
    """Let this process and those it starts make files with no more rights for others than the home's folder gives.

    A home that is not there yet becomes its owner's alone.

    Args:
        home: LEM_HOME.
    """
    try:
        given = stat.S_IMODE(home.stat().st_mode)
    except OSError:
        given = 0o700
    own = os.umask(_OTHERS)
    _users_own[:] = _users_own or [own]
    os.umask(_users_own[0] | (_OTHERS & ~given))


@contextmanager
def as_the_user_has_it() -> Iterator[None]:
    """Make files as the user's other programs do, for what they asked to have elsewhere than in the home."""
    kept = os.umask(_OTHERS)
    os.umask(_users_own[0] if _users_own else kept)
    try:
        yield
    finally:
        os.umask(kept)


def open_to_all(place: Path) -> bool:
    """Whether every user of this machine may look into a folder, or read a file, as far as its own mode says."""
    try:
        return bool(stat.S_IMODE(place.stat().st_mode) & 0o007)
    except OSError:
        return False
