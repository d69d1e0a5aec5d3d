"""How far a reader of the audit log has been told, and which of several processes tells it.

One holds the turn and says with every beat that it lives. Whoever sees that its beats have stopped takes the turn. No
clock is compared with another one: each watches by its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select, update

from lem.registry.audit_tables import AuditEntryRow, AuditReaderRow
from lem.registry.connection import Database

_READERS: Any = AuditReaderRow.__table__


@dataclass(frozen=True)
class Turn:
    """Where a reader stands.

    Args:
        entry_id: the last entry that it has taken.
        holder: who tells it; None for nobody.
        beats: grows while the holder lives.
    """

    entry_id: int
    holder: str | None
    beats: int


class AuditReader:
    """A reader of the audit log of a universe, whoever tells it. Every method is a transaction of its own.

    Args:
        database: of the registry, up to date.
        universe: of the orders.
        name: of the reader.

    Raises:
        RegistryError: (by every method) the database cannot be reached, read or written.
    """

    def __init__(self, database: Database, universe: str, name: str) -> None:
        self._database, self._key = database, {"universe": universe, "reader": name}
        self._own = (_READERS.c.universe == universe) & (_READERS.c.reader == name)

    def turn(self) -> Turn:
        """Where it stands. A new reader has taken all entries that are there."""
        query = select(_READERS.c.entry_id, _READERS.c.holder, _READERS.c.beats).where(self._own)
        doing = "find a reader of the audit log"
        with self._database.transaction(doing) as connection:
            found = connection.execute(query).one_or_none()
        if found is None:
            with self._database.transaction(doing, write=True) as connection:
                if connection.execute(query).one_or_none() is None:
                    newest = connection.execute(select(func.max(AuditEntryRow.id))).scalar_one() or 0
                    connection.execute(insert(_READERS), self._key | {"entry_id": newest})
                found = connection.execute(query).one()
        return Turn(*found)

    def take(self, holder: str, seen: Turn) -> bool:
        """Take the turn, unless anything has happened since it was seen."""
        unchanged = _READERS.c.holder.is_not_distinct_from(seen.holder) & (_READERS.c.beats == seen.beats)
        return self._change(unchanged, holder=holder, beats=seen.beats + 1)

    def beat(self, holder: str) -> bool:
        """Say that the holder lives. Whether it still holds the turn."""
        return self._change(_READERS.c.holder == holder, beats=_READERS.c.beats + 1)

    def release(self, holder: str) -> None:
        """Give the turn to whoever wants it."""
        self._change(_READERS.c.holder == holder, holder=None)

    def move(self, entry_id: int) -> None:
        """Note that it has taken an entry, and all before it."""
        self._change(_READERS.c.entry_id < entry_id, entry_id=entry_id)

    def _change(self, where: Any, **columns: Any) -> bool:
        with self._database.transaction("note what a reader of the audit log has", write=True) as connection:
            return connection.execute(update(_READERS).where(self._own, where).values(**columns)).rowcount == 1
