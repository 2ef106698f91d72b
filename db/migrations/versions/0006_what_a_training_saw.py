"""What a training saw: the prepared files' hashes, which are part of what names a run."""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_OLD = ["recipe_id", "split_id", "config_hash"]
_NEW = [*_OLD, "data_hash"]


def upgrade() -> None:
    """To this version. Runs that are there get the files that are prepared now: nothing else is known of them."""
    op.create_table(
        "trained_case",
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("id", "run_id", "case_id")),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("image_sha256", "label_sha256")),
        sa.ForeignKeyConstraint(["run_id"], ["training_run.id"], name=op.f("fk_trained_case_run_id_training_run")),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_trained_case_case_id_case")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trained_case")),
        sa.UniqueConstraint("run_id", "case_id", name=op.f("uq_trained_case_run_id_case_id")),
    )
    op.create_index("ix_trained_case_case_id", "trained_case", ["case_id"])
    op.execute(
        sa.text(
            "INSERT INTO trained_case (run_id, case_id, image_sha256, label_sha256) "
            "SELECT t.id, p.case_id, p.image_sha256, p.label_sha256 FROM training_run t "
            "JOIN split_member m ON m.split_id = t.split_id "
            "JOIN prepared_case p ON p.case_id = m.case_id AND p.recipe_id = t.recipe_id "
            "WHERE p.label_sha256 IS NOT NULL"
        )
    )
    with op.batch_alter_table("training_run", table_args=_checks()) as table:
        table.add_column(sa.Column("data_hash", sa.String(), nullable=True))
    _fill_in_hashes()
    with op.batch_alter_table("training_run", table_args=_checks()) as table:
        table.alter_column("data_hash", existing_type=sa.String(), nullable=False)
        table.drop_constraint(op.f(_unique(_OLD)), type_="unique")
        table.create_unique_constraint(op.f(_unique(_NEW)), _NEW)


def downgrade() -> None:
    """To the version before, which knows one run of a recipe, split and configuration. Refuses to lose the others."""
    with op.batch_alter_table("training_run", table_args=_checks()) as table:
        table.drop_constraint(op.f(_unique(_NEW)), type_="unique")
        table.create_unique_constraint(op.f(_unique(_OLD)), _OLD)
        table.drop_column("data_hash")
    op.drop_table("trained_case")


def _fill_in_hashes() -> None:
    connection = op.get_bind()
    lines: dict[int, list[str]] = {run: [] for (run,) in connection.execute(sa.text("SELECT id FROM training_run"))}
    seen = (
        'SELECT t.run_id, c.name, t.image_sha256, t.label_sha256 FROM trained_case t JOIN "case" c ON c.id = t.case_id'
    )
    for run, *parts in connection.execute(sa.text(seen)):
        lines[run].append(" ".join(parts))
    for run, of_run in lines.items():
        digest = hashlib.sha256("\n".join(sorted(of_run)).encode()).hexdigest()
        connection.execute(sa.text("UPDATE training_run SET data_hash = :h WHERE id = :id"), {"h": digest, "id": run})


def _unique(columns: list[str]) -> str:
    return f"uq_training_run_{'_'.join(columns)}"


def _checks() -> tuple[sa.CheckConstraint, ...]:
    """SQLite alters a table by copying it, and what is read back from it for the copy has no checks."""
    status = "status IN ('running', 'completed', 'failed', 'cancelled')"
    return (sa.CheckConstraint(status, name=op.f("ck_training_run_status")),)
