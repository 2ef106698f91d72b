"""The ceiling: what a perfect model would score through a recipe, on the original grid."""

import numpy as np
from numpy.typing import NDArray

from kits_core.geometry import GridMap, restore_labels
from kits_core.geometry.boxes import bounding_box
from kits_core.labels import REGIONS
from kits_core.metrics.overlap import dice, region_mask
from kits_core.metrics.surface import surface_dice

Spacing = tuple[float, float, float]


def ceilings(
    reference: NDArray[np.uint8], prepared: NDArray[np.uint8], grid: GridMap, spacing_mm: Spacing
) -> dict[tuple[str, str], float]:
    """Scores of the prepared labels, brought back to the original grid, against the reference they were made from.

    `reference`: uint8, original grid of spacing `spacing_mm`, labels 0 to 3. `prepared`: uint8, `grid.shape`, labels 0
    to 2. Returns `{(region, "dice"): value}`, and `{(region, "surface_dice"): value}` where the challenge has a
    tolerance for the region.
    """
    perfect = perfect_prediction(prepared, grid)
    box = bounding_box(perfect | reference)
    if box is not None:
        perfect, reference = perfect[box], reference[box]
    found = {}
    for region in REGIONS:
        p, r = region_mask(perfect, region), region_mask(reference, region)
        found[region.name, "dice"] = dice(p, r)
        if region.tolerance_mm is not None:
            found[region.name, "surface_dice"] = surface_dice(p, r, spacing_mm, region.tolerance_mm)
    return found


def perfect_prediction(prepared: NDArray[np.uint8], grid: GridMap) -> NDArray[np.uint8]:
    """The result of a model without errors: the prepared labels, uint8 `grid.shape`, on the scan's original grid."""
    return restore_labels(np.eye(3, dtype=np.float32)[prepared], grid)
