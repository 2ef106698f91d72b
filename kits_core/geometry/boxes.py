"""Boxes of voxels along the axes of an array."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Slices = tuple[slice, slice, slice]

DIGITS = 3
"""Share of a voxel. Headers round spacings: a file with 0.8333333 mm must not get one voxel more."""


def voxels_of(length_mm: float, spacing_mm: float) -> int:
    """The number of voxels that a length needs, the same for a spacing as NIfTI and as DICOM write it."""
    return math.ceil(round(length_mm / spacing_mm, DIGITS))


def bounding_box(mask: NDArray[Any]) -> Slices | None:
    """The smallest box around all values that are true or not zero in a 3-D array; None where there are none."""
    found: list[slice] = [slice(None)] * 3
    # Start with the slowest axis in memory: the other axes then need to search less.
    for axis in sorted(range(3), key=lambda axis: -abs(mask.strides[axis])):
        hits = np.flatnonzero(mask[tuple(found)].any(axis=tuple(a for a in range(3) if a != axis)))
        if not hits.size:
            return None
        found[axis] = slice(int(hits[0]), int(hits[-1]) + 1)
    return found[0], found[1], found[2]


def grown(box: Slices, by: tuple[int, int, int], shape: tuple[int, ...]) -> Slices:
    """A box that is larger by `by` voxels on both sides of each axis, cut at the edges of an array of `shape`."""
    i, j, k = (
        slice(max(0, part.start - n), min(size, part.stop + n)) for part, n, size in zip(box, by, shape, strict=True)
    )
    return i, j, k
