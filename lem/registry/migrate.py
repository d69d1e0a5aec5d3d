"""Bringing a registry's schema to the one this code knows, with Alembic and without an alembic.ini.

To write the next migration, change tables.py and call, on an up-to-date registry,
`alembic.command.revision(alembic_config(connection), message="...", autogenerate=True)`.
"""

from __future__ import annotations

import threading

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection

from lem.errors import RegistryError
from lem.registry import advice_tables, alert_tables  # noqa: F401  (their tables are part of the schema)
from lem.registry.connection import Database

# Not Alembic's default name: a PostgreSQL database may also hold Dagster's storage, which uses that one.
VERSION_TABLE = "registry_version"

# Alembic keeps the environment it runs in as a global of the process.
_one_at_a_time = threading.Lock()


def alembic_config(connection: Connection) -> Config:
    """The configuration of Alembic's commands, on a connection that the caller opened and commits."""
    config = Config()
    config.set_main_option("script_location", "lem.registry:migrations")
    config.attributes["connection"] = connection
    return config


def bring_up_to_date(database: Database) -> None:
    """Upgrade the schema to the newest revision, in one transaction; a read-only registry is only checked.

    Args:
        database: of the registry.

    Raises:
        RegistryError: the schema is newer than the code, or the database is open read-only and its schema is
            older or missing.
    """
    reading, upgrading = "read its schema", "upgrade its schema"
    with database.transaction(reading) as connection, database.explained(reading, CommandError):
        if _is_current(connection, database.shown):
            return
    if database.read_only:
        raise RegistryError(f"registry {database.shown}: its schema is old or missing; open it once to write")
    write = database.transaction(upgrading, write=True)
    with _one_at_a_time, write as connection, database.explained(upgrading, CommandError):
        # Reads the revision again: another process may have upgraded it while this one waited for its turn.
        command.upgrade(alembic_config(connection), "head")


def _is_current(connection: Connection, shown: str) -> bool:
    found = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads()
    scripts = ScriptDirectory.from_config(alembic_config(connection))
    known = {script.revision for script in scripts.walk_revisions()}
    if unknown := set(found) - known:
        raise RegistryError(
            f"registry {shown}: its schema revision {', '.join(sorted(unknown))} is newer than this code "
            f"({scripts.get_current_head()}); upgrade this package"
        )
    return set(found) == set(scripts.get_heads())
