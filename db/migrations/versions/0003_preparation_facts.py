"""What a preparation left and cost; who found the kidneys for an evaluation; whose scan a case is."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """To this version."""
    for name, kind in (("kidney_ml", sa.Double()), ("tumor_ml", sa.Double()), ("peak_bytes", sa.BigInteger())):
        op.add_column("prepared_case", sa.Column(name, kind, nullable=True))
    op.add_column("clinical_record", sa.Column("patient_id", sa.String(), nullable=True))
    with op.batch_alter_table("evaluation", table_args=_checks()) as table:
        table.add_column(sa.Column("locator_id", sa.Integer(), nullable=True))
        table.create_foreign_key(op.f("fk_evaluation_locator_id_model"), "model", ["locator_id"], ["id"])
        table.create_index("ix_evaluation_locator_id", ["locator_id"])


def downgrade() -> None:
    """To the version before."""
    with op.batch_alter_table("evaluation", table_args=_checks()) as table:
        table.drop_index("ix_evaluation_locator_id")
        table.drop_constraint(op.f("fk_evaluation_locator_id_model"), type_="foreignkey")
        table.drop_column("locator_id")
    op.drop_column("clinical_record", "patient_id")
    for name in ("peak_bytes", "tumor_ml", "kidney_ml"):
        op.drop_column("prepared_case", name)


def _checks() -> tuple[sa.CheckConstraint, ...]:
    """SQLite alters a table by copying it, and what is read back from it for the copy has no checks."""
    return (
        sa.CheckConstraint("subset IN ('train', 'validation')", name=op.f("ck_evaluation_subset")),
        sa.CheckConstraint(
            "status IN ('running', 'completed', 'failed', 'cancelled')", name=op.f("ck_evaluation_status")
        ),
    )
