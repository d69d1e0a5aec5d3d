"""Where live orders and their slices are kept: tables of the registry's database.

The key of a slice is its order and its bar, and all slices of a bar are written in one transaction, with what became
of the bars before it. A process that is killed leaves all of a bar or nothing of it; of two that decide at the same
time one waits for the other and then finds the bar decided.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from decimal import Decimal

from sqlalchemy import Connection, and_, func, insert, select, update

from lem.advice import audit
from lem.advice.bar_book import write_bar
from lem.advice.decided import Decided
from lem.advice.fill_book import fill_of, fills_of, total_of, write_fill
from lem.advice.fills import Fill, FillNews
from lem.advice.life import Change
from lem.advice.listing import Listing, Page, keys_of
from lem.advice.open_orders import OpenOrders
from lem.advice.order import OrderState, ParentOrder, Status
from lem.advice.order_reading import find, known, slices_of, states, with_gaps, with_last_slice
from lem.advice.order_rows import ORDER, ORDERS, RULES, columns
from lem.advice.records import OpenOrder, OrderRecord, SliceRecord
from lem.advice.soundness import sound
from lem.errors import OrderStateError, UnknownOrderError
from lem.registry.connection import Database
from lem.registry.migrate import bring_up_to_date


class AdviceStore:
    """The live orders of a registry's database. Every method is a transaction of its own.

    Args:
        url: as for `lem.registry.Registry`.
        most_open: of a universe, how many orders may be open at the same time; None for any number.

    Raises:
        RegistryError: (by every method too) the database cannot be reached, read or written.
    """

    def __init__(self, url: str, most_open: int | None = None) -> None:
        self._most_open = most_open
        self._database = Database(url)
        bring_up_to_date(self._database)
        self._open = OpenOrders(self._database)
        self.audit = audit.AuditLog(self._database)

    @contextmanager
    def written_ahead(self) -> Iterator[None]:
        """For as long as a service runs, let SQLite write to a log beside its file, which takes a fraction of the time.

        What is committed is on the disk in either way. PostgreSQL does the same by itself.
        """
        with self._open.written_ahead():
            yield

    def copy_log(self) -> None:
        """Copy that log into the file, where much was written since; a service does so between two bars."""
        self._open.copy_log()

    def add(self, order: ParentOrder, now: dt.datetime) -> tuple[OrderState, bool]:
        """Store an order. The same order under the same id again changes nothing.

        Returns:
            The stored order, and whether it is new.

        Raises:
            OrderStateError: the id is taken by another order, or too many are open.
        """
        with self._open.writing(f"store order {order.id}") as writing:
            connection = writing.connection
            there = find(connection, order.id)
            if there is not None:
                state = there.state()
                if state.order != order:
                    raise OrderStateError(
                        f"id {order.id}: there is another order of this id ({_terms(state.order)}; what differs: "
                        f"{_differences(state.order, order)}); allowed: an id "
                        "that is free, or the same order again"
                    )
                return state, False
            self._check_quota(connection, order.universe)
            record = OrderRecord.of(order, now)
            connection.execute(insert(ORDERS), [{**columns(record, ORDER), **columns(record.rules, RULES)}])
            audit.write_act(connection, order.universe, now, [audit.created(record)])
            writing.changed.append(with_last_slice(connection, order.id))
            return record.state(), True

    def order(self, order_id: str) -> OrderState:
        """One order.

        Raises:
            UnknownOrderError: there is none of this id.
        """
        with self._database.transaction(f"read order {order_id!a}") as connection:
            known(connection, order_id)
            return _state(connection, order_id)

    def has(self, order_id: str) -> bool:
        """Whether there is an order of this id, in whatever universe."""
        with self._database.transaction(f"look for order {order_id!a}") as connection:
            return find(connection, order_id) is not None

    def orders(
        self, universe: str, statuses: Sequence[Status] | None = None, limit: int | None = None
    ) -> list[OrderState]:
        """Orders of a universe, the newest first."""
        return self.page(universe, Listing(statuses, limit=limit)).states

    def page(self, universe: str, wanted: Listing) -> Page:
        """A page of the orders of a universe, the newest first; those that cannot be read are left to the log.

        Raises:
            OrderError: as `lem.advice.listing.keys_of`.
        """
        with self._database.transaction("list the orders") as connection:
            keys, cursor = keys_of(connection, universe, wanted)
            return Page(states(connection, keys), cursor)

    def slices(self, order_id: str) -> list[tuple[OrderRecord, SliceRecord]]:
        """Every slice of an order beside the order, in the order of its bars.

        Raises:
            UnknownOrderError: there is no such order.
        """
        with self._database.transaction(f"read the slices of {order_id!a}") as connection:
            order = known(connection, order_id)
            return [(order, slice_) for slice_ in slices_of(connection, order)]

    def fills(self, order_id: str) -> list[Fill]:
        """Everything that was told of an order's fills, corrections too.

        Raises:
            UnknownOrderError: there is no such order.
        """
        with self._database.transaction(f"read the fills of {order_id!a}") as connection:
            known(connection, order_id)
            return fills_of(connection, order_id)

    def told(self, universe: str, order_id: str) -> tuple[OrderRecord, list[SliceRecord], list[Fill]]:
        """An order of a universe with all of its slices, in the order of their bars, and all that was told of fills.

        Raises:
            UnknownOrderError: there is no such order in the universe.
        """
        with self._database.transaction(f"read all of {order_id!a}") as connection:
            order = known(connection, order_id)
            if order.universe != universe:
                raise UnknownOrderError(
                    f"order {order_id} is of universe {order.universe}; allowed: orders of {universe}"
                )
            return order, slices_of(connection, order), fills_of(connection, order_id)

    def orders_of_day(self, universe: str, date: dt.date) -> list[str]:
        """Ids of the orders whose first bar lies on a date (UTC), or whose start does where they have not begun."""
        began = func.coalesce(ORDERS.c.first_bar, ORDERS.c.start)
        midnight, end = (dt.datetime.combine(date, time, dt.UTC) for time in (dt.time.min, dt.time.max))
        wanted = and_(ORDERS.c.universe == universe, began >= midnight, began <= end)
        with self._database.transaction(f"list the orders of {date}") as connection:
            return list(connection.execute(select(ORDERS.c.id).where(wanted).order_by(ORDERS.c.id)).scalars())

    def change(
        self, order_id: str, choose: Callable[[OpenOrder, dt.datetime], Change | None], now: dt.datetime
    ) -> OrderState:
        """Write what a function of `lem.advice.life` makes of an order; None changes nothing.

        Raises:
            UnknownOrderError: there is no such order.
            OrderStateError: as `choose`.
            OrderError: likewise.
        """
        with self._open.writing(f"change order {order_id!a}") as writing:
            connection = writing.connection
            known(connection, order_id)
            order = with_last_slice(connection, order_id)
            change = choose(order, now)
            if change is not None:
                connection.execute(update(ORDERS).where(ORDERS.c.id == order_id), change.columns)
                audit.write_act(connection, order.universe, now, [change.told])
                order = with_last_slice(connection, order_id)
                writing.changed.append(order)
            with sound(order_id):
                return order.state()

    def fill(self, order_id: str, news: FillNews, now: dt.datetime) -> tuple[Fill, bool]:
        """Store a fill. The same fill again changes nothing.

        Returns:
            The fill, and whether it is new.

        Raises:
            UnknownOrderError: there is no such order.
            OrderStateError: as `lem.advice.fill_book.fill_of`.
            OrderError: likewise.
        """
        with self._open.writing(f"store a fill of {order_id!a}") as writing:
            connection = writing.connection
            order = known(connection, order_id)
            slices, there = slices_of(connection, order), fills_of(connection, order_id)
            fill = fill_of(order, slices, there, news, now)
            if fill is None:
                return [told for told in there if told.fill_id == news.fill_id][-1], False
            write_fill(connection, order, slices, fill)
            writing.changed.append(with_last_slice(connection, order_id))
            return fill, True

    def total(
        self, order_id: str, bar: dt.datetime, amount: Decimal, now: dt.datetime
    ) -> tuple[OrderRecord, SliceRecord]:
        """Store what was filled in a bar as one number, in the order's unit; the last word counts.

        Returns:
            The order and the slice.

        Raises:
            UnknownOrderError: there is no such order.
            OrderStateError: as `lem.advice.fill_book.total_of`.
            OrderError: likewise.
        """
        with self._open.writing(f"store a fill of {order_id!a}") as writing:
            connection = writing.connection
            order = known(connection, order_id)
            slices, there = slices_of(connection, order), fills_of(connection, order_id)
            fill = total_of(order, slices, there, (bar, amount), now)
            if fill is not None:
                write_fill(connection, order, slices, fill)
                writing.changed.append(with_last_slice(connection, order_id))
            order = known(connection, order_id)
            return order, next(slice_ for slice_ in slices_of(connection, order) if slice_.bar == bar)

    def booked(self, universe: str, order_id: str | None = None) -> list[OpenOrder]:
        """The open orders of a universe with their last slices; or one order, if it is open."""
        return self._open.read(universe, order_id)

    def decide(
        self,
        universe: str,
        choose: Callable[[list[OpenOrder]], Decided],
        now: dt.datetime,
        order_id: str | None = None,
    ) -> None:
        """Write what `choose` makes of the open orders; until it is written nobody else decides.

        Where `choose` raises, nothing is written.
        """
        with self._open.writing("store the slices of a bar") as writing:
            orders = self._open.within(writing.connection, universe, order_id)
            decided, booked = choose(with_gaps(writing.connection, orders)), {order.id: order for order in orders}
            writing.changed += write_bar(writing.connection, booked, decided)
            audit.write_act(writing.connection, universe, now, audit.decided(booked, decided))

    def _check_quota(self, connection: Connection, universe: str) -> None:
        if self._most_open is None:
            return
        count = self._open.count(connection, universe)
        if count >= self._most_open:
            raise OrderStateError(
                f"{count} orders of {universe} are open; allowed: {self._most_open} (LEM_MAX_OPEN_ORDERS); cancel "
                "some, or wait until some have ended"
            )


def _state(connection: Connection, order_id: str) -> OrderState:
    with sound(order_id):
        return with_last_slice(connection, order_id).state()


def _terms(order: ParentOrder) -> str:
    terms = order.order
    return (
        f"{terms.scenario} of {order.size:g} {order.asset}, m {terms.min_bars}, N {terms.max_bars}, start "
        f"{order.start:%Y-%m-%dT%H:%M:%SZ}, universe {order.universe}"
    )


def _differences(there: ParentOrder, sent: ParentOrder) -> str:
    """Each term in which two orders differ, as it is there and as it was sent."""
    both = [
        {field.name: getattr(one, field.name) for one in (order, order.order) for field in fields(one)}
        for order in (there, sent)
    ]
    names = [name for name in both[0] if name != "order" and both[0][name] != both[1][name]]
    return ", ".join(f"{name} {both[0][name]}, sent {both[1][name]}" for name in names)
