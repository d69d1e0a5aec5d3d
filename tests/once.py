"""What processes of users make once and tests would make a thousand times, in one process: it is made once there, too.

The parser of the commands, what Alembic reads of the migrations of Dagster and of the registry, and the schema of a new
registry: each takes longer than many a test. The migrations are tested in
tests/lem/registry/test_registry_migrations.py, whose registries are made by them.
"""

from __future__ import annotations

import functools
import sqlite3
import tempfile

import pytest
import typer.main
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from lem.registry.connection import Database
from lem.registry.upgrade import upgrade

_scripts_of = ScriptDirectory.from_config
_scripts: dict[str | None, ScriptDirectory] = {}


def make_once(patch: pytest.MonkeyPatch) -> None:
    """Have all of it made once, as long as the patch lasts."""
    parser = functools.cache(typer.main.get_command)
    patch.setattr("typer.main.get_command", parser)
    patch.setattr("typer.testing._get_command", parser)
    patch.setattr(ScriptDirectory, "from_config", staticmethod(scripts_of))
    patch.setattr("lem.registry.upgrade.upgrade", upgrade_at_once)


def scripts_of(config: Config) -> ScriptDirectory:
    """The migrations of a folder: of Dagster's runs, events or schedules, or of the registry."""
    folder = config.get_main_option("script_location")
    if folder not in _scripts:
        _scripts[folder] = _scripts_of(config)
    return _scripts[folder]


def upgrade_at_once(database: Database) -> None:
    """Give an empty SQLite database the newest schema, without a step between; bring any other one up to date."""
    if database.file is not None:
        with database.transaction("make its schema", write=True) as connection:
            if not inspect(connection).get_table_names():
                for statement in schema():
                    connection.exec_driver_sql(statement)
                return
    upgrade(database)


@functools.cache
def schema() -> tuple[str, ...]:
    """The statements that make a registry as the migrations make it."""
    with tempfile.TemporaryDirectory() as folder:
        upgrade(Database(f"sqlite:///{folder}/registry.sqlite"))
        connection = sqlite3.connect(f"{folder}/registry.sqlite")
        try:
            return tuple(line for line in connection.iterdump() if line not in ("BEGIN TRANSACTION;", "COMMIT;"))
        finally:
            connection.close()
