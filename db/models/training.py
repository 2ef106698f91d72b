"""Trainings, their epochs, and the models that they left."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, Json, Made, RowId, checked, now
from db.models.preparation import Recipe
from db.models.split import Split
from kits_core.model_file import Origin
from kits_core.network.config import TrainingConfig


class RunStatus(StrEnum):
    """Status of a training, an evaluation or a prediction. `crashed`: its process was killed or ended from outside."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CRASHED = "crashed"


class TrainingRun(RowId, Base):
    """One training. The same recipe, split, settings and prepared files make one row, however often it was started.

    `data_hash`: SHA-256 over the names and hashes of the prepared files, which are in `trained_case` one by one.
    `forgotten_cases`: how many of them were removed for good since. `imported`: of a run of another home, whose model
    came in as a file, where it comes from (`kits_core.model_file.Origin`). Such a run has no split and is never trained
    further.
    """

    __tablename__ = "training_run"
    __table_args__ = (UniqueConstraint("recipe_id", "split_id", "config_hash", "data_hash"),)

    recipe_id: Mapped[int] = mapped_column(ForeignKey("recipe.id"))
    # NULL only for imported runs. Code that trains, or looks for a run's cases, has a run with a split.
    split_id: Mapped[int] = mapped_column(ForeignKey("split.id"), index=True, nullable=True)
    config: Mapped[dict[str, Any]]
    config_hash: Mapped[str]
    data_hash: Mapped[str]
    status: Mapped[RunStatus] = mapped_column(checked(RunStatus, "status"), default=RunStatus.RUNNING)
    environment: Mapped[dict[str, Any]]
    started_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]
    error: Mapped[str | None]
    forgotten_cases: Mapped[int] = mapped_column(default=0, server_default="0")
    imported: Mapped[dict[str, Any] | None] = mapped_column(Json)
    flow_run_id: Mapped[str | None] = mapped_column(index=True)

    recipe: Mapped[Recipe] = relationship()
    split: Mapped[Split] = relationship()
    model: Mapped["Model | None"] = relationship(back_populates="run")
    cases: Mapped[list["TrainedCase"]] = relationship(cascade="all, delete-orphan")

    def read_config(self) -> TrainingConfig:
        """The settings. Raises `KitsError` for those of a newer release."""
        return TrainingConfig.from_stored(self.config)

    def read_origin(self) -> Origin | None:
        """Where an imported run comes from; None of a run of this home."""
        return None if self.imported is None else Origin.model_validate(self.imported)


class TrainedCase(RowId, Base):
    """The prepared files of a case as a training, or its validation, has read them."""

    __tablename__ = "trained_case"
    __table_args__ = (UniqueConstraint("run_id", "case_id"),)

    run_id: Mapped[int] = mapped_column(ForeignKey("training_run.id"))
    case_id: Mapped[int] = mapped_column(ForeignKey("case.id"), index=True)
    image_sha256: Mapped[str]
    label_sha256: Mapped[str]


class EpochMetric(RowId, Base):
    """One value of one epoch (the first is 1)."""

    __tablename__ = "epoch_metric"
    __table_args__ = (UniqueConstraint("run_id", "epoch", "name"),)

    run_id: Mapped[int] = mapped_column(ForeignKey("training_run.id"))
    epoch: Mapped[int]
    name: Mapped[str]
    value: Mapped[float]


class Model(RowId, Made, Base):
    """The best checkpoint of a run. `score`: mean validation Dice of kidney and tumour on the recipe's grid."""

    __tablename__ = "model"
    __table_args__ = (
        Index(
            "ix_model_champion",
            "is_champion",
            unique=True,
            sqlite_where=text("is_champion"),
            postgresql_where=text("is_champion"),
        ),
    )

    run_id: Mapped[int] = mapped_column(ForeignKey("training_run.id"), unique=True)
    epoch: Mapped[int]
    path: Mapped[str]
    sha256: Mapped[str]
    score: Mapped[float]
    parameters: Mapped[int]
    is_champion: Mapped[bool] = mapped_column(default=False)

    run: Mapped[TrainingRun] = relationship(back_populates="model")
