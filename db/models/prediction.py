"""Scans from outside the catalog: what was predicted for them, and every value of their plans."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, RowId, checked, now
from db.models.training import Model, RunStatus


class Prediction(RowId, Base):
    """One scan, segmented by one model or by several together, and planned.

    `key`: hash of the scan's files, the models, the flips and the folder, to find an earlier prediction again. `scan`:
    its name, which is that of its folder in `folder`. `source`: where it was read from. `notes`: what had to be handled
    in reading it; `flags`: in what it is unlike the training cases. `seconds`: by step. `error`: why there is no plan.
    """

    __tablename__ = "prediction"

    key: Mapped[str] = mapped_column(unique=True)
    scan: Mapped[str]
    source: Mapped[str]
    kind: Mapped[str]
    series_uid: Mapped[str | None]
    folder: Mapped[str]
    flips: Mapped[bool]
    status: Mapped[RunStatus] = mapped_column(checked(RunStatus, "status"), default=RunStatus.RUNNING)
    error: Mapped[str | None]
    sha256: Mapped[str | None]
    shape: Mapped[list[Any] | None]
    spacing_mm: Mapped[list[Any] | None]
    notes: Mapped[list[Any] | None]
    flags: Mapped[list[Any] | None]
    seconds: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]
    flow_run_id: Mapped[str | None] = mapped_column(index=True)

    models: Mapped[list["PredictionModel"]] = relationship(back_populates="prediction", order_by="PredictionModel.id")
    measurements: Mapped[list["Measurement"]] = relationship(back_populates="prediction", order_by="Measurement.id")


class PredictionModel(RowId, Base):
    """A model that a prediction was made with. `locates`: it found the kidneys for the others."""

    __tablename__ = "prediction_model"
    __table_args__ = (UniqueConstraint("prediction_id", "model_id"),)

    prediction_id: Mapped[int] = mapped_column(ForeignKey("prediction.id"))
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"), index=True)
    locates: Mapped[bool]

    prediction: Mapped[Prediction] = relationship(back_populates="models")
    model: Mapped[Model] = relationship()


class Measurement(RowId, Base):
    """One value of a plan; NULL where there is none. Names carry the unit (`kits_core.plan.measurement`)."""

    __tablename__ = "measurement"
    __table_args__ = (UniqueConstraint("prediction_id", "structure", "name"),)

    prediction_id: Mapped[int] = mapped_column(ForeignKey("prediction.id"))
    structure: Mapped[str]
    side: Mapped[str]
    name: Mapped[str]
    value: Mapped[float | None]

    prediction: Mapped[Prediction] = relationship(back_populates="measurements")
