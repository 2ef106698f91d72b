"""One row a region of a scored case, its metrics side by side, in place of one row a value.

A tenth of the rows for the same values, so that questions about them are answered at once.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_METRICS = (
    "dice", "iou", "surface_dice", "volumetric_similarity", "hausdorff_mm", "hausdorff95_mm",
    "mean_surface_distance_mm", "detected", "prediction_ml", "reference_ml",
)  # fmt: skip
_STATUS = "status IN ('ok', 'prediction_empty', 'reference_empty', 'both_empty', 'missing')"


def upgrade() -> None:
    """To this version."""
    _create("case_score", *(sa.Column(metric, sa.Double(), nullable=True) for metric in _METRICS), key=["region"])
    values = ", ".join(f"MAX(CASE WHEN metric = '{metric}' THEN value END)" for metric in _METRICS)
    op.execute(
        sa.text(
            f"INSERT INTO case_score (evaluation_id, case_id, region, status, seconds, {', '.join(_METRICS)}) "  # noqa: S608
            f"SELECT evaluation_id, case_id, region, MAX(status), MAX(seconds), {values} FROM case_metric "
            "GROUP BY evaluation_id, case_id, region ORDER BY MIN(id)"
        )
    )
    op.create_index("ix_case_score_means", "case_score", ["evaluation_id", "region", "status", "dice", "surface_dice"])
    op.drop_table("case_metric")


def downgrade() -> None:
    """To the version before. A metric that a region has no value of gets a row, too, but for surface Dice."""
    _create(
        "case_metric",
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        key=["region", "metric"],
    )
    for metric in _METRICS:
        rows = "WHERE surface_dice IS NOT NULL " if metric == "surface_dice" else ""
        op.execute(
            sa.text(
                "INSERT INTO case_metric (evaluation_id, case_id, region, metric, value, status, seconds) "  # noqa: S608
                f"SELECT evaluation_id, case_id, region, '{metric}', {metric}, status, seconds FROM case_score {rows}"
                "ORDER BY id"
            )
        )
    op.drop_table("case_score")


def _create(name: str, *columns: "sa.Column[Any]", key: list[str]) -> None:
    key = ["evaluation_id", "case_id", *key]
    op.create_table(
        name,
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        *columns,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.CheckConstraint(_STATUS, name=op.f(f"ck_{name}_status")),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f(f"fk_{name}_case_id_case")),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], name=op.f(f"fk_{name}_evaluation_id_evaluation")),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
        sa.UniqueConstraint(*key, name=op.f(f"uq_{name}_{'_'.join(key)}")),
    )
    op.create_index(f"ix_{name}_case_id", name, ["case_id"])
