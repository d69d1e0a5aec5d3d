from __future__ import annotations

import datetime as dt
import os
import sqlite3
import subprocess
import sys
import threading

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, inspect

from lem.errors import RegistryError
from lem.registry import PromotionRecord, Registry
from lem.registry.connection import Database
from lem.registry.decision_figures import DecisionFigures
from lem.registry.migrate import VERSION_TABLE, revisions
from lem.registry.tables import Base
from lem.registry.upgrade import alembic_config, upgrade
from tests.once import upgrade_at_once

OPENER = """
import sys
from lem.registry import PromotionRecord, Registry
print("ready", flush=True)
for line in sys.stdin:
    try:
        Registry(line.strip())
        print("opened", flush=True)
    except Exception as error:
        print(repr(error), flush=True)
"""


@pytest.fixture(autouse=True)
def migrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registries of these tests are made by the migrations, as users' are."""
    monkeypatch.setattr("lem.registry.upgrade.upgrade", upgrade)


def set_revision(path, revision: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = ?", [revision])


def test_the_migrations_give_the_schema_of_the_tables(registry, url):
    with Database(url).transaction("compare") as connection:
        opts = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=opts), Base.metadata) == []


def test_the_migrations_give_the_check_constraints_of_the_tables(registry, url):
    with Database(url).transaction("compare") as connection:
        inspector = inspect(connection)
        for table in Base.metadata.sorted_tables:
            found = {check["name"] for check in inspector.get_check_constraints(table.name)}
            assert found == {c.name for c in table.constraints if isinstance(c, CheckConstraint)}


def test_the_registries_of_other_tests_are_what_the_migrations_make(registry, url, tmp_path):
    upgrade_at_once(Database(f"sqlite:///{tmp_path}/other.db"))
    made = []
    for name in ("registry.db", "other.db"):
        with sqlite3.connect(tmp_path / name) as connection:
            made.append(list(connection.iterdump()))
    assert made[0] == made[1]
    assert Registry(f"sqlite:///{tmp_path}/other.db").models() == []


def test_the_revisions_are_those_that_alembic_finds(registry, url):
    with Database(url).transaction("compare") as connection:
        scripts = ScriptDirectory.from_config(alembic_config(connection))
    assert revisions() == [script.revision for script in scripts.walk_revisions()][::-1]
    assert scripts.get_heads() == revisions()[-1:]


def test_a_registry_that_is_up_to_date_is_opened_without_alembic(registry, url):
    code = f"import sys; from lem.registry import Registry; Registry({url!r}); print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_downgrade_leaves_nothing_and_opening_brings_it_back(registry, url, make_model):
    registry.add_model(make_model())
    database = Database(url)
    with database.transaction("downgrade", write=True) as connection:
        command.downgrade(alembic_config(connection), "base")
        assert inspect(connection).get_table_names() == [VERSION_TABLE]
    with pytest.raises(RegistryError, match="its schema is old or missing; open it once to write"):
        Registry(url, read_only=True)
    assert Registry(url).models() == []


def test_a_registry_of_newer_code_is_refused_and_left_alone(registry, url, tmp_path):
    set_revision(tmp_path / "registry.db", "9999")
    for read_only in (False, True):
        with pytest.raises(RegistryError, match=r"revision 9999 is newer than this code \(0011\); upgrade"):
            Registry(url, read_only=read_only)
    set_revision(tmp_path / "registry.db", "0011")
    assert Registry(url).models() == []


def test_the_decisions_that_stood_before_there_was_a_log_are_its_first_rows(registry, url, make_model):
    registry.add_model(model := make_model(10))
    days = [dt.date(2024, 1, number) for number in (12, 11)]
    figures = DecisionFigures(panel_version="v1")
    for date in days:
        registry.record_promotion(PromotionRecord("crypto", date, model.id, None, None, "kept", ["as it was"], figures))
    made = registry.decisions("crypto")
    with Database(url).transaction("downgrade", write=True) as connection:
        command.downgrade(alembic_config(connection), "0001")
        assert "promotion_log" not in inspect(connection).get_table_names()
    with pytest.raises(RegistryError, match="its schema is old or missing; open it once to write"):
        Registry(url, read_only=True)
    assert Registry(url).decisions("crypto") == made
    assert [decision.date for decision in made] == days


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path, url):
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        connection.execute("CREATE TABLE promotions (mine INTEGER)")
    with pytest.raises(RegistryError, match="cannot upgrade its schema: table promotions already exists"):
        Registry(url)
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("promotions",)]


def test_dagster_s_storage_may_share_the_database(tmp_path, url):
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('7e2f3204cf8e')")
    assert Registry(url).models() == []
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        assert connection.execute("SELECT * FROM alembic_version").fetchall() == [("7e2f3204cf8e",)]


def test_two_processes_may_open_a_fresh_registry_at_once(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    with (
        subprocess.Popen([sys.executable, "-c", OPENER], **pipe) as one,
        subprocess.Popen([sys.executable, "-c", OPENER], **pipe) as two,
    ):
        assert [process.stdout.readline() for process in (one, two)] == ["ready\n", "ready\n"]
        for attempt in range(10):
            for process in (one, two):
                process.stdin.write(f"sqlite:///{tmp_path}/{attempt}.db\n")
                process.stdin.flush()
            assert [process.stdout.readline() for process in (one, two)] == ["opened\n", "opened\n"]


def test_threads_of_one_process_may_open_registries_at_once(tmp_path):
    failed: list[Exception] = []

    def open_one(number: int) -> None:
        try:
            Registry(f"sqlite:///{tmp_path}/{number}.db")
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=open_one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_live_orders_of_before_there_were_fills_go_on_and_those_that_had_ended_are_closed(registry, url, tmp_path):
    database = Database(url)
    with database.transaction("downgrade", write=True) as connection:
        command.downgrade(alembic_config(connection), "0005")
    when, bar = "2024-01-18 11:00:00.000000", "2024-01-18 12:00:00.000000"
    order = "'tiny', 'AAA-USD', 'buy', 'vwap', 'quantity', 10.0, 1, 6, 0.0, 1.0, 1.0"
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        for key, status in (("one", "live"), ("old", "finished")):
            names = (
                "id, universe, asset, side, benchmark, target, size, min_bars, max_bars, min_rate, max_rate, "
                "risk_aversion, start, created_at, status, first_bar, sigma, arrival_price, mean_volume"
            )
            more = "NULL, NULL, NULL, NULL"
            values = f"'{key}', {order}, '{when}', '{when}', '{status}', {more}"
            connection.execute(f"INSERT INTO advised_orders ({names}) VALUES ({values})")
            for hour, share, filled in ((12, 0.2, 0.15), (13, 0.25, "NULL")):
                own = bar.replace(" 12:", f" {hour}:")
                values = f"{share}, 0, 'pace', 0.1, 100.0, {hour - 12}, 1.0, 0, 0, 0, 0, {filled}"
                connection.execute(f"INSERT INTO advised_slices VALUES ('{key}', '{own}', '{own}', '{own}', {values})")
    Registry(url)
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        orders = connection.execute("SELECT id, mode, closed_at, late_amount FROM advised_orders").fetchall()
        query = "SELECT amount, left_before, filled_amount FROM advised_slices WHERE order_id = 'one'"
        slices = connection.execute(query)
        fills = connection.execute("SELECT order_id, fill_id, revision, amount FROM advised_fills").fetchall()
        assert sorted(orders) == [("old", "assume", when, "0"), ("one", "assume", None, "0")]
        assert slices.fetchall() == [("2", "10", "1.5"), ("2.5", "8.5", None)]
    assert fills == [("one", "total@2024-01-18T12:00:00Z", 1, "1.5")]
