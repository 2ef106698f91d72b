"""What of a source's file a reader should know, as how its header was read."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """To this version."""
    op.add_column("case_file", sa.Column("notes", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=True))


def downgrade() -> None:
    """To the version before."""
    op.drop_column("case_file", "notes")
