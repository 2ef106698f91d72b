"""Where the kidneys are in a label map, so that a grid can be spent on them alone."""

import cc3d
import numpy as np
from numpy.typing import NDArray

from kits_core.geometry.body import Box
from kits_core.geometry.boxes import Slices, bounding_box, voxels_of

_LEAST_ML = 5.0


def kidneys_box(
    labels: NDArray[np.uint8], spacing_mm: tuple[float, float, float], margin_mm: float, *, clean: bool
) -> Box | None:
    """First and last voxel (inclusive) of all that is labelled along each axis, with `margin_mm` around, in the scan.

    `labels`: uint8 on the scan's grid, 0 is background. `clean` leaves out connected parts below 5 ml, which a model
    often predicts far from any kidney. If all parts are smaller, the largest one is kept. None where there are no
    labels.
    """
    box = bounding_box(labels)
    if box is not None and clean:
        box = _box_of_large_parts(labels[box] > 0, box, float(np.prod(spacing_mm)) / 1000)
    if box is None:
        return None
    ends = []
    for part, mm, n in zip(box, spacing_mm, labels.shape, strict=True):
        margin = voxels_of(margin_mm, mm)
        ends.append((max(0, part.start - margin), min(n - 1, part.stop - 1 + margin)))
    return ends[0], ends[1], ends[2]


def _box_of_large_parts(mask: NDArray[np.bool_], box: Slices, voxel_ml: float) -> Slices | None:
    parts, count = cc3d.connected_components(np.ascontiguousarray(mask), connectivity=26, return_N=True)
    voxels = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    large = np.flatnonzero(voxels * voxel_ml >= _LEAST_ML)
    if not large.size:
        large = np.array([voxels.argmax()])
    inner = bounding_box(np.isin(parts, large + 1))
    if inner is None:
        return None
    i, j, k = (slice(a.start + b.start, a.start + b.stop) for a, b in zip(box, inner, strict=True))
    return i, j, k
