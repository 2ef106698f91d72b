"""How much room the files of a prepared case take."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """To this version. What was prepared before keeps NULL until it is prepared again."""
    op.add_column("prepared_case", sa.Column("bytes", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """To the version before."""
    op.drop_column("prepared_case", "bytes")
