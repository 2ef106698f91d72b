"""A setting of trainings more, which the view `run_overview` shows: views are made anew at an upgrade."""

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """To this version."""


def downgrade() -> None:
    """To the version before."""
