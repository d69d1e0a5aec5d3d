"""Progress of long loops: a bar in a terminal, else a line at the end; nothing at all if nobody asked for it.

The library's loops call `track`; the command line opens `showing`. Outside of it, `track` only passes items through.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

T = TypeVar("T")
_console: ContextVar[Console | None] = ContextVar("lem_progress_console", default=None)


class _Rate(ProgressColumn):
    """Items a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "", style="progress.data.speed")


@contextmanager
def showing(console: Console) -> Iterator[None]:
    """Show the progress of every `track` inside on this console."""
    token = _console.set(console)
    try:
        yield
    finally:
        _console.reset(token)


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Pass the items through and show how far they are.

    Args:
        items: what the loop runs over.
        what: shown beside the bar.
        total: number of items, if `items` has no length.
    """
    console = _console.get()
    if total is None and isinstance(items, Sized):
        total = len(items)
    if console is None:
        yield from items
        return
    started, done = time.monotonic(), 0
    columns = (
        TextColumn("  {task.description:<34}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    if console.is_terminal:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task(what, total=total)
            for item in items:
                yield item
                progress.advance(task)
        return
    for item in items:
        yield item
        done += 1
    seconds = time.monotonic() - started
    rate = f" ({done / seconds:.1f}/s)" if seconds else ""
    console.print(f"  {what:<34} {done} in {seconds:.1f} s{rate}", highlight=False)
