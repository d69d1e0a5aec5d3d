"""The registry's database: which URLs are allowed, how a transaction begins, and what a failure says."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from lem.errors import RegistryError
from lem.masking import Masking

ALLOWED = "allowed are sqlite:////absolute/path.db and postgresql+psycopg2://user:password@host/database"
PATIENCE_S = 30
CONNECT_S = 10

# Any constant does, as long as every registry of a PostgreSQL database takes the same one ("lem" in ASCII).
_WRITER_LOCK = 0x6C656D
WRITES = "registry_writes"
"""Execution option of a connection whose transactions write: the writers of a database take turns."""

# Pieces of SQLite's and PostgreSQL's messages, and what a user can do about each.
_REMEDIES = (
    (("not a database", "malformed"), "the file is damaged or no SQLite database: restore or move it"),
    (("unable to open", "no such file"), "check that the path is right and may be opened"),
    (("readonly", "read-only", "permission denied"), "ask for the right to write, or open it read-only"),
    (("locked", "lock timeout"), f"another process wrote for over {PATIENCE_S} s: try again later"),
    (("disk is full", "i/o error", "no space"), "free some space or check the disk, then try again"),
    (("no such table", "no such column", "does not exist"), "restore the database, or name one that exists"),
    (("already exists",), "the database holds tables of something else: give the registry its own"),
    (
        ("connect", "authentication", "translate host"),
        "check that the server runs and that host, port, database, user and password are right",
    ),
)


class Database:
    """A SQLite file or a PostgreSQL database, one connection per transaction: nothing to close, safe to fork.

    On both, writers take turns: a transaction that writes waits up to 30 s for the one before it.

    Args:
        url: an SQLAlchemy URL. A missing folder of a SQLite file is made, unless it is opened read-only.
        read_only: refuse to write; a SQLite URL with `mode=ro` or `immutable=1` asks for the same.

    Raises:
        RegistryError: the URL is not one of the allowed kinds, its driver is missing, or the file may not be
            written.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        parsed = _parse(url)
        connect_args: dict[str, Any] = {}
        self._file: Path | None = None
        if parsed.get_backend_name() == "sqlite":
            self._file = path = _sqlite_path(parsed)
            read_only = read_only or parsed.query.get("mode") == "ro" or "immutable" in parsed.query
            parsed = parsed.set(database=str(path))
            self.shown = _shown(parsed)
            _check_file(path, self.shown, read_only)
            mode = {"mode": "ro"} if read_only else {}
            query = {**parsed.query, **mode, "uri": "true"}
            parsed = parsed.set(database=f"file:{quote(str(path))}", query=query)
            connect_args = {} if "timeout" in parsed.query else {"timeout": PATIENCE_S}
        else:
            self.shown = _shown(parsed)
            libpq = parsed.drivername in ("postgresql", "postgresql+psycopg", "postgresql+psycopg2")
            if libpq and "connect_timeout" not in parsed.query:
                connect_args = {"connect_timeout": CONNECT_S}
        self.read_only = read_only
        self._masked = Masking(str(value) for value in (parsed.password, parsed.query.get("password")) if value)
        with self.explained("open it"):
            self._engine = _engine(parsed, *connect_args.items(), shown=self.shown)

    @contextmanager
    def transaction(self, doing: str, *, write: bool = False) -> Iterator[Connection]:
        """A connection in a transaction, committed at the end.

        Args:
            doing: what the transaction does, for messages: "cannot ...".
            write: whether it writes.

        Raises:
            RegistryError: the database failed, or it is open read-only and `write` was asked for.
        """
        if write and self.read_only:
            raise RegistryError(f"registry {self.shown}: cannot {doing}: open it for writing, not read-only")
        engine = self._engine.execution_options(**{WRITES: write})
        with self.explained(doing), engine.begin() as connection:
            yield connection

    def connect(self) -> Connection:
        """A connection that the caller closes (`lem.registry.kept`)."""
        return self._engine.connect()

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database; None of others."""
        return self._file

    @contextmanager
    def explained(self, doing: str, *more: type[Exception]) -> Iterator[None]:
        """Turn errors into one RegistryError that does not show the password.

        Args:
            doing: what was done, for messages: "cannot ...".
            *more: errors that are turned besides those of SQLAlchemy.

        Raises:
            RegistryError: the block raised such an error.
        """
        expected: tuple[type[Exception], ...] = (SQLAlchemyError, *more)
        try:
            yield
        except expected as error:
            cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
            reason = self._masked(" ".join(str(cause).split()))
            message = f"registry {self.shown}: cannot {doing}: {reason}"
            for words, remedy in _REMEDIES:
                if any(word in reason.lower() for word in words):
                    message += f"; {remedy}"
                    break
            raise RegistryError(message) from error


def may_write(url: str) -> bool:
    """Whether this user may write a registry; of one that is no file, or is not there yet, its server or folder tells.

    Args:
        url: an SQLAlchemy URL.

    Raises:
        RegistryError: the URL is not one of the allowed kinds.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() != "sqlite":
        return True
    path = _sqlite_path(parsed)
    return not path.exists() or not _unwritable(path)


def _unwritable(path: Path) -> Path | None:
    effective = os.access in os.supports_effective_ids
    places = (path.parent, path)
    return next((p for p in places if p.exists() and not os.access(p, os.W_OK, effective_ids=effective)), None)


def _parse(text: str) -> URL:
    # What SQLAlchemy raises may quote a piece of the URL, and with it of the password: it is not chained.
    try:
        url = make_url(text)
        backend = url.get_backend_name()
    except (ArgumentError, ValueError, TypeError):
        raise RegistryError(f"the registry's URL is not a database URL; {ALLOWED}") from None
    if backend not in ("sqlite", "postgresql"):
        raise RegistryError(f"registry {_shown(url)}: {backend} is not supported; {ALLOWED}")
    if url.drivername == "postgresql" and importlib.util.find_spec("psycopg") is None:
        raise RegistryError(
            f"registry {_shown(url)}: the URL names no driver, which means psycopg 3, and that is not "
            "installed: name the driver (postgresql+psycopg2://...) or install psycopg"
        )
    return url


def _shown(url: URL) -> str:
    hidden = {key: "hidden" if "password" in key.lower() else value for key, value in url.query.items()}
    return url.set(query=hidden).render_as_string(hide_password=True)


def _sqlite_path(url: URL) -> Path:
    name = url.database or ""
    if url.host:
        raise RegistryError(f"registry {_shown(url)}: SQLite has no host, write three slashes; {ALLOWED}")
    if name.startswith("file:"):
        name = unquote(urlsplit(name).path)
    if name in ("", ":memory:") or url.query.get("mode") == "memory":
        raise RegistryError(f"registry {_shown(url)}: it names no file, and memory does not last; {ALLOWED}")
    return Path(name).absolute()


def _check_file(path: Path, shown: str, read_only: bool) -> None:
    if os.path.isdir(path):
        raise RegistryError(f"registry {shown}: it is a folder; name a file")
    if read_only:
        if not os.path.exists(path):
            raise RegistryError(f"registry {shown}: there is no such file; open it to write, which makes it")
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RegistryError(
            f"registry {shown}: cannot make its folder {path.parent}: {error.strerror}; make it yourself, or "
            "name another path"
        ) from error
    # SQLite opens what it may not write as read-only, and complains at the first write: after the training.
    if place := _unwritable(path):
        raise RegistryError(
            f"registry {shown}: cannot open it for writing: this user may not write {place}; ask for the "
            "right to write, or open it read-only"
        )


@lru_cache(maxsize=16)
def _engine(url: URL, *connect_args: tuple[str, Any], shown: str) -> Engine:
    # Kept, with the statements that it has compiled, for who opens the same database again: each step of a run does.
    try:
        engine = create_engine(url, poolclass=NullPool, connect_args=dict(connect_args))
    except NoSuchModuleError as error:
        raise RegistryError(f"registry {shown}: SQLAlchemy knows no such driver; {ALLOWED}") from error
    except ImportError as error:
        raise RegistryError(f"registry {shown}: {error}; install the driver, or name another one") from error
    except (TypeError, ValueError) as error:
        raise RegistryError(f"registry {shown}: an option in the URL has a wrong value: {error}") from error
    if engine.dialect.is_async:
        raise RegistryError(f"registry {shown}: its driver is asynchronous; {ALLOWED}")
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "begin", _begin_postgresql)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    # The driver by itself begins a transaction at the first INSERT: migrations would run outside of one.
    # And two readers that go on to write fail without waiting: a writer takes the lock first.
    writes = connection.get_execution_options().get(WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get(WRITES):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{PATIENCE_S}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")
