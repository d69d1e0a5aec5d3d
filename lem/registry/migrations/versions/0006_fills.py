"""Fills as events, amounts in decimals, what a venue takes, and orders that are paused and closed.

Orders that had ended are closed: they were told to be final. A fill that was confirmed for a bar becomes the total that
was told of it, so that the last word still counts.
"""

from __future__ import annotations

import datetime as dt
from decimal import Context, Decimal
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_ORDERS: dict[str, sa.types.TypeEngine[Any]] = {
    "last_price": sa.Double(),
    "limit_price": sa.String(),
    "lot": sa.String(),
    "tick": sa.String(),
    "min_amount": sa.String(),
    "min_notional": sa.String(),
    "paused_at": _TIME,
    "closed_at": _TIME,
}
_WITH_DEFAULT: dict[str, tuple[sa.types.TypeEngine[Any], str]] = {
    "mode": (sa.String(), "assume"),
    "late_amount": (sa.String(), "0"),
    "late_share": (sa.Double(), "0"),
    "late_units": (sa.Double(), "0"),
    "late_cash": (sa.Double(), "0"),
}
_SLICES: dict[str, sa.types.TypeEngine[Any]] = {
    "filled_amount": sa.String(),
    "paid": sa.Double(),
    "amount": sa.String(),
    "left_before": sa.String(),
    "carry": sa.String(),
}


def upgrade() -> None:
    for table, columns in (("advised_orders", _ORDERS), ("advised_slices", _SLICES)):
        for name, kind in columns.items():
            op.add_column(table, sa.Column(name, kind, nullable=True))
    for name, (kind, default) in _WITH_DEFAULT.items():
        op.add_column("advised_orders", sa.Column(name, kind, nullable=False, server_default=default))
    op.create_table(
        "advised_fills",
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("fill_id", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("bar", sa.DateTime(timezone=True), nullable=False),
        sa.Column("amount", sa.String(), nullable=False),
        sa.Column("price", sa.String(), nullable=True),
        sa.Column("fee", sa.String(), nullable=True),
        sa.Column("traded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["advised_orders.id"], name=op.f("fk_advised_fills_order_id")),
        sa.PrimaryKeyConstraint("order_id", "fill_id", "revision", name=op.f("pk_advised_fills")),
    )
    _amounts()
    op.execute("UPDATE advised_orders SET closed_at = created_at WHERE status IN ('finished', 'expired', 'cancelled')")


def _amounts() -> None:
    """Amounts of the slices of open orders in decimals, and what was confirmed as totals of bars."""
    time = _TIME
    orders = sa.table("advised_orders", sa.column("id"), sa.column("size"), sa.column("status"))
    names = ("order_id", "share", "filled", "filled_amount", "amount", "left_before")
    slices = sa.table("advised_slices", *(sa.column(name) for name in names), sa.column("bar", time))
    texts: list[sa.ColumnClause[Any]] = [sa.column(name) for name in ("order_id", "fill_id", "revision", "amount")]
    fills = sa.table("advised_fills", *texts, sa.column("bar", time), sa.column("told_at", time))
    query = sa.select(slices.c.order_id, slices.c.bar, slices.c.share, slices.c.filled, orders.c.size)
    query = query.select_from(slices.join(orders, orders.c.id == slices.c.order_id))
    query = query.where(orders.c.status == "live").order_by(slices.c.order_id, slices.c.bar)
    connection, left = op.get_bind(), dict[str, Decimal]()
    exact = Context(prec=60)
    for order_id, bar, share, filled, size in connection.execute(query).all():
        before = left.get(order_id, Decimal(repr(size)).normalize(exact))
        amount = Decimal(repr(share * size)).quantize(Decimal("1e-30"), context=exact).normalize(exact)
        values = {"amount": format(amount, "f"), "left_before": format(before, "f")}
        if filled is not None:
            amount = Decimal(f"{filled * size:.12g}")
            values["filled_amount"] = format(amount, "f")
            opened = bar.replace(tzinfo=dt.UTC) if bar.tzinfo is None else bar.astimezone(dt.UTC)
            key = f"total@{opened:%Y-%m-%dT%H:%M:%SZ}"
            row = {"order_id": order_id, "fill_id": key, "revision": 1, "amount": values["filled_amount"]}
            connection.execute(sa.insert(fills).values(**row, bar=bar, told_at=bar))
        left[order_id] = exact.subtract(before, amount).normalize(exact)
        own = (slices.c.order_id == order_id) & (slices.c.bar == bar)
        connection.execute(sa.update(slices).where(own).values(**values))


def downgrade() -> None:
    op.drop_table("advised_fills")
    for table, names in (("advised_slices", [*_SLICES]), ("advised_orders", [*_ORDERS, *_WITH_DEFAULT])):
        for name in names:
            op.drop_column(table, name)
