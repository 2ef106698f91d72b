"""Distances between the surfaces of two masks, in mm.

A surface is the set of mask voxels that have a neighbour outside the mask across a face; a distance is measured
between voxel centres. Voxels beyond the array count as outside, so a mask cut by the edge has its surface there.
"""

import edt
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from kits_core.metrics.overlap import Mask

Spacing = tuple[float, float, float]


def surface_distances_mm(prediction: Mask, reference: Mask, spacing_mm: Spacing) -> tuple[NDArray[np.float32], ...]:
    """Distance of each surface voxel to the other surface: as float32 mm.

    First that of the prediction's surface voxels, then that of the reference's.

    Raises `ValueError` where a mask is empty: there is no distance to nothing.
    """
    if not prediction.any() or not reference.any():
        raise ValueError("a surface distance needs two masks that are not empty")
    box = _bounding_box(prediction | reference)
    p, r = _surface(prediction[box]), _surface(reference[box])
    to_reference = edt.edt(~r, anisotropy=spacing_mm, black_border=False)
    to_prediction = edt.edt(~p, anisotropy=spacing_mm, black_border=False)
    return to_reference[p], to_prediction[r]


def hausdorff_mm(distances_mm: tuple[NDArray[np.float32], ...]) -> float:
    """The largest of all surface distances: the symmetric Hausdorff distance, in mm. Taha & Hanbury 2015."""
    return float(max(d.max() for d in distances_mm))


def hausdorff95_mm(distances_mm: tuple[NDArray[np.float32], ...]) -> float:
    """The larger of the two directed 95th percentiles, in mm; one speck does not decide it."""
    return float(max(np.percentile(d, 95) for d in distances_mm))


def mean_surface_distance_mm(distances_mm: tuple[NDArray[np.float32], ...]) -> float:
    """The mean over the voxels of both surfaces, in mm (average symmetric surface distance, Heimann et al. 2009)."""
    return float(np.concatenate(distances_mm).mean(dtype=np.float64))


def _surface(mask: Mask) -> Mask:
    return mask & ~binary_erosion(mask)


def _bounding_box(mask: Mask) -> tuple[slice, ...]:
    box = []
    for axis in range(mask.ndim):
        hits = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        box.append(slice(int(hits[0]), int(hits[-1]) + 1))
    return tuple(box)
