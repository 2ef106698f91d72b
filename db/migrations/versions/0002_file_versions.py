"""Versions of a case's files; what vanished at the source; what a file was before its conversion."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_NEWEST = sa.text("superseded_at IS NULL")


def _checks() -> tuple[sa.CheckConstraint]:
    """SQLite alters a table by copying it, and what is read back from it for the copy has no checks."""
    return (sa.CheckConstraint("kind IN ('image', 'segmentation')", name=op.f("ck_case_file_kind")),)


def upgrade() -> None:
    """To this version."""
    with op.batch_alter_table("case_file", table_args=_checks()) as table:
        table.add_column(sa.Column("version", sa.Integer(), nullable=False, server_default="1"))
        table.add_column(sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=True))
        table.add_column(sa.Column("vanished_at", sa.DateTime(timezone=True), nullable=True))
        table.add_column(sa.Column("source_dtype", sa.String(), nullable=True))
        table.add_column(sa.Column("lossless", sa.Boolean(), nullable=True))
        table.drop_constraint(op.f("uq_case_file_case_id_kind"), type_="unique")
        table.create_unique_constraint(op.f("uq_case_file_case_id_kind_version"), ["case_id", "kind", "version"])
        table.create_index(
            "ix_case_file_newest", ["case_id", "kind"], unique=True, sqlite_where=_NEWEST, postgresql_where=_NEWEST
        )
    with op.batch_alter_table("case_file", table_args=_checks()) as table:
        table.alter_column("version", server_default=None)


def downgrade() -> None:
    """To the version before, which knows the newest version of each file alone."""
    op.execute("DELETE FROM case_file WHERE superseded_at IS NOT NULL")
    with op.batch_alter_table("case_file", table_args=_checks()) as table:
        table.drop_index("ix_case_file_newest")
        table.drop_constraint(op.f("uq_case_file_case_id_kind_version"), type_="unique")
        table.create_unique_constraint(op.f("uq_case_file_case_id_kind"), ["case_id", "kind"])
        for name in ("version", "superseded_at", "vanished_at", "source_dtype", "lossless"):
            table.drop_column(name)
