"""What `lem prune` prints: each kind of thing with its bytes, before and after."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lem_pipeline.pruning.kinds import Kind
from resources.terminal import show_table

_SHOWN = 5


def show_plan(console: Console, kinds: Sequence[Kind], command: str) -> None:
    """Print what can go, and what would be left.

    Args:
        console: to print on.
        kinds: as planned.
        command: that removes it.
    """
    for kind in kinds:
        if kind.removable:
            more = f" and {len(kind.removable) - _SHOWN} more" if len(kind.removable) > _SHOWN else ""
            named = ", ".join(one.what for one in kind.removable[:_SHOWN])
            console.print(f"can go: {escape(kind.name)}: {escape(named)}{more}")
    _show(console, kinds, "can go", [kind.freed for kind in kinds], "would be left")
    if any(kind.removable for kind in kinds):
        console.print(f"Nothing was removed; to remove what can go: {command}")
    else:
        console.print("Nothing can go.")


def show_removed(console: Console, before: Sequence[Kind], after: Sequence[Kind]) -> None:
    """Print what there was and what there is now, as measured.

    Args:
        console: to print on.
        before: as planned.
        after: as planned anew.
    """
    left = {kind.name: kind.size for kind in after}
    _show(console, before, "removed", [kind.size - left.get(kind.name, 0) for kind in before], "after")


def _show(console: Console, kinds: Sequence[Kind], what: str, freed: Sequence[int], rest: str) -> None:
    table = Table(title="bytes of each kind")
    for column in ("kind", "number", "before", what, f"bytes {what}", rest):
        table.add_column(column, justify="left" if column == "kind" else "right")
    for kind, free in zip(kinds, freed, strict=True):
        count = sum(one.count for one in kind.removable)
        table.add_row(
            escape(kind.name), f"{kind.count:,}", f"{kind.size:,}", f"{count:,}", f"{free:,}", f"{kind.size - free:,}"
        )
    before, free = sum(kind.size for kind in kinds), sum(freed)
    table.add_row("all of them", "", f"{before:,}", "", f"{free:,}", f"{before - free:,}")
    show_table(console, table)
    for note in (note for kind in kinds for note in kind.notes):
        console.print(escape(note))
