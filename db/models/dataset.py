"""Datasets, their cases, and what was ingested of each."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, Json, Made, RowId, checked, now


class CaseStatus(StrEnum):
    """How far the ingestion of a case is."""

    PENDING = "pending"
    INGESTED = "ingested"
    QUARANTINED = "quarantined"


class FileKind(StrEnum):
    """What a file of a case is."""

    IMAGE = "image"
    SEGMENTATION = "segmentation"


class Phase(StrEnum):
    """Contrast phase of a scan."""

    ARTERIAL = "arterial"
    NEPHROGENIC = "nephrogenic"


class Dataset(RowId, Made, Base):
    """A source that cases came from."""

    __tablename__ = "dataset"

    name: Mapped[str] = mapped_column(unique=True)
    source: Mapped[str]
    revision: Mapped[str | None]
    clinical_sha256: Mapped[str | None]
    layout: Mapped[str | None]
    label_values: Mapped[dict[str, Any] | None] = mapped_column(Json)

    cases: Mapped[list["Case"]] = relationship(back_populates="dataset", order_by="Case.name")


class Case(RowId, Made, Base):
    """One patient's scan."""

    __tablename__ = "case"
    __table_args__ = (UniqueConstraint("dataset_id", "name"),)

    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"), index=True)
    name: Mapped[str]
    status: Mapped[CaseStatus] = mapped_column(checked(CaseStatus, "status"), default=CaseStatus.PENDING)
    has_segmentation: Mapped[bool] = mapped_column(default=False)
    phase: Mapped[Phase | None] = mapped_column(checked(Phase, "phase"))
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)

    dataset: Mapped[Dataset] = relationship(back_populates="cases")
    files: Mapped[list["CaseFile"]] = relationship(back_populates="case")
    volumes: Mapped[list["LabelVolume"]] = relationship()
    clinical: Mapped["ClinicalRecord | None"] = relationship()

    def file(self, kind: FileKind) -> "CaseFile | None":
        """The newest version of the case's file of a kind."""
        return next((file for file in self.files if file.kind is kind and file.superseded_at is None), None)


class Forgotten(RowId, Base):
    """A case that was removed for good. `digest`: a keyed hash that recognises the case without naming it."""

    __tablename__ = "forgotten"
    __table_args__ = (UniqueConstraint("dataset_id", "digest"),)

    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"))
    digest: Mapped[str]
    forgotten_at: Mapped[datetime] = mapped_column(default=now)


class ClinicalRecord(RowId, Base):
    """What is known of a patient: what people filter by in columns, the rest in `extra`."""

    __tablename__ = "clinical_record"

    case_id: Mapped[int] = mapped_column(ForeignKey("case.id"), unique=True)
    patient_id: Mapped[str | None]
    sex: Mapped[str | None]
    age_years: Mapped[int | None]
    body_mass_index: Mapped[float | None]
    smoking_history: Mapped[str | None]
    radiographic_size_cm: Mapped[float | None]
    pathologic_size_cm: Mapped[float | None]
    malignant: Mapped[bool | None]
    tumor_histologic_subtype: Mapped[str | None]
    tumor_isup_grade: Mapped[str | None]
    tumor_necrosis: Mapped[bool | None]
    pathology_t_stage: Mapped[str | None]
    pathology_n_stage: Mapped[str | None]
    pathology_m_stage: Mapped[str | None]
    surgery_type: Mapped[str | None]
    surgical_procedure: Mapped[str | None]
    vital_status: Mapped[str | None]
    vital_days_after_surgery: Mapped[int | None]
    aua_risk_score: Mapped[str | None]
    extra: Mapped[dict[str, Any]]


class CaseFile(RowId, Made, Base):
    """A version of a converted file of a case, and the archive that it came from.

    A changed source makes a new version; the rows and files of the older ones stay. `superseded_at`: when a newer
    version came; `vanished_at`: when the source was first seen without the file. `notes`: what of the source's file a
    reader should know; None for files that came before this was written down. `voxels_sha256`: of an image's voxels in
    the order of the patient's axes (`kits_core.geometry`); None until a split needed it.
    """

    __tablename__ = "case_file"
    __table_args__ = (
        UniqueConstraint("case_id", "kind", "version"),
        Index(
            "ix_case_file_newest",
            "case_id",
            "kind",
            unique=True,
            sqlite_where=text("superseded_at IS NULL"),
            postgresql_where=text("superseded_at IS NULL"),
        ),
    )

    case_id: Mapped[int] = mapped_column(ForeignKey("case.id"), index=True)
    kind: Mapped[FileKind] = mapped_column(checked(FileKind, "kind"))
    version: Mapped[int] = mapped_column(default=1)
    superseded_at: Mapped[datetime | None]
    vanished_at: Mapped[datetime | None]
    path: Mapped[str]
    source_url: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(index=True)
    archive_bytes: Mapped[int] = mapped_column(BigInteger)
    archive_sha256: Mapped[str]
    etag: Mapped[str | None]
    last_modified: Mapped[str | None]
    dtype: Mapped[str]
    source_dtype: Mapped[str | None]
    lossless: Mapped[bool | None]
    shape: Mapped[list[Any]]
    spacing_mm: Mapped[list[Any]]
    affine: Mapped[list[Any]]
    orientation: Mapped[str]
    hu_percentiles: Mapped[dict[str, Any] | None]
    voxels_sha256: Mapped[str | None]
    notes: Mapped[list[Any] | None]

    case: Mapped[Case] = relationship(back_populates="files")


class LabelVolume(RowId, Base):
    """How much of a label the reference of a case holds."""

    __tablename__ = "label_volume"
    __table_args__ = (UniqueConstraint("case_id", "label"),)

    case_id: Mapped[int] = mapped_column(ForeignKey("case.id"), index=True)
    label: Mapped[int]
    voxels: Mapped[int] = mapped_column(BigInteger)
    ml: Mapped[float]


class Problem(RowId, Base):
    """A problem that stops a case at a stage, or stopped it until `resolved_at`."""

    __tablename__ = "problem"
    __table_args__ = (
        Index(
            "ix_problem_open",
            "case_id",
            "stage",
            unique=True,
            sqlite_where=text("resolved_at IS NULL"),
            postgresql_where=text("resolved_at IS NULL"),
        ),
    )

    case_id: Mapped[int] = mapped_column(ForeignKey("case.id"), index=True)
    stage: Mapped[str]
    error: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=1)
    first_seen: Mapped[datetime] = mapped_column(default=now)
    last_seen: Mapped[datetime] = mapped_column(default=now)
    resolved_at: Mapped[datetime | None]
    flow_run_id: Mapped[str | None] = mapped_column(index=True)
