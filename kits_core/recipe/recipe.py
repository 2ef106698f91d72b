"""The recipe: everything that decides how a prepared case looks, in one frozen, hashed object."""

from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from kits_core.labels import Label
from kits_core.stored import StoredSettings


class Recipe(StoredSettings):
    """Settings of the preparation.

    The default intensity window is the 0.5 to 99.5 percentile range of foreground voxels of KiTS, and the
    standardisation its mean and deviation (Isensee & Maier-Hein 2019, arXiv:1908.02182).
    """

    CODE: ClassVar[int] = 2

    frame: Literal["volume", "kidneys"] = Field(
        "volume",
        description="What of the scan the grid covers: volume, the whole scan; kidneys, a box around both kidneys.",
    )
    trim_air: bool = Field(
        True, title="Trim the air", description="Frame volume: spend no voxels on the air around the patient."
    )
    margin_mm: float = Field(
        20.0, ge=0, le=100, description="Frame kidneys: what the box leaves around them on all sides."
    )
    locator: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        title="Locator (SHA-256)",
        description="Frame kidneys: SHA-256 of the model that finds them, for training as for prediction; empty takes "
        "the reference for training.",
    )
    spacing_mm: float | None = Field(
        None,
        gt=0,
        le=10,
        description="Equal spacing of the grid's voxels about the frame's centre; a case whose kidneys or "
        "tumours do not fit is refused. Empty stretches the frame to the grid's shape instead.",
    )
    shape: int = Field(
        128,
        ge=32,
        le=512,
        multiple_of=32,
        title="Shape (voxels a side)",
        description="Voxels along each side of the grid.",
    )
    window_hu: tuple[float, float] = Field(
        (-79.0, 304.0),
        description="Two numbers, the lower one first: intensities outside this range are clipped to it.",
    )
    mean_hu: float = Field(100.93, description="Subtracted from the clipped intensities.")
    deviation_hu: float = Field(76.90, gt=0, description="Divides them after that.")
    cyst_to: Literal["background", "kidney", "tumor"] = Field(
        "background",
        title="A cyst becomes",
        description="What a cyst is to the network, which knows background, kidney and tumour.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.locator is not None and self.frame != "kidneys":
            raise ValueError(f"a locator goes with the frame kidneys, got the frame {self.frame}")
        if self.window_hu[0] >= self.window_hu[1]:
            raise ValueError(f"window_hu must rise, got {self.window_hu}")
        return self

    @property
    def name(self) -> str:
        """For people, as `kidneys 128` or `volume 64, cyst_to tumor`: frame, shape, what else is no default."""
        others = self.model_dump(mode="json", exclude_defaults=True, exclude={"frame", "shape"})
        if self.locator is not None:
            others["locator"] = self.locator[:8]
        return ", ".join([f"{self.frame} {self.shape}", *(f"{setting} {value}" for setting, value in others.items())])

    @property
    def context(self) -> int:
        """Voxels kept around a prepared pair on all sides, so that training can move and turn the box with real data.

        An eighth of the shape for the frame `kidneys`, which cuts through the patient; none for the whole scan.
        """
        return self.shape // 8 if self.frame == "kidneys" else 0

    @property
    def grid_shape(self) -> tuple[int, int, int]:
        """Voxels of the grid along R, A and S."""
        return self.shape, self.shape, self.shape

    def central(self, stored: NDArray[Any]) -> NDArray[Any]:
        """The part of a stored array `(x, y, z)` that the grid covers: all but `context`."""
        inner = slice(self.context, self.context + self.shape)
        return stored[inner, inner, inner]

    def reduce(self, labels: NDArray[Any]) -> NDArray[np.uint8]:
        """Reference labels (0 to 3) as the network's (0 background, 1 kidney, 2 tumour), uint8, same shape."""
        table = np.array([Label.BACKGROUND, Label.KIDNEY, Label.TUMOR, Label[self.cyst_to.upper()]], dtype=np.uint8)
        return table[labels]

    def standardise(self, hu: NDArray[Any]) -> NDArray[np.float32]:
        """HU clipped to the window, then centred and scaled: float32, same shape, no unit."""
        clipped = np.clip(hu, *self.window_hu).astype(np.float32)
        return (clipped - np.float32(self.mean_hu)) / np.float32(self.deviation_hu)
