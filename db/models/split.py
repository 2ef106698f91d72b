"""Which cases are trained on and which are held out."""

from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, Made, RowId, checked
from db.models.dataset import Case, Dataset


class Subset(StrEnum):
    """A side of a split."""

    TRAIN = "train"
    VALIDATION = "validation"


class Split(RowId, Made, Base):
    """A split of a dataset's cases; the hash covers cases, their strata and the settings.

    `kept_id`: the split whose sides this one keeps, with the cases that came later.
    """

    __tablename__ = "split"
    __table_args__ = (UniqueConstraint("dataset_id", "hash"),)

    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"), index=True)
    hash: Mapped[str]
    seed: Mapped[int]
    validation_fraction: Mapped[float]
    folds: Mapped[int | None]
    strata: Mapped[dict[str, Any]]
    kept_id: Mapped[int | None] = mapped_column(ForeignKey("split.id"), index=True)

    dataset: Mapped[Dataset] = relationship()
    members: Mapped[list["SplitMember"]] = relationship()


class SplitMember(RowId, Base):
    """A case's place in a split."""

    __tablename__ = "split_member"
    __table_args__ = (UniqueConstraint("split_id", "case_id"),)

    split_id: Mapped[int] = mapped_column(ForeignKey("split.id"))
    case_id: Mapped[int] = mapped_column(ForeignKey("case.id"), index=True)
    subset: Mapped[Subset] = mapped_column(checked(Subset, "subset"))
    fold: Mapped[int | None]
    stratum: Mapped[str]

    case: Mapped[Case] = relationship()
