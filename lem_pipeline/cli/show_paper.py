"""What `lem paper` prints of its turns."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from lem.paper.client import UnavailableError
from lem.paper.venue import Turn


class Telling:
    """Prints the first turn, and those in which something happened; a problem that stays is told once."""

    def __init__(self, console: Console) -> None:
        self._console, self._problems, self._is_first = console, set[str](), True

    def show(self, turn: Turn | UnavailableError) -> None:
        """Print a turn, or that the desk does not answer."""
        if isinstance(turn, UnavailableError):
            self._console.print(f"[red]no answer[/red]: {escape(str(turn))}")
            return
        if self._is_first or turn.accepted or turn.settled or turn.told or turn.refused:
            self._console.print(escape(_line(turn)))
        self._is_first = False
        for message, reason in turn.refused:
            self._console.print(f"[red]refused[/red]: order {escape(f'{message.order_id}: {reason}')}")
        problems = set(turn.problems)
        for problem in sorted(problems - self._problems):
            self._console.print(f"[red]waits[/red]: {escape(problem)}")
        self._problems = problems


def _line(turn: Turn) -> str:
    fills = sum(len(fills) for _, fills in turn.settled)
    return (
        f"{turn.market.now:%Y-%m-%d %H:%M:%S} UTC  {len(turn.settled)} slices settled with {fills} fills, "
        f"{len(turn.told)} messages told; {len(turn.accepted)} slices taken on for the bar of {turn.market.bar:%H:%M}"
    )
