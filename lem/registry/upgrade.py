"""Alembic on a registry's connection, without an alembic.ini; imported only to change a schema, as it loads slowly.

To write the next migration, change tables.py and call, on an up-to-date registry,
`alembic.command.revision(alembic_config(connection), message="...", autogenerate=True)`.
"""

from __future__ import annotations

import threading

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection

from lem.registry import advice_tables, alert_tables, audit_tables  # noqa: F401  (their tables are part of the schema)
from lem.registry.connection import Database

# Alembic keeps the environment it runs in as a global of the process.
_one_at_a_time = threading.Lock()


def alembic_config(connection: Connection) -> Config:
    """The configuration of Alembic's commands, on a connection that the caller opened and commits."""
    config = Config()
    config.set_main_option("script_location", "lem.registry:migrations")
    config.attributes["connection"] = connection
    return config


def upgrade(database: Database) -> None:
    """Upgrade the schema to the newest revision, in one transaction.

    Args:
        database: of the registry.

    Raises:
        RegistryError: it cannot be upgraded.
    """
    what = "upgrade its schema"
    write = database.transaction(what, write=True)
    with _one_at_a_time, write as connection, database.explained(what, CommandError):
        # Reads the revision again: another process may have upgraded it while this one waited for its turn.
        command.upgrade(alembic_config(connection), "head")
