"""`lem night`: the night, and how it went as an exit code."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from lem.errors import LemError
from resources.opening import open_alerts, universe_named
from resources.terminal import console

if TYPE_CHECKING:
    from lem.universe import Universe
    from lem_pipeline.running.execute import Runner

WELL, DEGRADED, UNSENT = 0, 3, 4
"""Exit codes of a night that was made; one that failed has 1, as every error that a user can act on."""


def nightly(name: str, make_runner: Callable[[Universe], Runner], today: dt.date, redecide: bool) -> int:
    """Make a night and say how it went.

    Args:
        name: of the universe.
        make_runner: gives what the runs are carried out with.
        today: UTC.
        redecide: whether what was decided is decided again.

    Returns:
        The exit code.

    Raises:
        LemError: the night failed.
    """
    from lem_pipeline.running.telling import tell_directly
    from lem_pipeline.running.told_night import told_night

    try:
        chosen = universe_named(name)
        console.print(f"Night of [bold]{chosen.name}[/bold], {today}")
        runner, store = make_runner(chosen), open_alerts()
    except LemError as error:
        # Nothing can be kept: each try tells it again.
        show_unsent(tell_directly(name, f"The night of {today} could not begin: {error}", f"lem night -u {name}"))
        raise
    ended = told_night(runner, store, today, redecide)
    if not ended.made:
        console.print("Everything is there already.")
    if ended.degraded:
        console.print(f"[bold yellow]degraded night:[/bold yellow] {escape(ended.degraded)}")
    show_unsent(ended.unsent)
    if ended.degraded:
        return DEGRADED
    return UNSENT if ended.unsent else WELL


def show_unsent(texts: list[str]) -> None:
    """Print what could not be sent, to standard error."""
    for text in texts:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]alerts:[/bold red] {escape(text)}")
