"""A training names its network's architecture, which is a column of `run_overview`."""

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """To this version. The views are made anew; a run that is older than the setting has its default."""


def downgrade() -> None:
    """To the version before."""
