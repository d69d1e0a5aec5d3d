from __future__ import annotations

import importlib.util
import os
import shutil
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL
from sqlalchemy.exc import DatabaseError

from lem.errors import RegistryError
from lem.registry import Registry
from lem.registry.connection import Database
from lem.registry.kept import Kept


@contextmanager
def bound_by_permissions() -> Iterator[None]:
    """Permissions do not bind root: be nobody for a moment."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, as pytest's own is not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_the_missing_folder_of_a_sqlite_file_is_made(tmp_path):
    registry = Registry(f"sqlite:///{tmp_path}/a/b/registry.db")
    assert registry.models() == []
    assert registry.url_shown == f"sqlite:///{tmp_path}/a/b/registry.db"


@pytest.mark.parametrize("name", ["a b.db", "50%.db", "what?.db", "#1.db", "ü.db"])
def test_a_file_may_have_any_name(tmp_path, make_model, name):
    url = URL.create("sqlite", database=str(tmp_path / name)).render_as_string()
    Registry(url).add_model(make_model())
    assert os.listdir(tmp_path) == [name]
    assert len(Registry(url, read_only=True).models()) == 1


def test_a_relative_path_stays_where_it_was_when_the_registry_was_opened(tmp_path, monkeypatch, make_model):
    monkeypatch.chdir(tmp_path)
    registry = Registry("sqlite:///registry.db")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    registry.add_model(make_model())
    assert os.listdir(tmp_path / "other") == []


def test_read_only_reads_and_refuses_to_write(registry, url, make_model, tmp_path):
    registry.add_model(record := make_model())
    before = (tmp_path / "registry.db").read_bytes()
    for reader in (
        Registry(url, read_only=True),
        Registry(f"{url}?mode=ro"),
        Registry(f"sqlite:///file:{tmp_path}/registry.db?mode=ro&uri=true"),
    ):
        assert reader.model(record.id) == record
        with pytest.raises(RegistryError, match=r"cannot register model .* for writing, not read-only"):
            reader.add_model(make_model(11))
        with pytest.raises(RegistryError, match="cannot record the metrics"):
            reader.set_metrics(record.id, "train", {"loss": 1.0})
    assert (tmp_path / "registry.db").read_bytes() == before


def test_reading_a_registry_that_is_not_there_makes_nothing(tmp_path):
    with pytest.raises(RegistryError, match=r"gone/registry\.db: there is no such file; open it to write"):
        Registry(f"sqlite:///{tmp_path}/gone/registry.db", read_only=True)
    assert os.listdir(tmp_path) == []


def test_opening_finds_that_the_file_or_its_folder_may_not_be_written(open_folder, make_model):
    url = f"sqlite:///{open_folder}/registry.db"
    Registry(url).add_model(record := make_model())
    (open_folder / "registry.db").chmod(0o444)
    open_folder.chmod(0o555)
    with bound_by_permissions(), pytest.raises(RegistryError, match=f"may not write {open_folder}; ask for"):
        Registry(url)
    open_folder.chmod(0o777)
    with bound_by_permissions(), pytest.raises(RegistryError, match=r"may not write .*registry\.db; ask for"):
        Registry(url)
    with bound_by_permissions():
        assert Registry(url, read_only=True).models() == [record]


def test_rights_lost_after_opening_end_in_one_message(open_folder, make_model):
    open_folder.chmod(0o777)
    with bound_by_permissions():
        registry = Registry(f"sqlite:///{open_folder}/registry.db")
        (open_folder / "registry.db").chmod(0o444)
        with pytest.raises(RegistryError, match=r"cannot register model .* readonly database; ask for"):
            registry.add_model(make_model())


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: path.mkdir(), "it is a folder; name a file"),
        (lambda path: path.write_text("not SQLite " * 100), ".*file is not a database; the file is damaged"),
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_what_is_no_registry_is_named(tmp_path, url, prepare, message, read_only):
    prepare(tmp_path / "registry.db")
    with pytest.raises(RegistryError, match=f"^registry {url}: {message}"):
        Registry(url, read_only=read_only)


def test_the_database_s_own_error_is_chained(tmp_path, url):
    (tmp_path / "registry.db").write_text("not SQLite " * 100)
    with pytest.raises(RegistryError) as caught:
        Registry(url)
    assert isinstance(caught.value.__cause__, DatabaseError)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RegistryError, match=f"cannot make its folder {tmp_path}/file/sub: Not a directory"):
        Registry(f"sqlite:///{tmp_path}/file/sub/registry.db")


def test_a_table_lost_ends_in_one_message(registry, tmp_path):
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        connection.execute("DROP TABLE promotions")
    with pytest.raises(RegistryError, match="cannot list the promotions of crypto: no such table"):
        registry.promotions("crypto")


def test_a_writer_waits_for_another_and_says_so_when_it_gives_up(url, tmp_path, make_model):
    registry = Registry(f"{url}?timeout=0.2")
    other = sqlite3.connect(tmp_path / "registry.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(RegistryError, match=r"cannot register model .* locked; another process wrote"):
        registry.add_model(make_model())
    assert registry.models() == []
    other.execute("COMMIT")
    registry.add_model(make_model())
    other.close()


def test_foreign_keys_hold_and_a_writer_waits_for_30_s(url):
    with Database(url).transaction("look") as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("registry.db", "not a database URL; allowed are sqlite:"),
        ("", "not a database URL"),
        ("postgresql+psycopg2://u:s3cret@host:port/name", "not a database URL"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///file::memory:?uri=true", "names no file"),
        ("sqlite://registry.db", "write three slashes"),
        ("sqlite:///registry.db?timeout=soon", "wrong value: .*'soon'"),
        ("sqlite+nothing:///registry.db", "knows no such driver"),
        ("mysql://u:s3cret@host/name", "mysql is not supported; allowed are"),
        ("postgresql+nothing://u:s3cret@host/name?password=s3cret", "knows no such driver"),
    ],
)
def test_a_url_that_cannot_be_is_refused_without_showing_its_password(tmp_path, monkeypatch, url, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RegistryError, match=message) as caught:
        Registry(url)
    assert "s3cret" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_postgresql_without_a_driver_needs_psycopg_3(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RegistryError, match=r"names no driver.*postgresql\+psycopg2://") as caught:
        Registry("postgresql://u:s3cret@host/name")
    assert "s3cret" not in str(caught.value)


def test_a_driver_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pg8000", None)
    with pytest.raises(RegistryError, match=r"pg8000.*install the driver"):
        Registry("postgresql+pg8000://u:s3cret@host/name")


def test_a_database_that_is_opened_again_keeps_its_engine_and_reads_a_new_file_as_new(registry, url, make_model):
    assert Database(url)._engine is Database(url)._engine
    assert Database(url, read_only=True)._engine is not Database(url)._engine
    registry.add_model(make_model())
    Path(url.removeprefix("sqlite:///")).unlink()
    assert Registry(url).models() == []
    with pytest.raises(RegistryError, match="read-only"):
        Registry(url, read_only=True).add_model(make_model())


def test_the_log_beside_the_file_is_not_copied_into_it_at_every_bar(tmp_path):
    file = tmp_path / "registry.sqlite"
    kept = Kept(Database(f"sqlite:///{file}"))
    with kept.written_ahead():
        with kept.transaction("write", write=True) as connection:
            connection.exec_driver_sql("CREATE TABLE bars (slices BLOB)")
            connection.exec_driver_sql("INSERT INTO bars VALUES (zeroblob(6000000))")
        assert file.stat().st_size < 1_000_000
    assert file.stat().st_size > 6_000_000


def test_a_long_log_is_copied_into_the_file_beside_who_reads_and_nothing_counts_as_changed(tmp_path, monkeypatch):
    monkeypatch.setattr("lem.registry.kept.LOG_ROWS", 3)
    file = tmp_path / "registry.sqlite"
    kept = Kept(Database(f"sqlite:///{file}"))

    def write(rows: int) -> None:
        with kept.transaction("write", write=True) as connection:
            for _ in range(rows):
                connection.exec_driver_sql("INSERT INTO bars VALUES (zeroblob(1000000))")

    def version() -> int:
        with kept.transaction("look") as connection:
            return connection.exec_driver_sql("PRAGMA data_version").scalar_one()

    with kept.written_ahead():
        with kept.transaction("write", write=True) as connection:
            connection.exec_driver_sql("CREATE TABLE bars (slices BLOB)")
        write(2)
        kept.copy_log()
        assert file.stat().st_size < 1_000_000
        before = version()
        with closing(sqlite3.connect(file)) as reader:
            write(1)
            kept.copy_log()
            assert reader.execute("SELECT count(*) FROM bars").fetchone() == (3,)
        assert file.stat().st_size > 3_000_000
        assert version() == before
        write(3)
        with kept.transaction("write", write=True):
            copying = threading.Thread(target=kept.copy_log)
            copying.start()
            copying.join(10)
            assert not copying.is_alive()
        assert file.stat().st_size < 4_000_000
    Kept(Database(f"sqlite:///{file}")).copy_log()
