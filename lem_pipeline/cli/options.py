"""Options that commands share."""

from __future__ import annotations

from typing import Annotated

import typer

UniverseName = Annotated[str, typer.Option("--universe", "-u", help="Name of a universe: of its file, without .toml.")]
Day = Annotated[
    str | None,
    typer.Option("--date", "-d", help="Date as 2024-03-30 (UTC); the latest possible if left out."),
]
