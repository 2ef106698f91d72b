"""Surface Dice at a tolerance, as the KiTS challenge scores it.

Definition: Nikolov et al. 2021 (arXiv:1809.04430), in their `surface-distance` package, which the challenge's own
evaluation calls: surface elements lie at the corners between voxels, one for each 2x2x2 neighbourhood that is neither
empty nor full, with the area that the package's table gives that neighbourhood.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from surface_distance.lookup_tables import (
    ENCODE_NEIGHBOURHOOD_3D_KERNEL,
    create_table_neighbour_code_to_surface_area,
)

from kits_core.geometry.boxes import bounding_box, grown
from kits_core.metrics.overlap import Mask

Spacing = tuple[float, float, float]

_FULL = 255


@dataclass(frozen=True, eq=False)
class _Surface:
    """`places`: int64 `(n, 3)` corners with a surface element; `area_mm2`: float64 `(n,)`; `is_there`: bool map."""

    places: NDArray[np.int64]
    area_mm2: NDArray[np.float64]
    is_there: Mask


def surface_dice(prediction: Mask, reference: Mask, spacing_mm: Spacing, tolerance_mm: float) -> float:
    """Share of both surfaces' area, in mm², that lies within `tolerance_mm` of the other surface; from 0 to 1.

    Both masks empty scores 1, just one of them 0 (the challenge's rule). The same value as the package's, without its
    distance maps: only corners within the tolerance of a surface element are looked at.
    """
    box = bounding_box(prediction | reference)
    if box is None:
        return 1.0
    box = grown(box, (1, 1, 1), prediction.shape)
    p, r = (_surface(mask[box], spacing_mm) for mask in (prediction, reference))
    if not len(p.places) or not len(r.places):
        return 0.0
    offsets = _offsets(spacing_mm, tolerance_mm)
    near = _near_mm2(p, r, offsets) + _near_mm2(r, p, offsets)
    return min(1.0, float(near / (p.area_mm2.sum() + r.area_mm2.sum())))


def _surface(mask: Mask, spacing_mm: Spacing) -> _Surface:
    """Corner `(i, j, k)` is the one before voxel `(i, j, k)` along each axis; what lies beyond the array is empty."""
    voxels = np.pad(mask, 1).astype(np.uint8)
    codes = np.zeros([n + 1 for n in mask.shape], np.uint8)
    for a, b, c in product((0, 1), repeat=3):
        codes += voxels[a : a + codes.shape[0], b : b + codes.shape[1], c : c + codes.shape[2]] * np.uint8(
            ENCODE_NEIGHBOURHOOD_3D_KERNEL[a, b, c]
        )
    is_there = (codes != 0) & (codes != _FULL)
    return _Surface(np.argwhere(is_there), _area_table(spacing_mm)[codes[is_there]], is_there)


@lru_cache(maxsize=64)
def _area_table(spacing_mm: Spacing) -> NDArray[np.float64]:
    return np.asarray(create_table_neighbour_code_to_surface_area(spacing_mm), dtype=np.float64)


def _offsets(spacing_mm: Spacing, tolerance_mm: float) -> NDArray[np.int64]:
    """Steps between corners of at most `tolerance_mm`, nearest first."""
    reach = [int(tolerance_mm // mm) for mm in spacing_mm]
    steps = np.array(list(product(*(range(-n, n + 1) for n in reach))))
    far = np.sqrt(((steps * np.array(spacing_mm)) ** 2).sum(axis=1))
    order = np.argsort(far, kind="stable")
    return steps[order][far[order] <= tolerance_mm]


def _near_mm2(one: _Surface, other: _Surface, offsets: NDArray[np.int64]) -> float:
    """Area of the surface elements of `one` that have one of `other` at some offset."""
    shape = np.array(other.is_there.shape)
    left, area, near = one.places, one.area_mm2, 0.0
    for offset in offsets:
        there = left + offset
        inside = ((there >= 0) & (there < shape)).all(axis=1)
        hit = np.zeros(len(left), np.bool_)
        hit[inside] = other.is_there[tuple(there[inside].T)]
        near += float(area[hit].sum())
        left, area = left[~hit], area[~hit]
        if not len(left):
            break
    return near
