"""The tables of live orders and of the slices that were advised for them, in the registry's database."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from lem.registry.tables import Base


class AdvisedOrderRow(Base):
    """A parent order.

    `model_id` to `mean_volume`, what it is measured by, are set with its first slice; `bars_used` to `gain_bps`, how it
    ended, at its end.
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


class AdvisedSliceRow(Base):
    """What was advised for one bar of an order, once: the key is the order and the bar's open.

    `bars_done` to `weighted` are the order's ledger before the bar, `filled` the share that the desk confirmed.
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
