"""Tokens of steps: which one wrote the candidate and the decision of a date, so that an earlier one cannot."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = ("candidates", "promotions")


def upgrade() -> None:
    op.create_table(
        "fence",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fence")),
    )
    for table in TABLES:
        op.add_column(table, sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "fence")
    op.drop_table("fence")
