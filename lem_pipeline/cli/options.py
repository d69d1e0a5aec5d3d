"""What the commands share: the terminal, options, and how their texts become universes, dates and stores."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer
from rich.console import Console

from lem.errors import UniverseError
from lem.lake import Lake
from lem.registry import Registry
from lem.universe import Universe, load_universe
from lem.universe.calendars import check_partitions
from resources.settings import Settings

console = Console(soft_wrap=True, highlight=False)

UniverseName = Annotated[str, typer.Option("--universe", "-u", help="Name of a file in universes/, without .toml.")]
Day = Annotated[
    str | None,
    typer.Option("--date", "-d", help="Date as 2024-03-30 (UTC); the latest possible if left out."),
]


def universe_named(name: str) -> Universe:
    """The universe of a file in the folder of universes.

    Raises:
        UniverseError: there is no such file, or it is wrong.
    """
    return load_universe(Settings().universes / f"{name}.toml")


def day(text: str) -> dt.date:
    """A date from its ISO form.

    Raises:
        UniverseError: it is not one.
    """
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise UniverseError(f"date {text!r} is not a date; allowed: year-month-day as in 2024-03-30") from None


def partition_day(universe: Universe, text: str) -> dt.date:
    """A partition date from its ISO form; whether the universe has data for it is not asked.

    Raises:
        UniverseError: it is no date, or one that never has a partition.
    """
    date = day(text)
    check_partitions(universe, date, date)
    return date


def stores() -> tuple[Lake, Registry]:
    """The lake and the registry of the settings.

    Raises:
        LakeError, RegistryError: they cannot be opened.
    """
    settings = Settings()
    return Lake(settings.lake), Registry(settings.registry)
