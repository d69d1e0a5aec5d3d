"""Options that commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from lem.errors import LemError


def known_universes() -> list[str]:
    """Names that the shell completes; none where the files cannot be found."""
    from resources.universes import places

    try:
        return sorted({name for place in places() for name in place.files})
    except LemError:
        return []


UniverseName = Annotated[
    str,
    typer.Option(
        "--universe", "-u", help="Name of a universe: of its file, without .toml.", autocompletion=known_universes
    ),
]
Day = Annotated[
    str | None,
    typer.Option("--date", "-d", help="Date as 2024-03-30 (UTC); the latest possible if left out."),
]
