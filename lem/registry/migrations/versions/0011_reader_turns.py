"""Whose turn it is to tell a reader of the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("audit_readers", sa.Column("holder", sa.String(), nullable=True))
    op.add_column("audit_readers", sa.Column("beats", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    for name in ("beats", "holder"):
        op.drop_column("audit_readers", name)
