"""Plans: predictions of scans from outside the catalog, and plans of evaluated cases beside their references'."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from db.models.base import Finite, UtcDateTime

revision = "0005"
down_revision = "0004"

_JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """To this version."""
    op.create_table(
        "prediction",
        sa.Column("id", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("key", "scan", "source", "kind")),
        sa.Column("series_uid", sa.String(), nullable=True),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("flips", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        *(sa.Column(name, sa.String(), nullable=True) for name in ("error", "sha256")),
        *(sa.Column(name, _JSON, nullable=True) for name in ("shape", "spacing_mm", "notes", "flags", "seconds")),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.CheckConstraint(
            "status IN ('running', 'completed', 'failed', 'cancelled')", name=op.f("ck_prediction_status")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prediction")),
        sa.UniqueConstraint("key", name=op.f("uq_prediction_key")),
    )
    op.create_index("ix_prediction_flow_run_id", "prediction", ["flow_run_id"])
    op.create_table(
        "prediction_model",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("prediction_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("locates", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["prediction_id"], ["prediction.id"], name=op.f("fk_prediction_model_prediction_id_prediction")
        ),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_prediction_model_model_id_model")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prediction_model")),
        sa.UniqueConstraint("prediction_id", "model_id", name=op.f("uq_prediction_model_prediction_id_model_id")),
    )
    op.create_index("ix_prediction_model_model_id", "prediction_model", ["model_id"])
    op.create_table(
        "measurement",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("prediction_id", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("structure", "side", "name")),
        sa.Column("value", Finite(), nullable=True),
        sa.ForeignKeyConstraint(
            ["prediction_id"], ["prediction.id"], name=op.f("fk_measurement_prediction_id_prediction")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_measurement")),
        sa.UniqueConstraint(
            "prediction_id", "structure", "name", name=op.f("uq_measurement_prediction_id_structure_name")
        ),
    )
    op.create_table(
        "scored_case",
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("id", "evaluation_id", "case_id")),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("image_sha256", "reference_sha256")),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_scored_case_evaluation_id_evaluation")
        ),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_scored_case_case_id_case")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scored_case")),
        sa.UniqueConstraint("evaluation_id", "case_id", name=op.f("uq_scored_case_evaluation_id_case_id")),
    )
    op.create_index("ix_scored_case_case_id", "scored_case", ["case_id"])
    op.create_table(
        "case_measurement",
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("id", "evaluation_id", "case_id")),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("structure", "side", "name")),
        *(sa.Column(name, Finite(), nullable=True) for name in ("reference", "prediction")),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_case_measurement_evaluation_id_evaluation")
        ),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_case_measurement_case_id_case")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_measurement")),
        sa.UniqueConstraint(
            "evaluation_id",
            "case_id",
            "structure",
            "name",
            name=op.f("uq_case_measurement_evaluation_id_case_id_structure_name"),
        ),
    )
    op.create_index("ix_case_measurement_case_id", "case_measurement", ["case_id"])


def downgrade() -> None:
    """To the version before. What was predicted goes from the catalog; its files stay."""
    for table in ("case_measurement", "scored_case", "measurement", "prediction_model", "prediction"):
        op.drop_table(table)
