"""The tables of nights and of alerts, in the registry's database: what was tried, and what people were told."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from lem.registry.tables import Base


class NightRow(Base):
    """A night that a command or the night's job has begun, in the order of `id`.

    `process` is who makes it. `problem` is why it failed; without `ended_at` it goes on, or its process was killed.
    """

    __tablename__ = "nights"
    __table_args__ = (Index(None, "universe"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    universe: Mapped[str]
    date: Mapped[dt.date]
    process: Mapped[str]
    began_at: Mapped[dt.datetime]
    ended_at: Mapped[dt.datetime | None]
    problem: Mapped[str | None] = mapped_column(Text)


class AlertRow(Base):
    """Something that is wrong, and whether it was told: the row is there until it is over and that was told too.

    Until `claimed_until` one process is telling it.
    """

    __tablename__ = "alerts"

    universe: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    sentence: Mapped[str] = mapped_column(Text)
    command: Mapped[str]
    found_at: Mapped[dt.datetime]
    told_at: Mapped[dt.datetime | None]
    claimed_until: Mapped[dt.datetime | None]
