"""The open orders of a database in memory: read once, and after that changed by whoever writes them.

Whether others have written is asked of the database whenever something is read or written here. If so, all is read
anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from lem.advice.order import OPEN
from lem.advice.order_reading import open_orders
from lem.advice.records import OpenOrder
from lem.registry.audit_tables import AuditActRow
from lem.registry.connection import Database
from lem.registry.kept import Kept

_UNKNOWN: tuple[int, int | None] = (0, None)


@dataclass
class Writing:
    """A transaction that writes.

    Args:
        connection: in the transaction.
        changed: what orders are after it, open or not; the writer says so.
    """

    connection: Connection
    changed: list[OpenOrder] = field(default_factory=list)


class OpenOrders:
    """The open orders of a registry's database, as they are there.

    Args:
        database: has them, up to date.
    """

    def __init__(self, database: Database) -> None:
        self._kept = Kept(database)
        self._version = _UNKNOWN
        self._known: dict[str, dict[str, OpenOrder]] = {}

    @contextmanager
    def writing(self, doing: str) -> Iterator[Writing]:
        """A transaction that writes; what it says that it changed is changed here, too, once it is committed.

        Args:
            doing: what it does, for messages: "cannot ...".

        Raises:
            RegistryError: the database failed.
        """
        with self._kept.lock:
            with self._kept.transaction(doing, write=True) as connection:
                self._look(connection)
                writing = Writing(connection)
                yield writing
                version = self._version_of(connection)
                # Where this is broken off, nobody knows what was written: all is read anew.
                self._version = _UNKNOWN
            for order in writing.changed:
                known = self._known.get(order.universe)
                if known is not None and order.status in OPEN:
                    known[order.id] = order
                elif known is not None:
                    known.pop(order.id, None)
            self._version = version

    def read(self, universe: str, order_id: str | None = None) -> list[OpenOrder]:
        """The open orders of a universe, by id; or one of them.

        Raises:
            RegistryError: the database failed.
        """
        with self._kept.transaction("read the open orders") as connection:
            self._look(connection)
            return self.within(connection, universe, order_id)

    @contextmanager
    def written_ahead(self) -> Iterator[None]:
        """As `lem.registry.kept.Kept.written_ahead`."""
        with self._kept.written_ahead():
            yield

    def copy_log(self) -> None:
        """As `lem.registry.kept.Kept.copy_log`."""
        self._kept.copy_log()

    def within(self, connection: Connection, universe: str, order_id: str | None = None) -> list[OpenOrder]:
        """The same in a transaction of `writing`."""
        if universe not in self._known:
            self._known[universe] = {order.id: order for order in open_orders(connection, universe)}
        known = self._known[universe]
        if order_id is not None:
            return [known[order_id]] if order_id in known else []
        return [known[key] for key in sorted(known)]

    def count(self, connection: Connection, universe: str) -> int:
        """How many there are, in a transaction of `writing`."""
        return len(self.within(connection, universe))

    def _look(self, connection: Connection) -> None:
        version = self._version_of(connection)
        if version != self._version:
            self._known.clear()
            self._version = version

    def _version_of(self, connection: Connection) -> tuple[int, int | None]:
        """What is another number once others have written.

        On SQLite once anybody but this connection has written anything; on PostgreSQL once an act was added to the
        audit log, which every change of an order does in its own transaction.
        """
        if connection.dialect.name == "sqlite":
            return self._kept.opened, connection.exec_driver_sql("PRAGMA data_version").scalar_one()
        return self._kept.opened, connection.execute(select(func.max(AuditActRow.id))).scalar_one()
