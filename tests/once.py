"""What processes of users make once and tests would make a thousand times, in one process: it is made once there, too.

The parser of the commands, what Alembic reads of the migrations of Dagster and of the registry, the schema of a new
registry, and the bars of a day that many desks are told alike: each takes longer than many a test. The migrations are
tested in tests/lem/registry/test_registry_migrations.py, whose registries are made by them; the rules of bars in
tests/lem/data, where each call looks anew.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import pickle
import sqlite3
import tempfile
from typing import Any

import pandas as pd
import pytest
import typer.main
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Engine, create_engine, inspect

from lem.data.bars import BarsResult, validate_bars
from lem.registry.connection import Database
from lem.registry.upgrade import upgrade
from lem.universe import Universe
from resources.sqlite_events import keep_engines

_scripts_of = ScriptDirectory.from_config
_scripts: dict[str | None, ScriptDirectory] = {}
_engines: dict[str, Engine] = {}
_days: dict[bytes, BarsResult] = {}
MOST_DAYS = 2000
"""Days that are kept: a few kB each."""


def make_once(patch: pytest.MonkeyPatch) -> None:
    """Have all of it made once, as long as the patch lasts."""
    parser = functools.cache(typer.main.get_command)
    patch.setattr("typer.main.get_command", parser)
    patch.setattr("typer.testing._get_command", parser)
    patch.setattr(ScriptDirectory, "from_config", staticmethod(scripts_of))
    patch.setattr("lem.registry.upgrade.upgrade", upgrade_at_once)
    patch.setattr("lem.registry.connection.create_engine", engine_of)
    patch.setattr("lem.advice.feed.validate_bars", validate_once)
    keep_engines()  # as our commands do: a test may also open Dagster's history itself


def scripts_of(config: Config) -> ScriptDirectory:
    """The migrations of a folder: of Dagster's runs, events or schedules, or of the registry."""
    folder = config.get_main_option("script_location")
    if folder not in _scripts:
        _scripts[folder] = _scripts_of(config)
    return _scripts[folder]


def engine_of(url: URL, **options: Any) -> Engine:
    """An engine; all of those of SQLite files share what they have compiled."""
    engine = create_engine(url, **options)
    if engine.name == "sqlite":
        first = _engines.setdefault(engine.driver, engine)
        engine.dialect, engine._compiled_cache = first.dialect, first._compiled_cache
    return engine


def upgrade_at_once(database: Database) -> None:
    """Give an empty SQLite database the newest schema, without a step between; bring any other one up to date."""
    if database.file is not None:
        with database.transaction("make its schema", write=True) as connection:
            if not inspect(connection).get_table_names():
                for statement in schema():
                    connection.exec_driver_sql(statement)
                return
    upgrade(database)


def validate_once(raw: pd.DataFrame, universe: Universe, symbol: str, date: dt.date) -> BarsResult:
    """`validate_bars`; of the very same rows and universe the same result, in a table of its own."""
    key = hashlib.sha256(pickle.dumps((raw, universe.model_dump_json(), symbol, date))).digest()
    found = _days.get(key)
    if found is None:
        found = validate_bars(raw, universe, symbol, date)
        if len(_days) < MOST_DAYS:
            _days[key] = found
    return BarsResult(found.table.copy(), dict(found.counts))


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
