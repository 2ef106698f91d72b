"""Recipes, and the cases prepared by them."""

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, Made, RowId
from db.models.dataset import Case
from kits_core import recipe


class Recipe(RowId, Made, Base):
    """Settings of a preparation; the hash covers them and the code's version."""

    __tablename__ = "recipe"

    hash: Mapped[str] = mapped_column(unique=True)
    settings: Mapped[dict[str, Any]]

    def read(self) -> recipe.Recipe:
        """The settings. Raises `KitsError` for those of a newer release."""
        return recipe.Recipe.from_stored(self.settings)


class PreparedCase(RowId, Made, Base):
    """A case on a recipe's grid.

    `*_kept`: share of the label's voxels inside the grid, None where there are none. `*_ml`: volume on the grid, as the
    network is to find it; before the preparation it is in `label_volume`. `peak_bytes`: most memory of the process that
    made it. `bytes`: of its files; NULL before version 0015.
    """

    __tablename__ = "prepared_case"
    __table_args__ = (UniqueConstraint("recipe_id", "case_id"),)

    recipe_id: Mapped[int] = mapped_column(ForeignKey("recipe.id"))
    case_id: Mapped[int] = mapped_column(ForeignKey("case.id"), index=True)
    image_path: Mapped[str]
    image_sha256: Mapped[str]
    label_path: Mapped[str | None]
    label_sha256: Mapped[str | None]
    source_image_sha256: Mapped[str]
    source_segmentation_sha256: Mapped[str | None]
    geometry: Mapped[dict[str, Any]]
    kidney_kept: Mapped[float | None]
    tumor_kept: Mapped[float | None]
    cyst_kept: Mapped[float | None]
    kidney_ml: Mapped[float | None]
    tumor_ml: Mapped[float | None]
    seconds: Mapped[float]
    peak_bytes: Mapped[int | None] = mapped_column(BigInteger)
    bytes: Mapped[int | None] = mapped_column(BigInteger)

    case: Mapped[Case] = relationship()
    ceilings: Mapped[list["Ceiling"]] = relationship(cascade="all, delete-orphan")


class Ceiling(RowId, Base):
    """What a perfect model would score on a prepared case, on the original grid."""

    __tablename__ = "ceiling"
    __table_args__ = (UniqueConstraint("prepared_case_id", "region", "metric"),)

    prepared_case_id: Mapped[int] = mapped_column(ForeignKey("prepared_case.id"))
    region: Mapped[str]
    metric: Mapped[str]
    value: Mapped[float]
