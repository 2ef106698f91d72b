"""A training, an evaluation or a prediction whose process was ended from outside is `crashed`."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_TABLES = ("training_run", "evaluation", "prediction")
_BEFORE = ("running", "completed", "failed", "cancelled")


def upgrade() -> None:
    """To this version."""
    _allow(*_BEFORE, "crashed")


def downgrade() -> None:
    """To the version before, which knows no crash: it called one cancelled."""
    for table in _TABLES:
        op.execute(sa.text(f"UPDATE {table} SET status = 'cancelled' WHERE status = 'crashed'"))  # noqa: S608
    _allow(*_BEFORE)


def _allow(*states: str) -> None:
    listed = f"status IN ({', '.join(repr(state) for state in states)})"
    for table in _TABLES:
        name = op.f(f"ck_{table}_status")
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint(name, type_="check")
            batch.create_check_constraint(name, sa.text(listed))
