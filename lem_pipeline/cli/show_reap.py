"""What `lem reap` prints of what killed processes left, and clears of it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape

from lem_pipeline.repair.reap import Finding


def show_findings(console: Console, findings: Iterable[Finding], clear: bool) -> None:
    """Print each finding, and what is left to do.

    Args:
        console: to print on.
        findings: in the order in which they have to be cleared. Each is looked for after the one before was cleared.
        clear: whether what is dead is cleared, or only told.
    """
    dead = unknown = 0
    for found in findings:
        dead, unknown = dead + (found.clear is not None), unknown + (found.clear is None)
        if found.clear and clear:
            found.clear()
        verdict = found.cleared if clear else f"[red]{found.state}[/red]"
        verdict = "[yellow]unknown[/yellow]" if found.clear is None else verdict
        console.print(f"{verdict} {escape(found.what)}: {escape(found.why)}")
    if not dead + unknown:
        console.print("Nothing was left behind.")
    if unknown:
        console.print(
            f"{unknown} left alone: if nothing works on them any more, lem reap --older-than 6h clears them too."
        )
    if dead and not clear:
        console.print("Nothing was changed; lem reap --yes clears what is dead and records what is unrecorded.")
