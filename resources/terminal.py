"""The terminal: commands, and runs that are carried out for one, write to it."""

from __future__ import annotations

from rich.console import Console

console = Console(soft_wrap=True, highlight=False)
