"""Locks between processes of one machine. The kernel frees them when their process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def one_at_a_time(file: Path, number: int) -> Iterator[None]:
    """Wait until no other process is inside with this file and number, and then be the one that is.

    Args:
        file: any; it stays empty.
        number: not negative; many locks share a file.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, number)
        yield
    finally:
        os.close(descriptor)


class TakenError(Exception):
    """Another process has the file; the message is what the file says."""


def take_for_life(file: Path, text: str) -> int:
    """Take a file until this process ends, or the program that replaces it does.

    Args:
        file: that is taken.
        text: what it says from then on.

    Returns:
        A descriptor; closing it gives the file back.

    Raises:
        TakenError: another process has it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with os.fdopen(descriptor, encoding="utf-8") as there:
            raise TakenError(there.read()) from None
    os.set_inheritable(descriptor, True)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, text.encode())
    return descriptor
