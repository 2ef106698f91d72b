"""A view of what was made from files that are others by now."""

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """To this version: views are made anew at every upgrade."""


def downgrade() -> None:
    """To the version before."""
