"""Live orders, and the slices that were advised for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "advised_orders",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("universe", sa.String(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("benchmark", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("size", sa.Double(), nullable=False),
        sa.Column("min_bars", sa.Integer(), nullable=False),
        sa.Column("max_bars", sa.Integer(), nullable=False),
        sa.Column("min_rate", sa.Double(), nullable=False),
        sa.Column("max_rate", sa.Double(), nullable=False),
        sa.Column("risk_aversion", sa.Double(), nullable=False),
        sa.Column("start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=True),
        sa.Column("first_bar", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sigma", sa.Double(), nullable=True),
        sa.Column("arrival_price", sa.Double(), nullable=True),
        sa.Column("mean_volume", sa.Double(), nullable=True),
        sa.Column("bars_used", sa.Integer(), nullable=True),
        sa.Column("filled_share", sa.Double(), nullable=True),
        sa.Column("achieved", sa.Double(), nullable=True),
        sa.Column("benchmark_price", sa.Double(), nullable=True),
        sa.Column("gain_bps", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "status IN ('waiting', 'live', 'finished', 'expired', 'cancelled')", op.f("ck_advised_orders_status")
        ),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_advised_orders_model_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_advised_orders")),
    )
    op.create_index(op.f("ix_advised_orders_universe"), "advised_orders", ["universe", "status"])
    op.create_table(
        "advised_slices",
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("bar", sa.DateTime(timezone=True), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("advised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("finish", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("last_close", sa.Double(), nullable=False),
        sa.Column("bars_done", sa.Integer(), nullable=False),
        sa.Column("remaining", sa.Double(), nullable=False),
        sa.Column("units", sa.Double(), nullable=False),
        sa.Column("cash", sa.Double(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("weighted", sa.Double(), nullable=False),
        sa.Column("filled", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["advised_orders.id"], name=op.f("fk_advised_slices_order_id")),
        sa.PrimaryKeyConstraint("order_id", "bar", name=op.f("pk_advised_slices")),
    )


def downgrade() -> None:
    op.drop_table("advised_slices")
    op.drop_index(op.f("ix_advised_orders_universe"), table_name="advised_orders")
    op.drop_table("advised_orders")
