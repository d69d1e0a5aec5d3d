"""Opens the lake, the registry and the universes that this machine's settings name. For commands, without Dagster.

Each function imports what it opens: a command that opens one of these does not wait for the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lem.alerts.store import AlertStore
    from lem.lake import Lake
    from lem.registry import Registry
    from lem.universe import Universe


def open_lake() -> Lake:
    """The lake of the settings.

    Raises:
        LakeError: it cannot be opened.
    """
    from lem.lake import Lake
    from resources.settings import Settings

    return Lake(Settings().lake)


def open_registry() -> Registry:
    """The registry of the settings.

    Raises:
        RegistryError: it cannot be opened.
    """
    from lem.registry import Registry
    from resources.settings import Settings

    return Registry(Settings().registry)


def open_alerts() -> AlertStore:
    """What was told, beside the registry of the settings.

    Raises:
        RegistryError: it cannot be opened.
    """
    from lem.alerts.store import AlertStore
    from resources.settings import Settings

    return AlertStore(Settings().registry)


def registry_to_read() -> Registry:
    """The registry of the settings for a command that changes nothing: where this user may not write it, too.

    Raises:
        RegistryError: it cannot be opened; or an earlier version wrote it, and this user may not bring it up to date.
    """
    from lem.registry import Registry
    from lem.registry.connection import may_write
    from resources.settings import Settings

    url = Settings().registry
    return Registry(url, read_only=not may_write(url))


def universe_named(name: str) -> Universe:
    """The universe of a name, from the first place that has it (`resources.universes`).

    Raises:
        UniverseError: there is no such file, or something in it is wrong.
    """
    from lem.universe import load_universe
    from resources.universes import universe_file

    return load_universe(universe_file(name))


def all_universes() -> dict[str, Universe]:
    """The universes that belong to this machine, by name, sorted (`resources.universes`).

    Raises:
        UniverseError: there are none, or something in a file is wrong.
    """
    from lem.universe import load_universe
    from resources.universes import universe_files

    return {name: load_universe(path) for name, path in universe_files().items()}
