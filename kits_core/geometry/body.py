"""Where the patient is in a scan, so that a grid need not be spent on the air around."""

from typing import Any

import cc3d
import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from kits_core.geometry.boxes import DIGITS, voxels_of
from kits_core.geometry.volume import Volume, canonical

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

_AIR_BELOW_HU = -300  # between lung or air and the lightest tissue, fat
_LOOK_EVERY_MM = 4.0
_MARGIN_MM = 10.0


def body_mask(image: Volume) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """The patient, looked for every 4 mm: bool, and the HU there, of the same shape.

    It is the largest connected part above -300 HU. Lungs, gas and parts that do not touch it are left out. The same
    voxels are sampled for any order of axes of `image`, starting at the patient's right, front and head.
    """
    seen = _seen(image)
    body = cc3d.largest_k(np.ascontiguousarray(seen > _AIR_BELOW_HU), k=1, connectivity=6) > 0
    return body, seen


def body_box(image: Volume) -> Box:
    """First and last voxel (inclusive) of the patient along each axis of the file, with a margin of 10 mm.

    The patient is the largest connected thing denser than -300 HU, looked for every 4 mm; a table that does not touch
    it is left out. A scan without anything that dense is taken whole.
    """
    body, _ = body_mask(image)
    if not body.any():
        body = np.ones_like(body)
    strides, orientation = _strides(image), nib.io_orientation(image.affine)
    ends = []
    for mm, n, (place, direction) in zip(image.spacing_mm, image.shape, orientation, strict=True):
        axis = int(place)
        hits = np.flatnonzero(body.any(axis=tuple(a for a in range(3) if a != axis))) * strides[axis]
        # Voxels between two samples may be no air.
        margin = strides[axis] - 1 + voxels_of(_MARGIN_MM, mm)
        first, last = max(0, int(hits[0]) - margin), min(n - 1, int(hits[-1]) + margin)
        ends.append((first, last) if direction < 0 else (n - 1 - last, n - 1 - first))
    return ends[0], ends[1], ends[2]


def _seen(image: Volume) -> NDArray[Any]:
    """The sampled voxels, in the order of the patient's axes; a view.

    It begins at the last voxel to the right, front and head, which is the first one of KiTS's own files.
    """
    i, j, k = (slice(None, None, -stride) for stride in _strides(image))
    return canonical(image).data[i, j, k]


def _strides(image: Volume) -> tuple[int, ...]:
    """The sampling step in voxels, along the patient's axes."""
    return tuple(max(1, round(round(_LOOK_EVERY_MM / mm, DIGITS))) for mm in canonical(image).spacing_mm)
