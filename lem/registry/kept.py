"""One connection of the registry's database that stays open, for who asks often.

Opening a connection takes longer than a short transaction. And on SQLite only one and the same connection is told
whether others have written (`PRAGMA data_version`).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from lem.registry.connection import PATIENCE_S, WRITES, Database

LOG_PAGES = 8_000
"""Pages (4 KiB) of the write-ahead log after which it is copied into the file.

A bar of many orders changes the same pages of the indices as the one before: copied once for several bars, they are
written less often, and most bars do not wait for it.
"""
LOG_ROWS = 5_000
"""Rows after which `Kept.copy_log` copies the log, before it has `LOG_PAGES`. The next bar takes a little longer."""


class Kept:
    """A connection that stays open. Its transactions take turns; a process that was forked opens its own.

    Args:
        database: that it is to.
    """

    def __init__(self, database: Database) -> None:
        self.lock = threading.RLock()
        """Held while a transaction runs."""
        self.opened = 0
        """How often the connection was opened: what was known of an earlier one means nothing to the next."""
        self._database = database
        self._connection: Connection | None = None
        self._of: tuple[object, ...] = ()
        self._copied = 0, 0

    @contextmanager
    def transaction(self, doing: str, *, write: bool = False) -> Iterator[Connection]:
        """As `Database.transaction`, on the connection that is kept.

        Raises:
            RegistryError: the database failed.
        """
        with self.lock, self._database.explained(doing):
            connection = self._ready().execution_options(**{WRITES: write})
            try:
                with connection.begin():
                    yield connection
            finally:
                if connection.invalidated or connection.in_transaction():
                    self._drop()

    @contextmanager
    def written_ahead(self) -> Iterator[None]:
        """Let a SQLite file have a write-ahead log for as long as the block runs, with all of it synchronised.

        A file that keeps the log cannot be opened from a folder that may not be written, and a copy of the file alone
        lacks what the log has: so it ends with the block, unless others have the file open.
        """
        if self._database.file is None:
            yield
            return
        self._journal("WAL")
        try:
            yield
        finally:
            self._journal("DELETE")

    def copy_log(self) -> None:
        """Copy the write-ahead log into the file, where much was written since: so no commit has to do it.

        On a connection of its own: others read and write meanwhile. Who writes right now is not waited for.

        Raises:
            RegistryError: the database failed.
        """
        if self._database.file is None or not self.lock.acquire(blocking=False):
            return
        try:
            changes = 0 if self._connection is None else _driver_of(self._connection).total_changes
        finally:
            self.lock.release()
        opened, copied = self._copied
        if changes - (copied if opened == self.opened else 0) < LOG_ROWS:
            return
        self._copied = self.opened, changes
        # Where somebody else copies, or reads what would be overwritten, the rest is copied the next time.
        with (
            self._database.explained("copy its log"),
            self._database.connect() as connection,
            suppress(sqlite3.OperationalError),
        ):
            _driver_of(connection).execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _journal(self, mode: str) -> None:
        with self.lock, self._database.explained("open it"):
            own = _driver_of(self._ready())
            # One that others have open, or that its file system cannot give a log, stays as it is.
            with suppress(sqlite3.OperationalError):
                own.execute("PRAGMA busy_timeout = 200")
                own.execute(f"PRAGMA journal_mode = {mode}").fetchall()
                own.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}").fetchall()
            own.execute(f"PRAGMA busy_timeout = {1000 * PATIENCE_S}")
            own.execute("PRAGMA synchronous = FULL")

    def _ready(self) -> Connection:
        of = (os.getpid(), *self._file())
        if self._connection is not None and of != self._of:
            # A fork must not touch what its parent has open.
            if of[0] == self._of[0]:
                self._drop()
            self._connection = None
        if self._connection is not None and self._database.file is None:
            # The server may have closed it while nobody asked.
            try:
                self._connection.exec_driver_sql("SELECT 1")
                self._connection.rollback()
            except SQLAlchemyError:
                self._drop()
        if self._connection is None:
            self._connection = self._database.connect()
            self._of = (os.getpid(), *self._file())
            self.opened += 1
        return self._connection

    def _file(self) -> tuple[int, int]:
        """Which file it is: one that was put in its place is another database."""
        if self._database.file is None:
            return 0, 0
        with suppress(FileNotFoundError):
            found = os.stat(self._database.file)
            return found.st_dev, found.st_ino
        return 0, 0

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.close()


def _driver_of(connection: Connection) -> Any:
    """The driver's own connection: a statement on it begins no transaction."""
    return connection.connection.driver_connection
