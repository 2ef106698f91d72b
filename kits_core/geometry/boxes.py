"""Boxes of voxels along the axes of an array."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Slices = tuple[slice, slice, slice]

DIGITS = 3
"""Of a voxel. Headers round spacings: a tenth of 12 mm must not be a voxel more in a file that has 0.8333333 mm."""


def voxels_of(length_mm: float, spacing_mm: float) -> int:
    """The number of voxels that a length needs, the same for a spacing as NIfTI and as DICOM write it."""
    return math.ceil(round(length_mm / spacing_mm, DIGITS))


def bounding_box(mask: NDArray[Any]) -> Slices | None:
    """The smallest box around what is true or not zero in a 3-D array; None where nothing is."""
    found: list[slice] = [slice(None)] * 3
    # From the axis that is slowest in memory: what it leaves out, the others need not look at.
    for axis in sorted(range(3), key=lambda axis: -abs(mask.strides[axis])):
        hits = np.flatnonzero(mask[tuple(found)].any(axis=tuple(a for a in range(3) if a != axis)))
        if not hits.size:
            return None
        found[axis] = slice(int(hits[0]), int(hits[-1]) + 1)
    return found[0], found[1], found[2]


def grown(box: Slices, by: tuple[int, int, int], shape: tuple[int, ...]) -> Slices:
    """A box with `by` voxels more on both sides of each axis, as far as an array of `shape` reaches."""
    i, j, k = (
        slice(max(0, part.start - n), min(size, part.stop + n)) for part, n, size in zip(box, by, shape, strict=True)
    )
    return i, j, k
