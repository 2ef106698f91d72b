"""Evaluations and every value that they measured."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, RowId, checked, now
from db.models.dataset import Case
from db.models.split import Split, Subset
from db.models.training import Model, RunStatus
from kits_core.metrics.score import Status


class Evaluation(RowId, Base):
    """One model over one subset of one split, with or without flips.

    `locator`: the model that found the kidneys for one that needs it. `flips`: whether predictions are the mean of a
    scan and its mirror image. `cleanup`: the rules by which small islands were removed (`kits_core.inference.cleanup`)
    and what they did on validation cases; NULL until that is decided. `forgotten_cases`: how many of those that it
    scored were removed for good since.
    """

    __tablename__ = "evaluation"
    __table_args__ = (UniqueConstraint("model_id", "split_id", "subset", "flips"),)

    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"))
    locator_id: Mapped[int | None] = mapped_column(ForeignKey("model.id"), index=True)
    split_id: Mapped[int] = mapped_column(ForeignKey("split.id"), index=True)
    subset: Mapped[Subset] = mapped_column(checked(Subset, "subset"))
    flips: Mapped[bool] = mapped_column(default=False, server_default=false())
    cleanup: Mapped[dict[str, Any] | None]
    status: Mapped[RunStatus] = mapped_column(checked(RunStatus, "status"), default=RunStatus.RUNNING)
    report_path: Mapped[str | None]
    started_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]
    forgotten_cases: Mapped[int] = mapped_column(default=0, server_default="0")
    flow_run_id: Mapped[str | None] = mapped_column(index=True)

    model: Mapped[Model] = relationship(foreign_keys=model_id)
    locator: Mapped[Model | None] = relationship(foreign_keys=locator_id)
    split: Mapped[Split] = relationship()


class CaseScore(RowId, Base):
    """One region of one case: its metrics side by side (`kits_core.metrics.score`), NULL where one has no value.

    `seconds`: that the region took. `more_metrics`: the values of metrics without a column of their own, by name; such
    a metric that is not in it was not measured, because it came later.

    One index has all values that the leaderboard averages: a score is stored once, and sums are not stored.
    """

    __tablename__ = "case_score"
    __table_args__ = (
        UniqueConstraint("evaluation_id", "case_id", "region"),
        Index("ix_case_score_means", "evaluation_id", "region", "status", "dice", "surface_dice"),
    )

    evaluation_id: Mapped[int] = mapped_column(ForeignKey("evaluation.id"))
    case_id: Mapped[int] = mapped_column(ForeignKey("case.id"), index=True)
    region: Mapped[str]
    status: Mapped[Status] = mapped_column(checked(Status, "status"))
    seconds: Mapped[float]
    dice: Mapped[float | None]
    iou: Mapped[float | None]
    surface_dice: Mapped[float | None]
    volumetric_similarity: Mapped[float | None]
    hausdorff_mm: Mapped[float | None]
    hausdorff95_mm: Mapped[float | None]
    mean_surface_distance_mm: Mapped[float | None]
    detected: Mapped[float | None]
    prediction_ml: Mapped[float | None]
    reference_ml: Mapped[float | None]
    more_metrics: Mapped[dict[str, Any] | None]

    case: Mapped[Case] = relationship()

    @classmethod
    def has_column(cls, metric: str) -> bool:
        """Whether a metric has a column of its own."""
        return metric in cls.__table__.columns


class ScoredCase(RowId, Base):
    """Which version of a case's files an evaluation predicted from and scored against, and with which weights.

    `model_sha256`: NULL for what was scored before version 0017.
    """

    __tablename__ = "scored_case"
    __table_args__ = (UniqueConstraint("evaluation_id", "case_id"),)

    evaluation_id: Mapped[int] = mapped_column(ForeignKey("evaluation.id"))
    case_id: Mapped[int] = mapped_column(ForeignKey("case.id"), index=True)
    image_sha256: Mapped[str]
    reference_sha256: Mapped[str]
    model_sha256: Mapped[str | None]


class CaseMeasurement(RowId, Base):
    """One measurement of a case's plan, by the reference and by the prediction (`kits_core.plan.agreement`).

    `structure`: as the reference's plan calls it; `found_1`, ... is a tumour that only the prediction has. NULL where a
    side has no such structure or no such value of it.
    """

    __tablename__ = "case_measurement"
    __table_args__ = (UniqueConstraint("evaluation_id", "case_id", "structure", "name"),)

    evaluation_id: Mapped[int] = mapped_column(ForeignKey("evaluation.id"))
    case_id: Mapped[int] = mapped_column(ForeignKey("case.id"), index=True)
    structure: Mapped[str]
    side: Mapped[str]
    name: Mapped[str]
    reference: Mapped[float | None]
    prediction: Mapped[float | None]
