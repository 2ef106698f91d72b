"""The tables of the catalog."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

_TABLES = (
    "dataset",
    "recipe",
    "case",
    "split",
    "case_file",
    "clinical_record",
    "label_volume",
    "prepared_case",
    "problem",
    "split_member",
    "training_run",
    "ceiling",
    "epoch_metric",
    "model",
    "evaluation",
    "case_metric",
)
_JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def _checked(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    """To this version."""
    op.create_table(
        "dataset",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("revision", sa.String(), nullable=True),
        sa.Column("clinical_sha256", sa.String(), nullable=True),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset")),
        sa.UniqueConstraint("name", name=op.f("uq_dataset_name")),
    )
    op.create_index("ix_dataset_flow_run_id", "dataset", ["flow_run_id"])

    op.create_table(
        "recipe",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("settings", _JSON, nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recipe")),
        sa.UniqueConstraint("hash", name=op.f("uq_recipe_hash")),
    )
    op.create_index("ix_recipe_flow_run_id", "recipe", ["flow_run_id"])

    op.create_table(
        "case",
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("status", _checked("status", "pending", "ingested", "quarantined"), nullable=False),
        sa.Column("has_segmentation", sa.Boolean(), nullable=False),
        sa.Column("phase", _checked("phase", "arterial", "nephrogenic"), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_case_dataset_id_dataset")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case")),
        sa.UniqueConstraint("dataset_id", "name", name=op.f("uq_case_dataset_id_name")),
    )
    op.create_index("ix_case_dataset_id", "case", ["dataset_id"])
    op.create_index("ix_case_flow_run_id", "case", ["flow_run_id"])

    op.create_table(
        "split",
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("validation_fraction", sa.Double(), nullable=False),
        sa.Column("folds", sa.Integer(), nullable=True),
        sa.Column("strata", _JSON, nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_split_dataset_id_dataset")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_split")),
        sa.UniqueConstraint("hash", name=op.f("uq_split_hash")),
    )
    op.create_index("ix_split_dataset_id", "split", ["dataset_id"])
    op.create_index("ix_split_flow_run_id", "split", ["flow_run_id"])

    op.create_table(
        "case_file",
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("kind", _checked("kind", "image", "segmentation"), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("source_url", sa.String(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("archive_bytes", sa.BigInteger(), nullable=False),
        sa.Column("archive_sha256", sa.String(), nullable=False),
        sa.Column("etag", sa.String(), nullable=True),
        sa.Column("last_modified", sa.String(), nullable=True),
        sa.Column("dtype", sa.String(), nullable=False),
        sa.Column("shape", _JSON, nullable=False),
        sa.Column("spacing_mm", _JSON, nullable=False),
        sa.Column("affine", _JSON, nullable=False),
        sa.Column("orientation", sa.String(), nullable=False),
        sa.Column("hu_percentiles", _JSON, nullable=True),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_case_file_case_id_case")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_file")),
        sa.UniqueConstraint("case_id", "kind", name=op.f("uq_case_file_case_id_kind")),
    )
    op.create_index("ix_case_file_case_id", "case_file", ["case_id"])
    op.create_index("ix_case_file_flow_run_id", "case_file", ["flow_run_id"])
    op.create_index("ix_case_file_sha256", "case_file", ["sha256"])

    op.create_table(
        "clinical_record",
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("sex", sa.String(), nullable=True),
        sa.Column("age_years", sa.Integer(), nullable=True),
        sa.Column("body_mass_index", sa.Double(), nullable=True),
        sa.Column("smoking_history", sa.String(), nullable=True),
        sa.Column("radiographic_size_cm", sa.Double(), nullable=True),
        sa.Column("pathologic_size_cm", sa.Double(), nullable=True),
        sa.Column("malignant", sa.Boolean(), nullable=True),
        sa.Column("tumor_histologic_subtype", sa.String(), nullable=True),
        sa.Column("tumor_isup_grade", sa.String(), nullable=True),
        sa.Column("tumor_necrosis", sa.Boolean(), nullable=True),
        sa.Column("pathology_t_stage", sa.String(), nullable=True),
        sa.Column("pathology_n_stage", sa.String(), nullable=True),
        sa.Column("pathology_m_stage", sa.String(), nullable=True),
        sa.Column("surgery_type", sa.String(), nullable=True),
        sa.Column("surgical_procedure", sa.String(), nullable=True),
        sa.Column("vital_status", sa.String(), nullable=True),
        sa.Column("vital_days_after_surgery", sa.Integer(), nullable=True),
        sa.Column("aua_risk_score", sa.String(), nullable=True),
        sa.Column("extra", _JSON, nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_clinical_record_case_id_case")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clinical_record")),
        sa.UniqueConstraint("case_id", name=op.f("uq_clinical_record_case_id")),
    )
    op.create_table(
        "label_volume",
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("label", sa.Integer(), nullable=False),
        sa.Column("voxels", sa.BigInteger(), nullable=False),
        sa.Column("ml", sa.Double(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_label_volume_case_id_case")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label_volume")),
        sa.UniqueConstraint("case_id", "label", name=op.f("uq_label_volume_case_id_label")),
    )
    op.create_index("ix_label_volume_case_id", "label_volume", ["case_id"])

    op.create_table(
        "prepared_case",
        sa.Column("recipe_id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("image_path", sa.String(), nullable=False),
        sa.Column("image_sha256", sa.String(), nullable=False),
        sa.Column("label_path", sa.String(), nullable=True),
        sa.Column("label_sha256", sa.String(), nullable=True),
        sa.Column("source_image_sha256", sa.String(), nullable=False),
        sa.Column("source_segmentation_sha256", sa.String(), nullable=True),
        sa.Column("geometry", _JSON, nullable=False),
        sa.Column("kidney_kept", sa.Double(), nullable=True),
        sa.Column("tumor_kept", sa.Double(), nullable=True),
        sa.Column("cyst_kept", sa.Double(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_prepared_case_case_id_case")),
        sa.ForeignKeyConstraint(["recipe_id"], ["recipe.id"], name=op.f("fk_prepared_case_recipe_id_recipe")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prepared_case")),
        sa.UniqueConstraint("recipe_id", "case_id", name=op.f("uq_prepared_case_recipe_id_case_id")),
    )
    op.create_index("ix_prepared_case_case_id", "prepared_case", ["case_id"])
    op.create_index("ix_prepared_case_flow_run_id", "prepared_case", ["flow_run_id"])

    op.create_table(
        "problem",
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_problem_case_id_case")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_problem")),
    )
    op.create_index("ix_problem_case_id", "problem", ["case_id"])
    op.create_index("ix_problem_flow_run_id", "problem", ["flow_run_id"])
    op.create_index(
        "ix_problem_open",
        "problem",
        ["case_id", "stage"],
        unique=True,
        sqlite_where=sa.text("resolved_at IS NULL"),
        postgresql_where=sa.text("resolved_at IS NULL"),
    )

    op.create_table(
        "split_member",
        sa.Column("split_id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("subset", _checked("subset", "train", "validation"), nullable=False),
        sa.Column("fold", sa.Integer(), nullable=True),
        sa.Column("stratum", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_split_member_case_id_case")),
        sa.ForeignKeyConstraint(["split_id"], ["split.id"], name=op.f("fk_split_member_split_id_split")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_split_member")),
        sa.UniqueConstraint("split_id", "case_id", name=op.f("uq_split_member_split_id_case_id")),
    )
    op.create_index("ix_split_member_case_id", "split_member", ["case_id"])

    op.create_table(
        "training_run",
        sa.Column("recipe_id", sa.Integer(), nullable=False),
        sa.Column("split_id", sa.Integer(), nullable=False),
        sa.Column("config", _JSON, nullable=False),
        sa.Column("config_hash", sa.String(), nullable=False),
        sa.Column("status", _checked("status", "running", "completed", "failed", "cancelled"), nullable=False),
        sa.Column("environment", _JSON, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["recipe_id"], ["recipe.id"], name=op.f("fk_training_run_recipe_id_recipe")),
        sa.ForeignKeyConstraint(["split_id"], ["split.id"], name=op.f("fk_training_run_split_id_split")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_run")),
        sa.UniqueConstraint(
            "recipe_id", "split_id", "config_hash", name=op.f("uq_training_run_recipe_id_split_id_config_hash")
        ),
    )
    op.create_index("ix_training_run_flow_run_id", "training_run", ["flow_run_id"])
    op.create_index("ix_training_run_split_id", "training_run", ["split_id"])

    op.create_table(
        "ceiling",
        sa.Column("prepared_case_id", sa.Integer(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["prepared_case_id"], ["prepared_case.id"], name=op.f("fk_ceiling_prepared_case_id_prepared_case")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ceiling")),
        sa.UniqueConstraint(
            "prepared_case_id", "region", "metric", name=op.f("uq_ceiling_prepared_case_id_region_metric")
        ),
    )
    op.create_table(
        "epoch_metric",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["training_run.id"], name=op.f("fk_epoch_metric_run_id_training_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_epoch_metric")),
        sa.UniqueConstraint("run_id", "epoch", "name", name=op.f("uq_epoch_metric_run_id_epoch_name")),
    )
    op.create_table(
        "model",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("parameters", sa.Integer(), nullable=False),
        sa.Column("is_champion", sa.Boolean(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["training_run.id"], name=op.f("fk_model_run_id_training_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model")),
        sa.UniqueConstraint("run_id", name=op.f("uq_model_run_id")),
    )
    op.create_index(
        "ix_model_champion",
        "model",
        ["is_champion"],
        unique=True,
        sqlite_where=sa.text("is_champion"),
        postgresql_where=sa.text("is_champion"),
    )
    op.create_index("ix_model_flow_run_id", "model", ["flow_run_id"])

    op.create_table(
        "evaluation",
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("split_id", sa.Integer(), nullable=False),
        sa.Column("subset", _checked("subset", "train", "validation"), nullable=False),
        sa.Column("status", _checked("status", "running", "completed", "failed", "cancelled"), nullable=False),
        sa.Column("report_path", sa.String(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_evaluation_model_id_model")),
        sa.ForeignKeyConstraint(["split_id"], ["split.id"], name=op.f("fk_evaluation_split_id_split")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluation")),
        sa.UniqueConstraint("model_id", "split_id", "subset", name=op.f("uq_evaluation_model_id_split_id_subset")),
    )
    op.create_index("ix_evaluation_flow_run_id", "evaluation", ["flow_run_id"])
    op.create_index("ix_evaluation_split_id", "evaluation", ["split_id"])

    op.create_table(
        "case_metric",
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column(
            "status",
            _checked("status", "ok", "prediction_empty", "reference_empty", "both_empty", "missing"),
            nullable=False,
        ),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case.id"], name=op.f("fk_case_metric_case_id_case")),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_case_metric_evaluation_id_evaluation")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_metric")),
        sa.UniqueConstraint(
            "evaluation_id",
            "case_id",
            "region",
            "metric",
            name=op.f("uq_case_metric_evaluation_id_case_id_region_metric"),
        ),
    )
    op.create_index("ix_case_metric_case_id", "case_metric", ["case_id"])


def downgrade() -> None:
    """To the version before."""
    for table in reversed(_TABLES):
        op.drop_table(table)
