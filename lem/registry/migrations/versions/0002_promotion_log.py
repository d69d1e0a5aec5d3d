"""The log of all decisions; those that stand when it is made are its first rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = "universe, date, champion_id, candidate_id, previous_id, decision, reasons, figures, decided_at"


def upgrade() -> None:
    op.create_table(
        "promotion_log",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("universe", sa.String(), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("champion_id", sa.String(), nullable=True),
        sa.Column("candidate_id", sa.String(), nullable=True),
        sa.Column("previous_id", sa.String(), nullable=True),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("figures", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("decision IN ('promoted', 'kept', 'none')", op.f("ck_promotion_log_decision")),
        sa.ForeignKeyConstraint(["champion_id"], ["models.id"], name=op.f("fk_promotion_log_champion_id")),
        sa.ForeignKeyConstraint(["candidate_id"], ["models.id"], name=op.f("fk_promotion_log_candidate_id")),
        sa.ForeignKeyConstraint(["previous_id"], ["models.id"], name=op.f("fk_promotion_log_previous_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotion_log")),
    )
    op.create_index(op.f("ix_promotion_log_universe"), "promotion_log", ["universe"])
    op.execute(f"INSERT INTO promotion_log ({COLUMNS}) SELECT {COLUMNS} FROM promotions ORDER BY id")


def downgrade() -> None:
    op.drop_index(op.f("ix_promotion_log_universe"), table_name="promotion_log")
    op.drop_table("promotion_log")
