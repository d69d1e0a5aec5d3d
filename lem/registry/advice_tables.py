"""The tables of live orders and of the slices that were advised for them, in the registry's database."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, TypeDecorator, false
from sqlalchemy.orm import Mapped, mapped_column

from lem.registry.tables import Base


def _digits(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")


class Exact(TypeDecorator[Decimal]):
    """A decimal number, stored as its digits: neither database rounds it."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Any) -> str | None:
        """The digits."""
        return _digits(value)

    def bind_processor(self, dialect: Any) -> Callable[[Decimal | None], str | None]:
        """The same as a function: SQLAlchemy's own makes three calls of each number, of which a bar has thousands."""
        return _digits

    def process_result_value(self, value: str | None, dialect: Any) -> Decimal | None:
        """The number."""
        return None if value is None else Decimal(value)


class AdvisedOrderRow(Base):
    """A parent order.

    `model_id` to `mean_volume`, what it is measured by, are set with its first slice; `bars_used` to `last_price`, how
    it ended, at its end. `late_amount` to `late_cash` are what fills that came late change in the ledger of the last
    slice; the slice after it has them in its own.
    """

    __tablename__ = "advised_orders"
    __table_args__ = (
        Index(None, "universe", "status"),
        CheckConstraint("status IN ('waiting', 'live', 'finished', 'expired', 'cancelled')", "status"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    universe: Mapped[str]
    asset: Mapped[str]
    side: Mapped[str]
    benchmark: Mapped[str]
    target: Mapped[str]
    size: Mapped[float]
    min_bars: Mapped[int]
    max_bars: Mapped[int]
    min_rate: Mapped[float]
    max_rate: Mapped[float]
    risk_aversion: Mapped[float]
    start: Mapped[dt.datetime]
    created_at: Mapped[dt.datetime]
    status: Mapped[str]
    model_id: Mapped[str | None] = mapped_column(ForeignKey("models.id"))
    first_bar: Mapped[dt.datetime | None]
    sigma: Mapped[float | None]
    arrival_price: Mapped[float | None]
    mean_volume: Mapped[float | None]
    bars_used: Mapped[int | None]
    filled_share: Mapped[float | None]
    achieved: Mapped[float | None]
    benchmark_price: Mapped[float | None]
    gain_bps: Mapped[float | None]
    last_price: Mapped[float | None]
    mode: Mapped[str] = mapped_column(server_default="assume")
    limit_price: Mapped[Decimal | None] = mapped_column(Exact)
    lot: Mapped[Decimal | None] = mapped_column(Exact)
    tick: Mapped[Decimal | None] = mapped_column(Exact)
    min_amount: Mapped[Decimal | None] = mapped_column(Exact)
    min_notional: Mapped[Decimal | None] = mapped_column(Exact)
    paused_at: Mapped[dt.datetime | None]
    closed_at: Mapped[dt.datetime | None]
    late_amount: Mapped[Decimal] = mapped_column(Exact, server_default="0")
    late_share: Mapped[float] = mapped_column(server_default="0")
    late_units: Mapped[float] = mapped_column(server_default="0")
    late_cash: Mapped[float] = mapped_column(server_default="0")
    amended: Mapped[int] = mapped_column(server_default="0")
    fallback: Mapped[bool] = mapped_column(server_default=false())


class AdvisedSliceRow(Base):
    """What was advised for one bar of an order, once: the key is the order and the bar's open.

    `bars_done` to `weighted` are the order's ledger before the bar, `filled` to `paid` what the bar's fills come to.
    `size` is the order's as it was: what shares and ledger are shares of.
    """

    __tablename__ = "advised_slices"

    order_id: Mapped[str] = mapped_column(ForeignKey("advised_orders.id"), primary_key=True)
    bar: Mapped[dt.datetime] = mapped_column(primary_key=True)
    as_of: Mapped[dt.datetime]
    advised_at: Mapped[dt.datetime]
    share: Mapped[float]
    finish: Mapped[bool]
    reason: Mapped[str]
    probability: Mapped[float]
    last_close: Mapped[float]
    bars_done: Mapped[int]
    remaining: Mapped[float]
    units: Mapped[float]
    cash: Mapped[float]
    weight: Mapped[float]
    weighted: Mapped[float]
    filled: Mapped[float | None]
    filled_amount: Mapped[Decimal | None] = mapped_column(Exact)
    paid: Mapped[float | None]
    amount: Mapped[Decimal | None] = mapped_column(Exact)
    left_before: Mapped[Decimal | None] = mapped_column(Exact)
    carry: Mapped[Decimal | None] = mapped_column(Exact)
    size: Mapped[float | None]


class AdvisedFillRow(Base):
    """What a desk told of a fill. Rows are added, none is changed: the highest revision of a fill is what counts."""

    __tablename__ = "advised_fills"

    order_id: Mapped[str] = mapped_column(ForeignKey("advised_orders.id"), primary_key=True)
    fill_id: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    bar: Mapped[dt.datetime]
    amount: Mapped[Decimal] = mapped_column(Exact)
    price: Mapped[Decimal | None] = mapped_column(Exact)
    fee: Mapped[Decimal | None] = mapped_column(Exact)
    traded_at: Mapped[dt.datetime | None]
    told_at: Mapped[dt.datetime]
