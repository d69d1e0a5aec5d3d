"""The first schema: models, their inputs and metrics, candidates and promotions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "models",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("universe", sa.String(), nullable=False),
        sa.Column("usable_on", sa.Date(), nullable=False),
        sa.Column("train_start", sa.Date(), nullable=False),
        sa.Column("train_end", sa.Date(), nullable=False),
        sa.Column("weights_sha256", sa.String(), nullable=False),
        sa.Column("weights_path", sa.String(), nullable=False),
        sa.Column("code_version", sa.String(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.CheckConstraint("train_start < train_end AND train_end <= usable_on", op.f("ck_models_window")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
    )
    op.create_index(op.f("ix_models_universe"), "models", ["universe", "usable_on"])
    op.create_table(
        "manifest_inputs",
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("table_name", sa.String(), nullable=False),
        sa.Column("partition_key", sa.String(), nullable=False),
        sa.Column("data_version", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_manifest_inputs_model_id")),
        sa.PrimaryKeyConstraint("model_id", "table_name", "partition_key", name=op.f("pk_manifest_inputs")),
    )
    op.create_table(
        "metrics",
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("window", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_metrics_model_id")),
        sa.PrimaryKeyConstraint("model_id", "window", "name", name=op.f("pk_metrics")),
    )
    op.create_table(
        "candidates",
        sa.Column("universe", sa.String(), nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_candidates_model_id")),
        sa.PrimaryKeyConstraint("universe", "date", name=op.f("pk_candidates")),
    )
    op.create_table(
        "promotions",
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
        sa.CheckConstraint("decision IN ('promoted', 'kept', 'none')", op.f("ck_promotions_decision")),
        sa.ForeignKeyConstraint(["champion_id"], ["models.id"], name=op.f("fk_promotions_champion_id")),
        sa.ForeignKeyConstraint(["candidate_id"], ["models.id"], name=op.f("fk_promotions_candidate_id")),
        sa.ForeignKeyConstraint(["previous_id"], ["models.id"], name=op.f("fk_promotions_previous_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotions")),
        sa.UniqueConstraint("universe", "date", name=op.f("uq_promotions_universe")),
    )


def downgrade() -> None:
    op.drop_table("promotions")
    op.drop_table("candidates")
    op.drop_table("metrics")
    op.drop_table("manifest_inputs")
    op.drop_index(op.f("ix_models_universe"), table_name="models")
    op.drop_table("models")
