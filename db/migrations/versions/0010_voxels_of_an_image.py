"""What tells one image from another, whatever their headers say."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """To this version."""
    op.add_column("case_file", sa.Column("voxels_sha256", sa.String(), nullable=True))


def downgrade() -> None:
    """To the version before."""
    op.drop_column("case_file", "voxels_sha256")
