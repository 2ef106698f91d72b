"""Rules for the grid of a scan, the same for whatever is read, converted, compared or scored."""

from collections.abc import Sequence

import numpy as np

from kits_core.geometry.volume import Affine

SPACING_MM = (0.05, 20.0)
"""From a microscope's spacing to more than any abdominal CT has. Outside this range the unit is not mm."""
LEAST_SLICES = 8
"""Fewer slices are a localizer or single slices. They never show both kidneys."""
TOLERANCE = 0.1
"""Share of a voxel by which the corners of two grids that count as the same may lie apart.

More than the rounding errors of any tool's header, and far too little to change a voxel's label.
"""


def apart_mm(shape: Sequence[int], one: Affine, other: Affine) -> float:
    """How far two affines put the same corner of a grid of `shape` voxels apart: the largest of eight distances."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape]), dtype=np.float64).reshape(3, -1)
    change = np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)
    return float(np.linalg.norm(change[:3, :3] @ corners + change[:3, 3:], axis=0).max())


def same_place(shape: Sequence[int], one: Affine, other: Affine) -> bool:
    """Whether two affines put a grid of `shape` in one place: corners within a tenth of the smallest voxel side."""
    least = min(np.linalg.norm(np.asarray(affine)[:3, :3], axis=0).min() for affine in (one, other))
    return apart_mm(shape, one, other) <= TOLERANCE * float(least)


def is_spacing(spacing_mm: Sequence[float]) -> bool:
    """Whether distances between voxels can be millimetres of a CT."""
    low, high = SPACING_MM
    return all(low <= mm <= high for mm in spacing_mm)
