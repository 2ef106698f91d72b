"""What was forgotten: how many cases, and of which trainings and evaluations; nobody's name."""

import sqlalchemy as sa
from alembic import op

from db.models.base import UtcDateTime

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """To this version."""
    op.create_table(
        "forgotten",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("forgotten_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_forgotten_dataset_id_dataset")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_forgotten")),
        sa.UniqueConstraint("dataset_id", "digest", name=op.f("uq_forgotten_dataset_id_digest")),
    )
    for table in ("training_run", "evaluation"):
        op.add_column(table, sa.Column("forgotten_cases", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """To the version before."""
    for table in ("training_run", "evaluation"):
        with op.batch_alter_table(table) as batch:
            batch.drop_column("forgotten_cases")
    op.drop_table("forgotten")
