"""Ctrl-C during a command is one sentence and exit code 130."""

from __future__ import annotations

import sys
from typing import Any

import typer
from typer.core import TyperGroup

STOPPED = "Stopped by Ctrl-C. What was finished stays, and the same command goes on from there."
CODE = 130
"""Exit code of a command that SIGINT has ended, as shells have it."""


class Stoppable(TyperGroup):
    """The commands of a group."""

    def invoke(self, ctx: Any) -> Any:
        """Carry out the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print(STOPPED, file=sys.stderr)
            raise typer.Exit(CODE) from None
