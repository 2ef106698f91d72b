"""What a metric is, and what it measures on. Imports nothing that computes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kits_core.metrics.overlap import Mask

Spacing = tuple[float, float, float]


def volume_ml(mask: Mask, spacing_mm: Spacing) -> float:
    """The volume of a mask in ml."""
    return np.count_nonzero(mask) * float(np.prod(spacing_mm)) / 1000


@dataclass(frozen=True)
class MaskPair:
    """A region in prediction and reference: masks of one shape, cut to a box around both; spacing per axis in mm.

    `tolerance_mm`: the challenge's for this region, None where it has none.
    """

    prediction: Mask
    reference: Mask
    spacing_mm: Spacing
    tolerance_mm: float | None

    @cached_property
    def distances_mm(self) -> tuple[NDArray[np.float64], ...]:
        """From each surface voxel to the other surface, in both directions (`distance.surface_distances_mm`)."""
        from kits_core.metrics.distance import surface_distances_mm  # noqa: PLC0415 - which loads SciPy

        return surface_distances_mm(self.prediction, self.reference, self.spacing_mm)


@dataclass(frozen=True)
class Metric:
    """A metric: its stored `name`, its `title` in tables, and its `definition` in words.

    `kind`: an `overlap` score from 0 to 1 is 0 or 1 where a mask is empty, a `distance` in mm has no value there, a
    `volume` in ml is as found, and a `detection` has no value where there is nothing to find.
    `measure`: its value; it is asked only where the kind has one. `order`: tables show smaller ones first.
    `needs_tolerance`: whether only regions with a tolerance have it.
    """

    name: str
    title: str
    kind: Literal["overlap", "distance", "volume", "detection"]
    definition: str
    measure: Callable[[MaskPair], float]
    order: int = 1000
    needs_tolerance: bool = False

    @property
    def digits(self) -> int:
        """Decimal places that a table shows."""
        return 3 if self.kind in ("overlap", "detection") else 1
