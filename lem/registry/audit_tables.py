"""The tables of the audit log of live orders: rows are added, and the database refuses to change or delete one."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ForeignKey, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from lem.registry.tables import Base


class AuditActRow(Base):
    """Somebody did something: who, when and from where. What it did stands in the entries of the act.

    `at` is the clock of the desk, which is set back in a replay; `recorded_at` is the clock of the database.
    """

    __tablename__ = "audit_acts"
    __table_args__ = (Index(None, "universe"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    universe: Mapped[str]
    at: Mapped[dt.datetime]
    recorded_at: Mapped[dt.datetime] = mapped_column(server_default=text("CURRENT_TIMESTAMP"))
    actor: Mapped[str]
    name: Mapped[str | None]
    address: Mapped[str | None]


class AuditEntryRow(Base):
    """What an act did to one order; `facts` is JSON."""

    __tablename__ = "audit_entries"
    __table_args__ = (Index(None, "order_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    act_id: Mapped[int] = mapped_column(ForeignKey("audit_acts.id"))
    order_id: Mapped[str]
    event: Mapped[str]
    facts: Mapped[str] = mapped_column(Text)


class AuditReaderRow(Base):
    """Up to which entry somebody has been told of the log, and which process tells it.

    `beats` grows while the holder lives: one that has stopped has lost its turn.
    """

    __tablename__ = "audit_readers"

    universe: Mapped[str] = mapped_column(primary_key=True)
    reader: Mapped[str] = mapped_column(primary_key=True)
    entry_id: Mapped[int]
    holder: Mapped[str | None]
    beats: Mapped[int] = mapped_column(server_default="0")
