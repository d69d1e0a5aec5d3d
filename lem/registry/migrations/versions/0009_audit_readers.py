"""How far each reader of the audit log has come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_readers",
        sa.Column("universe", sa.String(), nullable=False),
        sa.Column("reader", sa.String(), nullable=False),
        sa.Column("entry_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("universe", "reader", name=op.f("pk_audit_readers")),
    )


def downgrade() -> None:
    op.drop_table("audit_readers")
