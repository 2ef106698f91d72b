"""How an evaluation predicted: with flips or without, and which islands were removed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"

_KEY = ["model_id", "split_id", "subset"]
_OLD, _NEW = "uq_evaluation_model_id_split_id_subset", "uq_evaluation_model_id_split_id_subset_flips"


def upgrade() -> None:
    """To this version."""
    with op.batch_alter_table("evaluation", table_args=_checks()) as table:
        table.add_column(sa.Column("flips", sa.Boolean(), server_default=sa.false(), nullable=False))
        table.add_column(sa.Column("cleanup", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=True))
        table.drop_constraint(op.f(_OLD), type_="unique")
        table.create_unique_constraint(op.f(_NEW), [*_KEY, "flips"])


def downgrade() -> None:
    """To the version before. Evaluations with flips go: it has no place for them."""
    op.execute(sa.text("DELETE FROM case_metric WHERE evaluation_id IN (SELECT id FROM evaluation WHERE flips)"))
    op.execute(sa.text("DELETE FROM evaluation WHERE flips"))
    with op.batch_alter_table("evaluation", table_args=_checks()) as table:
        table.drop_constraint(op.f(_NEW), type_="unique")
        table.create_unique_constraint(op.f(_OLD), _KEY)
        table.drop_column("cleanup")
        table.drop_column("flips")


def _checks() -> tuple[sa.CheckConstraint, ...]:
    """SQLite alters a table by copying it, and what is read back from it for the copy has no checks."""
    return (
        sa.CheckConstraint("subset IN ('train', 'validation')", name=op.f("ck_evaluation_subset")),
        sa.CheckConstraint(
            "status IN ('running', 'completed', 'failed', 'cancelled')", name=op.f("ck_evaluation_status")
        ),
    )
