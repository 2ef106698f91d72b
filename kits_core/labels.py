"""The registry of labels, scored regions and official tolerances. Imports in milliseconds.

Source: the KiTS23 challenge, Heller et al. 2023 (https://kits-challenge.org/kits23/): label values, hierarchical
evaluation classes and the surface Dice tolerances, which the organisers derived from inter-observer disagreement.
"""

from dataclasses import dataclass
from enum import IntEnum


class Label(IntEnum):
    """Voxel values of a KiTS23 segmentation."""

    BACKGROUND = 0
    KIDNEY = 1
    TUMOR = 2
    CYST = 3


@dataclass(frozen=True)
class Region:
    """A set of labels that is scored together.

    `tolerance_mm` is the official surface Dice tolerance; None where the challenge has none.
    """

    name: str
    labels: tuple[Label, ...]
    tolerance_mm: float | None = None


KIDNEY = Region("kidney", (Label.KIDNEY,))
TUMOR = Region("tumor", (Label.TUMOR,), 1.1498198361434828)
FOREGROUND = Region("foreground", (Label.KIDNEY, Label.TUMOR, Label.CYST))
KIDNEY_AND_MASS = Region("kidney_and_mass", (Label.KIDNEY, Label.TUMOR, Label.CYST), 1.0330772532390826)
MASS = Region("mass", (Label.TUMOR, Label.CYST), 1.1328796488598762)

REGIONS: tuple[Region, ...] = (KIDNEY, TUMOR, FOREGROUND, KIDNEY_AND_MASS, MASS)
"""Every region that an evaluation scores, each under its own name."""

OFFICIAL_REGIONS: tuple[Region, ...] = (KIDNEY_AND_MASS, MASS, TUMOR)
"""The hierarchical evaluation classes of the challenge."""
