"""A prepared case whose image or reference is gone is stale: a view that is made anew."""

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """To this version."""


def downgrade() -> None:
    """To the version before."""
