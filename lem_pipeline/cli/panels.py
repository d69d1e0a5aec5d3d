"""The groups of `lem --help`, the daily commands first."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

DAILY = "Every day"
SETTING_UP = "Setting up"
ORDERS = "Live orders"
UPKEEP = "Now and then"
_ORDER = (DAILY, SETTING_UP, ORDERS, UPKEEP)


class Panels(TyperGroup):
    """Lists the commands by group; within one, as they are registered."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands; those of no group come last."""

        def place(name: str) -> int:
            panel = getattr(self.commands[name], "rich_help_panel", None)
            return _ORDER.index(panel) if panel in _ORDER else len(_ORDER)

        return sorted(super().list_commands(ctx), key=place)
