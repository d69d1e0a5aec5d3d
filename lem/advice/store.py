"""Where live orders and their slices are kept: tables of the registry's database.

The key of a slice is its order and its bar, and all slices of a bar are written in one transaction, with what became
of the bars before it. A process that is killed leaves all of a bar or nothing of it; of two that decide at the same
time one waits for the other and then finds the bar decided.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, bindparam, func, insert, select, update

from lem.advice.order import OPEN, OrderState, ParentOrder, Status, scenario
from lem.errors import OrderError, OrderStateError, UnknownOrderError
from lem.execution.orders import TOLERANCE, Order
from lem.registry.advice_tables import AdvisedOrderRow, AdvisedSliceRow
from lem.registry.connection import Database
from lem.registry.migrate import bring_up_to_date

_ORDERS: Any = AdvisedOrderRow.__table__
_SLICES: Any = AdvisedSliceRow.__table__

Values = dict[str, Any]
"""Columns of a row by name."""


@dataclass(frozen=True)
class Booked:
    """An open order as a decision finds it: columns of its row, and of its last slice where it has one."""

    row: Values
    last: Values | None


@dataclass(frozen=True)
class Decided:
    """What a decision writes: new slices (rows of `advised_slices`), and columns of orders by their id."""

    slices: list[Values] = field(default_factory=list)
    orders: dict[str, Values] = field(default_factory=dict)


class AdviceStore:
    """The live orders of a registry's database. Every method is a transaction of its own.

    Args:
        url: as for `lem.registry.Registry`.

    Raises:
        RegistryError: (by every method too) the database cannot be reached, read or written.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        bring_up_to_date(self._database)

    def add(self, order: ParentOrder, now: dt.datetime) -> tuple[OrderState, bool]:
        """Store an order. The same order under the same id again changes nothing.

        Returns:
            The stored order, and whether it is new.

        Raises:
            OrderStateError: the id is taken by another order.
        """
        with self._database.transaction(f"store order {order.id}", write=True) as connection:
            there = self._find(connection, order.id)
            if there is not None:
                state = state_of_row(there)
                if state.order != order:
                    raise OrderStateError(
                        f"id {order.id}: there is another order of this id ({_terms(state.order)}); allowed: an id "
                        "that is free, or the same order again"
                    )
                return state, False
            connection.execute(insert(_ORDERS), [_order_values(order, now)])
            return OrderState(order, "waiting", now), True

    def order(self, order_id: str) -> OrderState:
        """One order.

        Raises:
            UnknownOrderError: there is none of this id.
        """
        with self._database.transaction(f"read order {order_id!a}") as connection:
            return state_of_row(self._known(connection, order_id))

    def has(self, order_id: str) -> bool:
        """Whether there is an order of this id, in whatever universe."""
        with self._database.transaction(f"look for order {order_id!a}") as connection:
            return self._find(connection, order_id) is not None

    def orders(
        self, universe: str, statuses: Sequence[Status] | None = None, limit: int | None = None
    ) -> list[OrderState]:
        """Orders of a universe, the newest first."""
        query = select(_ORDERS).where(_ORDERS.c.universe == universe)
        if statuses is not None:
            query = query.where(_ORDERS.c.status.in_(statuses))
        query = query.order_by(_ORDERS.c.created_at.desc(), _ORDERS.c.id).limit(limit)
        with self._database.transaction("list the orders") as connection:
            return [state_of_row(row) for row in connection.execute(query).mappings()]

    def slices(self, order_id: str) -> list[tuple[Values, Values]]:
        """Every slice of an order beside the order, in the order of its bars.

        Raises:
            UnknownOrderError: there is no such order.
        """
        with self._database.transaction(f"read the slices of {order_id!a}") as connection:
            order = dict(self._known(connection, order_id))
            query = select(_SLICES).where(_SLICES.c.order_id == order_id).order_by(_SLICES.c.bar)
            return [(order, dict(row)) for row in connection.execute(query).mappings()]

    def cancel(self, order_id: str) -> OrderState:
        """Cancel an open order; a cancelled one stays so.

        Raises:
            UnknownOrderError: there is no such order. OrderStateError: it has ended.
        """
        with self._database.transaction(f"cancel order {order_id!a}", write=True) as connection:
            row = self._known(connection, order_id)
            if row["status"] not in (*OPEN, "cancelled"):
                raise OrderStateError(f"order {order_id} is {row['status']}; allowed: to cancel one that is open")
            connection.execute(update(_ORDERS).where(_ORDERS.c.id == order_id), {"status": "cancelled"})
            return state_of_row({**row, "status": "cancelled"})

    def fill(self, order_id: str, bar: dt.datetime, amount: float) -> tuple[Values, Values]:
        """Confirm what was filled in the bar of the last slice, in the order's own unit; the last word counts.

        Returns the order and the slice.

        Raises:
            UnknownOrderError: there is no such order. OrderStateError: it is not live, or another slice followed the
                bar's. OrderError: the amount is negative or more than what remained.
        """
        with self._database.transaction(f"confirm a fill of {order_id!a}", write=True) as connection:
            row = self._known(connection, order_id)
            last = connection.execute(_with_last(_ORDERS.c.id == order_id)).mappings().one()
            if row["status"] != "live" or last["bar"] is None:
                raise OrderStateError(f"order {order_id} is {row['status']}; allowed: fills of one that is live")
            if last["bar"] != bar:
                raise OrderStateError(
                    f"bar {bar:%Y-%m-%dT%H:%M:%SZ} of order {order_id} is not its last one; allowed: "
                    f"{last['bar']:%Y-%m-%dT%H:%M:%SZ}, until the slice after it is advised"
                )
            share, left = amount / row["size"], last["remaining"]
            if not 0 <= share <= left + TOLERANCE:
                raise OrderError(f"amount {amount:g}; allowed: 0 to {left * row['size']:g}, what remained of the order")
            share = min(share, left)
            chosen = and_(_SLICES.c.order_id == order_id, _SLICES.c.bar == bar)
            connection.execute(update(_SLICES).where(chosen), {"filled": share})
            return dict(row), {name: last[name] for name in _SLICE_COLUMNS} | {"filled": share}

    def booked(self, universe: str, order_id: str | None = None) -> list[Booked]:
        """The open orders of a universe with their last slices; or one order, if it is open."""
        with self._database.transaction("read the open orders") as connection:
            return self._booked(connection, universe, order_id)

    def decide(self, universe: str, choose: Callable[[list[Booked]], Decided], order_id: str | None = None) -> None:
        """Write what `choose` makes of the open orders; until it is written nobody else decides.

        Raises:
            What `choose` raises, and nothing is written then.
        """
        with self._database.transaction("store the slices of a bar", write=True) as connection:
            decided = choose(self._booked(connection, universe, order_id))
            if decided.slices:
                connection.execute(insert(_SLICES), decided.slices)
            # Orders that change in the same way are one statement.
            by_columns: dict[tuple[str, ...], list[Values]] = {}
            for key, values in decided.orders.items():
                by_columns.setdefault(tuple(sorted(values)), []).append({**values, "_id": key})
            for rows in by_columns.values():
                connection.execute(update(_ORDERS).where(_ORDERS.c.id == bindparam("_id")), rows)

    def _booked(self, connection: Connection, universe: str, order_id: str | None) -> list[Booked]:
        wanted = and_(_ORDERS.c.universe == universe, _ORDERS.c.status.in_(OPEN))
        if order_id is not None:
            wanted = and_(wanted, _ORDERS.c.id == order_id)
        rows = connection.execute(_with_last(wanted).order_by(_ORDERS.c.id)).all()
        # By place: thousands of rows are read every bar, and looking up each column by its name takes twice as long.
        n, bar = len(_ORDER_COLUMNS), _SLICE_COLUMNS.index("bar")
        return [
            Booked(
                dict(zip(_ORDER_COLUMNS, row[:n], strict=True)),
                None if row[n + bar] is None else dict(zip(_SLICE_COLUMNS, row[n:], strict=True)),
            )
            for row in rows
        ]

    def _find(self, connection: Connection, order_id: str) -> RowMapping | None:
        return connection.execute(select(_ORDERS).where(_ORDERS.c.id == order_id)).mappings().one_or_none()

    def _known(self, connection: Connection, order_id: str) -> RowMapping:
        row = self._find(connection, order_id)
        if row is None:
            raise UnknownOrderError(f"there is no order {order_id[:80]!a}; allowed: an id that lem advise list shows")
        return row


_ORDER_COLUMNS = [column.name for column in _ORDERS.columns]
_SLICE_COLUMNS = [column.name for column in _SLICES.columns if column.name != "order_id"]


def _with_last(condition: ColumnElement[bool]) -> Any:
    """Orders, each beside the slice of its last bar."""
    other = _SLICES.alias()
    last = select(func.max(other.c.bar)).where(other.c.order_id == _ORDERS.c.id).correlate(_ORDERS).scalar_subquery()
    joined = _ORDERS.outerjoin(_SLICES, and_(_SLICES.c.order_id == _ORDERS.c.id, _SLICES.c.bar == last))
    columns = [column for column in _SLICES.columns if column.name != "order_id"]
    return select(_ORDERS, *columns).select_from(joined).where(condition)


def _order_values(order: ParentOrder, now: dt.datetime) -> Values:
    terms = order.order
    return {
        "id": order.id,
        "universe": order.universe,
        "asset": order.asset,
        "side": str(terms.scenario.side),
        "benchmark": str(terms.scenario.benchmark),
        "target": str(terms.scenario.target),
        "size": order.size,
        "min_bars": terms.min_bars,
        "max_bars": terms.max_bars,
        "min_rate": terms.min_rate,
        "max_rate": terms.max_rate,
        "risk_aversion": terms.risk_aversion,
        "start": order.start,
        "created_at": now,
        "status": "waiting",
    }


def terms_of_row(row: Any) -> Order:
    """The order in shares, from its columns."""
    limits = {name: row[name] for name in ("min_bars", "max_bars", "min_rate", "max_rate", "risk_aversion")}
    return Order(scenario(row["side"], row["benchmark"], row["target"]), **limits)


def state_of_row(row: Any) -> OrderState:
    """The order that the columns of a row say."""
    order = ParentOrder(row["id"], row["universe"], row["asset"], terms_of_row(row), row["size"], row["start"])
    results = ("model_id", "bars_used", "filled_share", "achieved", "benchmark_price", "gain_bps")
    return OrderState(order, row["status"], row["created_at"], *(row[name] for name in results))


def _terms(order: ParentOrder) -> str:
    terms = order.order
    return (
        f"{terms.scenario} of {order.size:g} {order.asset}, m {terms.min_bars}, N {terms.max_bars}, start "
        f"{order.start:%Y-%m-%dT%H:%M:%SZ}, universe {order.universe}"
    )
