"""The ceiling: what a perfect model would score through a recipe, on the original grid."""

import numpy as np
from numpy.typing import NDArray

from kits_core.geometry import GridMap, restore_labels
from kits_core.labels import REGIONS
from kits_core.metrics.overlap import dice


def ceilings(reference: NDArray[np.uint8], prepared: NDArray[np.uint8], grid: GridMap) -> dict[tuple[str, str], float]:
    """Dice of the prepared labels, brought back to the original grid, against the reference they were made from.

    `reference`: uint8, original grid, labels 0 to 3. `prepared`: uint8, `grid.shape`, labels 0 to 2.
    Returns `{(region, "dice"): value}`.
    """
    perfect = restore_labels(np.eye(3, dtype=np.float32)[prepared], grid)
    return {
        (region.name, "dice"): dice(np.isin(perfect, region.labels), np.isin(reference, region.labels))
        for region in REGIONS
    }
