"""Whether a registry's schema is the one that this code knows; `lem.registry.upgrade` brings it there."""

from __future__ import annotations

from importlib.resources import files

from sqlalchemy import Connection, inspect, text

from lem.errors import RegistryError
from lem.registry.connection import Database

# Not Alembic's default name: a PostgreSQL database may also hold Dagster's storage, which uses that one.
VERSION_TABLE = "registry_version"


def revisions() -> list[str]:
    """The revisions of the schema that this code knows, oldest first: the numbers that begin the migrations' files."""
    folder = files("lem.registry") / "migrations" / "versions"
    return sorted(file.name.partition("_")[0] for file in folder.iterdir() if file.name.endswith(".py"))


def bring_up_to_date(database: Database) -> None:
    """Upgrade the schema to the newest revision, in one transaction; a read-only registry is only checked.

    Args:
        database: of the registry.

    Raises:
        RegistryError: the schema is newer than the code, or the database is open read-only and its schema is
            older or missing.
    """
    with database.transaction("read its schema") as connection:
        if _is_current(connection, database.shown):
            return
    if database.read_only:
        raise RegistryError(f"registry {database.shown}: its schema is old or missing; open it once to write")
    from lem.registry.upgrade import upgrade

    upgrade(database)


def _is_current(connection: Connection, shown: str) -> bool:
    known = revisions()
    there = inspect(connection).has_table(VERSION_TABLE)
    found = set(connection.scalars(text(f"SELECT version_num FROM {VERSION_TABLE}"))) if there else set()
    if unknown := found - set(known):
        raise RegistryError(
            f"registry {shown}: its schema revision {', '.join(sorted(unknown))} is newer than this code "
            f"({known[-1]}); upgrade this package"
        )
    return found == {known[-1]}
