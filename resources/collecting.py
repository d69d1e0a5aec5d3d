"""When Python looks for dead objects that refer to each other (`gc`): rarely, as imports and definitions make no such."""

from __future__ import annotations

import atexit
import gc

OBJECTS = 20_000
"""New objects after which it looks. With its own 700 it looks some hundred times while `lem` or Dagster is imported and
definitions are made, and finds nothing: 0.1 s of a command that looks, 0.7 s of a process that loads the definitions."""


def collect_rarely() -> None:
    """Look rarely, and not once more through all that was imported when the process ends: 0.2 s; its memory goes anyway.

    For whoever owns the process, at its beginning: not for modules that others import.
    """
    gc.set_threshold(OBJECTS)
    atexit.register(gc.freeze)
