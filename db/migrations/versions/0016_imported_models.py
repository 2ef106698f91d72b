"""A training run of another home, whose model came in as a file: where it comes from, and no split."""

import sqlalchemy as sa
from alembic import op

from db.models.base import Json

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """To this version."""
    with op.batch_alter_table("training_run") as batch:
        batch.add_column(sa.Column("imported", Json, nullable=True))
        batch.alter_column("split_id", existing_type=sa.Integer(), nullable=True)


def downgrade() -> None:
    """To the version before, which has no place for imported runs: it refuses while there are some."""
    with op.batch_alter_table("training_run") as batch:
        batch.alter_column("split_id", existing_type=sa.Integer(), nullable=False)
        batch.drop_column("imported")
