"""The audit log of live orders: who did what to which order, when and from where. It only grows.

An act is written in the transaction of what it tells of: there is no change without its entry, and no entry of a change
that was not made. What an entry says is enough to add up an order again without any other table.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, get_args

import orjson
from sqlalchemy import Connection, func, insert, select

from lem.advice.audit_reader import AuditReader
from lem.advice.callers import Actor, caller
from lem.advice.decided import Decided
from lem.advice.fills import Fill
from lem.advice.quick import quick
from lem.advice.records import ArrivalRecord, OrderRecord, SliceRecord
from lem.registry.audit_tables import AuditActRow, AuditEntryRow
from lem.registry.connection import Database
from lem.registry.many import insert_many

_ACTS: Any = AuditActRow.__table__
_ENTRIES: Any = AuditEntryRow.__table__
MOST_ENTRIES = 1000
"""Entries that are read at once."""

Event = Literal[
    "created",
    "begun",
    "advised",
    "missed",
    "ended",
    "filled",
    "corrected",
    "paused",
    "resumed",
    "amended",
    "cancelled",
    "closed",
]
EVENTS: tuple[Event, ...] = get_args(Event)


@quick(frozen=True, slots=True)
class Told:
    """What happened to one order, to be written.

    Args:
        order_id: of the order.
        event: what happened.
        facts: JSON of what it came to; amounts, prices and fees are digits, times are UTC.
    """

    order_id: str
    event: Event
    facts: str = "{}"


@dataclass(frozen=True)
class AuditEntry:
    """An entry of the audit log.

    Args:
        id: grows with every entry.
        at: clock of the desk (UTC); that of the replay in a replay.
        recorded_at: clock of the database (UTC), in whole seconds on SQLite.
        universe: of the order.
        order_id: of the order.
        event: what happened.
        facts: what it came to; amounts, prices and fees are digits, times are UTC.
        actor: through which door.
        name: of the token or the system's user.
        address: of a request.
    """

    id: int
    at: dt.datetime
    recorded_at: dt.datetime
    universe: str
    order_id: str
    event: Event
    facts: dict[str, Any]
    actor: Actor
    name: str | None
    address: str | None


def write_act(connection: Connection, universe: str, now: dt.datetime, told: Sequence[Told]) -> None:
    """Write what the caller does, in the caller's transaction; nothing where nothing happened.

    Args:
        connection: in the transaction of the change.
        universe: of the orders.
        now: clock of the desk (UTC).
        told: what happened to each order.
    """
    if not told:
        return
    who = caller()
    act = {"universe": universe, "at": now, "actor": who.actor, "name": who.name, "address": who.address}
    key = connection.execute(insert(_ACTS).returning(_ACTS.c.id), act).scalar_one()
    names = ("order_id", "event", "facts")
    columns = {"act_id": [key] * len(told)} | {name: [getattr(one, name) for one in told] for name in names}
    insert_many(connection, _ENTRIES, columns)


def created(order: OrderRecord) -> Told:
    """The entry of an order that was taken on, with all of its terms."""
    names = ("asset", "side", "benchmark", "target", "min_bars", "max_bars", "min_rate", "max_rate", "risk_aversion")
    facts = {name: getattr(order, name) for name in names}
    facts |= {"size": order.exact_size, "start": order.start, "mode": order.mode, "limit_price": order.limit_price}
    facts |= {"fallback": order.fallback}
    facts |= {name: getattr(order.rules, name) for name in ("lot", "tick", "min_amount", "min_notional")}
    return Told(order.id, "created", _json(facts))


def changed(order_id: str, event: Event, **facts: object) -> Told:
    """The entry of a change of an order's state."""
    return Told(order_id, event, _json(facts))


def filled(fill: Fill, status: str) -> Told:
    """The entry of a fill.

    Args:
        fill: that was told.
        status: of the order after it.
    """
    names = ("fill_id", "revision", "bar", "amount", "price", "fee", "traded_at")
    facts = {name: getattr(fill, name) for name in names} | {"status": status}
    return Told(fill.order_id, "filled" if fill.revision == 1 else "corrected", _json(facts))


def decided(orders: Mapping[str, OrderRecord], what: Decided) -> list[Told]:
    """The entries of a bar: arrivals, slices, and orders that ended.

    Args:
        orders: that were decided, by id.
        what: was decided.
    """
    out = [Told(key, "begun", _arrival(arrival)) for key, arrival in what.begun.items()]
    out += [_sliced(orders[one.order_id], one) for one in what.slices]
    for key, end in what.ended.items():
        names = ("bars_used", "filled_share", "achieved", "benchmark_price", "gain_bps", "last_price")
        out.append(Told(key, "ended", _json({"status": end.status} | {name: getattr(end, name) for name in names})))
    return out


def _arrival(arrival: ArrivalRecord) -> str:
    names = ("model_id", "first_bar", "sigma", "arrival_price", "mean_volume")
    return _json({name: getattr(arrival, name) for name in names})


def _sliced(order: OrderRecord, one: SliceRecord) -> Told:
    facts = {
        "asset": order.asset,
        "side": order.side,
        "unit": order.target,
        "bar": _time(one.bar),
        "amount": f"{one.advised(order):f}",
        "left_before": f"{one.before(order):f}",
        "share": one.share,
        "finish": one.finish,
        "reason": one.reason,
        "last_close": one.last_close,
    }
    # All values are of JSON's own types: thousands are written every bar.
    return Told(one.order_id, "missed" if one.reason == "missed" else "advised", orjson.dumps(facts).decode())


@lru_cache(maxsize=64)
def _time(bar: dt.datetime) -> str:
    return f"{bar:%Y-%m-%dT%H:%M:%SZ}"


def _json(facts: Mapping[str, object]) -> str:
    return json.dumps(facts, default=_plain)


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S}{f'.{value:%f}' if value.microsecond else ''}Z"
    raise TypeError(f"a fact of type {type(value).__name__}; allowed: JSON's own, decimals and times")


def _entry(row: Sequence[Any]) -> AuditEntry:
    values = [json.loads(value) if place == _AT_FACTS else value for place, value in enumerate(row)]
    return AuditEntry(*values)


_AT_FACTS = [field.name for field in fields(AuditEntry)].index("facts")


class AuditLog:
    """Reads the audit log of a registry's database.

    Args:
        database: of the registry, up to date.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(
        self,
        universe: str,
        order_id: str | None = None,
        since: dt.datetime | None = None,
        after: int = 0,
        limit: int = MOST_ENTRIES,
    ) -> list[AuditEntry]:
        """Entries in the order in which they were written.

        Args:
            universe: of the orders.
            order_id: of one order; None for all.
            since: leave out what was done before it, by the clock of the desk (UTC).
            after: id of the last entry that is left out.
            limit: of entries.

        Raises:
            RegistryError: the database cannot be read.
        """
        columns = (
            *(_ENTRIES.c.id, _ACTS.c.at, _ACTS.c.recorded_at, _ACTS.c.universe, _ENTRIES.c.order_id),
            *(_ENTRIES.c.event, _ENTRIES.c.facts, _ACTS.c.actor, _ACTS.c.name, _ACTS.c.address),
        )
        query = select(*columns).join(_ACTS, _ACTS.c.id == _ENTRIES.c.act_id)
        query = query.where(_ACTS.c.universe == universe, _ENTRIES.c.id > after)
        if order_id is not None:
            query = query.where(_ENTRIES.c.order_id == order_id)
        if since is not None:
            query = query.where(_ACTS.c.at >= since)
        with self._database.transaction("read the audit log") as connection:
            rows = connection.execute(query.order_by(_ENTRIES.c.id).limit(limit)).all()
        return [_entry(row) for row in rows]

    def entries(
        self, universe: str, order_id: str | None = None, since: dt.datetime | None = None
    ) -> Iterator[AuditEntry]:
        """All entries, a page at a time. Args as `page`."""
        after = 0
        while found := self.page(universe, order_id, since, after):
            yield from found
            after = found[-1].id

    def newest(self) -> int:
        """Id of the last entry of all universes; 0 where there is none."""
        with self._database.transaction("read the audit log") as connection:
            return connection.execute(select(func.max(_ENTRIES.c.id))).scalar_one() or 0

    def reader(self, universe: str, name: str) -> AuditReader:
        """A reader of the entries of a universe, by its name."""
        return AuditReader(self._database, universe, name)
