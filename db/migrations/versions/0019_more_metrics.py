"""Metrics that are added get their place in `case_score`; a training names its network's architecture.

Both are columns of views, which are made anew. A run that is older than the setting has its default.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """To this version. Nothing was measured yet by metrics that come later."""
    with op.batch_alter_table("case_score") as table:
        table.add_column(sa.Column("more_metrics", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=True))


def downgrade() -> None:
    """To the version before."""
    with op.batch_alter_table("case_score") as table:
        table.drop_column("more_metrics")
