"""Which weights a case was scored with. A setting of trainings more is in `run_overview`, whose views are made anew."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """To this version. Of what was scored before it is not known."""
    op.add_column("scored_case", sa.Column("model_sha256", sa.String(), nullable=True))


def downgrade() -> None:
    """To the version before."""
    op.drop_column("scored_case", "model_sha256")
