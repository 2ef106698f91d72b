"""How a dataset's files lie, what the values of its segmentations mean, and splits of its own.

NULL in both columns is KiTS's own. Two datasets with the same cases may have splits of one hash.
"""

import sqlalchemy as sa
from alembic import op

from db.models.base import Json

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """To this version."""
    op.add_column("dataset", sa.Column("layout", sa.String(), nullable=True))
    op.add_column("dataset", sa.Column("label_values", Json, nullable=True))
    with op.batch_alter_table("split") as table:
        table.drop_constraint("uq_split_hash", type_="unique")
        table.create_unique_constraint("uq_split_dataset_id_hash", ["dataset_id", "hash"])


def downgrade() -> None:
    """To the version before."""
    with op.batch_alter_table("split") as table:
        table.drop_constraint("uq_split_dataset_id_hash", type_="unique")
        table.create_unique_constraint("uq_split_hash", ["hash"])
    op.drop_column("dataset", "label_values")
    op.drop_column("dataset", "layout")
