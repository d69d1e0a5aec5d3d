"""Ctrl-C during a command is one sentence and exit code 130."""

from __future__ import annotations

import logging
import sys
from typing import Any

import typer
from typer.core import TyperGroup

STOPPED = "Stopped by Ctrl-C. What was finished stays, and the same command goes on from there."
CODE = 130
"""Exit code of a command that SIGINT has ended, as shells have it."""


def unbroken(record: logging.LogRecord) -> bool:
    """Whether a message is about something else than what a signal broke off.

    SQLAlchemy logs an interruption while it closes a connection as an error with its stack; who pressed Ctrl-C knows.
    """
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or issubclass(kind, Exception)  # KeyboardInterrupt and Dagster's own interruption are none


class Stoppable(TyperGroup):
    """The commands of a group."""

    def make_context(self, *args: Any, **keys: Any) -> Any:
        """Read the command line: what that imports takes a while too."""
        try:
            return super().make_context(*args, **keys)
        except KeyboardInterrupt:
            raise _told() from None

    def invoke(self, ctx: Any) -> Any:
        """Carry out the command that was asked for."""
        if logging.lastResort is not None:  # prints what no handler was set for
            logging.lastResort.addFilter(unbroken)
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _told() from None


def _told() -> typer.Exit:
    print(STOPPED, file=sys.stderr)
    return typer.Exit(CODE)
