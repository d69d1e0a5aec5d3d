"""Orders that are amended: how often, and the size that each slice was a share of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("advised_orders", sa.Column("amended", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("advised_slices", sa.Column("size", sa.Double(), nullable=True))
    size = "SELECT size FROM advised_orders WHERE advised_orders.id = advised_slices.order_id"
    op.execute(f"UPDATE advised_slices SET size = ({size})")


def downgrade() -> None:
    op.drop_column("advised_slices", "size")
    op.drop_column("advised_orders", "amended")
