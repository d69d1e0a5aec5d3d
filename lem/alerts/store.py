"""What was told, in the registry's database: of several processes that find the same problem, one tells it, once.

Who tells something claims it first. A claim that is neither kept nor given back, because its process was killed, ends
by itself, and then another process tells it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, select, update

from lem.alerts.problem import Findings, Problem
from lem.registry.alert_tables import AlertRow, NightRow
from lem.registry.connection import Database
from lem.registry.migrate import bring_up_to_date

_ALERTS: Any = AlertRow.__table__
_NIGHTS: Any = NightRow.__table__
CLAIM = dt.timedelta(minutes=10)
"""For how long a process has a claim. Telling takes seconds."""
KEPT = dt.timedelta(days=90)
"""For how long nights are kept."""
HEARTBEAT = "heartbeat"
"""Kind of the rows that say for which night the heartbeat was sent."""


@dataclass(frozen=True)
class Claimed:
    """What this process is to tell.

    Args:
        new: problems that nobody was told of.
        over: problems that somebody was told of, and that are over.
    """

    new: list[Problem]
    over: list[Problem]


@dataclass(frozen=True)
class NightRecord:
    """A night that a command or the night's job has begun.

    Args:
        date: by which it is called.
        process: who makes it (`resources.processes`).
        began_at: UTC.
        ended_at: UTC; None while it goes on, or if its process was killed.
        problem: why it failed; None if it did not.
    """

    date: dt.date
    process: str
    began_at: dt.datetime
    ended_at: dt.datetime | None
    problem: str | None


class AlertStore:
    """The alerts and nights of a registry's database. Every method is a transaction of its own.

    Args:
        url: as for `lem.registry.Registry`.

    Raises:
        RegistryError: (by every method too) the database cannot be reached, read or written.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        bring_up_to_date(self._database)

    def claim(self, universe: str, found: Mapping[str, Findings], now: dt.datetime) -> Claimed:
        """Claim what is to be told of a universe; what another process is telling is left to it.

        Args:
            universe: its name; empty for this machine.
            found: by kind; what was told of kinds that are not named here stays as it is.
            now: UTC.
        """
        # Most looks find nothing new: they do not take the turn of those who write.
        with self._database.transaction("read the alerts") as connection:
            steps = _steps(connection, universe, found, now)
        if not any(steps):
            return Claimed([], [])
        with self._database.transaction("claim alerts", write=True) as connection:
            fresh, again, over, forgotten = _steps(connection, universe, found, now)
            claimed = {"claimed_until": now + CLAIM}
            for problem in fresh:
                row = {**vars(problem), "found_at": now, "told_at": None, **claimed}
                connection.execute(insert(_ALERTS).values(row))
            for problem in again:
                connection.execute(update(_ALERTS).where(_is(problem)).values(**vars(problem), **claimed))
            for problem in over:
                connection.execute(update(_ALERTS).where(_is(problem)).values(claimed))
            for problem in forgotten:
                connection.execute(delete(_ALERTS).where(_is(problem)))
        return Claimed([*fresh, *again], over)

    def told(self, problems: Iterable[Problem], now: dt.datetime) -> None:
        """Claimed problems were told."""
        with self._database.transaction("record that alerts were told", write=True) as connection:
            for problem in problems:
                connection.execute(update(_ALERTS).where(_is(problem)).values(told_at=now, claimed_until=None))

    def cleared(self, problems: Iterable[Problem]) -> None:
        """It was told that claimed problems are over."""
        with self._database.transaction("record that alerts are over", write=True) as connection:
            for problem in problems:
                connection.execute(delete(_ALERTS).where(_is(problem)))

    def give_back(self, problems: Iterable[Problem]) -> None:
        """Claimed problems could not be told: the next look tries again."""
        with self._database.transaction("give alerts back", write=True) as connection:
            for problem in problems:
                connection.execute(update(_ALERTS).where(_is(problem)).values(claimed_until=None))

    def claim_heartbeat(self, universe: str, date: dt.date, now: dt.datetime) -> bool:
        """Whether this process is to send the heartbeat of a night: nobody has, and nobody else is about to."""
        beat = Problem(universe, HEARTBEAT, str(date), "", "")
        return bool(self.claim(universe, {HEARTBEAT: Findings([beat])}, now).new)

    def heartbeat(self, universe: str, date: dt.date, now: dt.datetime, sent: bool) -> None:
        """Record that the heartbeat of a night was sent, or give the claim back; those of earlier nights are forgotten.

        Args:
            universe: its name.
            date: by which the night is called.
            now: UTC.
            sent: whether it was.
        """
        beat = Problem(universe, HEARTBEAT, str(date), "", "")
        if not sent:
            self.give_back([beat])
            return
        row = {**vars(beat), "found_at": now, "told_at": now, "claimed_until": None}
        earlier = and_(_ALERTS.c.universe == universe, _ALERTS.c.kind == HEARTBEAT)
        with self._database.transaction("record a heartbeat", write=True) as connection:
            connection.execute(delete(_ALERTS).where(earlier))
            connection.execute(insert(_ALERTS).values(row))

    def begin_night(self, universe: str, date: dt.date, process: str, now: dt.datetime) -> int:
        """Record that a process makes a night; nights of long ago are forgotten.

        Args:
            universe: its name.
            date: by which the night is called.
            process: who makes it (`resources.processes.this_process`).
            now: UTC.

        Returns:
            The id of this try.
        """
        with self._database.transaction("record a night", write=True) as connection:
            connection.execute(delete(_NIGHTS).where(_NIGHTS.c.began_at < now - KEPT))
            row = {"universe": universe, "date": date, "process": process, "began_at": now}
            return int(connection.scalar(insert(_NIGHTS).values(row).returning(_NIGHTS.c.id)))

    def end_night(self, night: int, now: dt.datetime, problem: str | None) -> None:
        """Record how a try ended.

        Args:
            night: its id.
            now: UTC.
            problem: why it failed; None if it did not.
        """
        with self._database.transaction("record the end of a night", write=True) as connection:
            connection.execute(update(_NIGHTS).where(_NIGHTS.c.id == night).values(ended_at=now, problem=problem))

    def nights(self, universe: str) -> list[NightRecord]:
        """The tries of a universe's nights, in the order in which they were begun."""
        names = ("date", "process", "began_at", "ended_at", "problem")
        query = select(*(_NIGHTS.c[name] for name in names)).where(_NIGHTS.c.universe == universe)
        with self._database.transaction("read the nights") as connection:
            return [NightRecord(*row) for row in connection.execute(query.order_by(_NIGHTS.c.id))]


_Steps = tuple[list[Problem], list[Problem], list[Problem], list[Problem]]
_NAMES = ("universe", "kind", "subject", "sentence", "command")


def _is(problem: Problem) -> Any:
    return and_(*(_ALERTS.c[name] == getattr(problem, name) for name in _NAMES[:3]))


def _steps(connection: Connection, universe: str, found: Mapping[str, Findings], now: dt.datetime) -> _Steps:
    """Problems that are new, to be told again, told and over, and over without ever having been told."""
    query = select(_ALERTS).where(_ALERTS.c.universe == universe, _ALERTS.c.kind.in_(list(found)))
    there = {(row.kind, row.subject): row for row in connection.execute(query)}
    fresh, again, over, forgotten = list[Problem](), list[Problem](), list[Problem](), list[Problem]()
    present = {(p.kind, p.subject): p for findings in found.values() for p in findings.problems}
    for key, problem in present.items():
        row = there.get(key)
        if row is None:
            fresh.append(problem)
        elif row.told_at is None and _free(row.claimed_until, now):
            again.append(problem)
    for key, row in there.items():
        gone = key not in present and not found[row.kind].lasting(row.subject)
        if gone and row.kind != HEARTBEAT and _free(row.claimed_until, now):
            (over if row.told_at else forgotten).append(Problem(*(getattr(row, name) for name in _NAMES)))
    return fresh, again, over, forgotten


def _free(claimed_until: dt.datetime | None, now: dt.datetime) -> bool:
    return claimed_until is None or claimed_until < now
