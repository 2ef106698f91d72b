"""A training may begin with the weights of a model, and a split may keep the sides of another one.

Both stand in `run_overview`, `split_overview`, `lineage_edge` and `rests_on_case`, which are made anew.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """To this version. No split that is there keeps another one."""
    with op.batch_alter_table("split") as table:
        table.add_column(sa.Column("kept_id", sa.Integer(), nullable=True))
        table.create_foreign_key(op.f("fk_split_kept_id_split"), "split", ["kept_id"], ["id"])
        table.create_index(op.f("ix_split_kept_id"), ["kept_id"])


def downgrade() -> None:
    """To the version before."""
    with op.batch_alter_table("split") as table:
        table.drop_index(op.f("ix_split_kept_id"))
        table.drop_constraint(op.f("fk_split_kept_id_split"), type_="foreignkey")
        table.drop_column("kept_id")
