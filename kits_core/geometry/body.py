"""Where the patient is in a scan, so that a grid need not be spent on the air around."""

from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from kits_core.geometry.boxes import Slices
from kits_core.geometry.volume import Volume

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

_AIR_BELOW_HU = -300  # between lung or air and the lightest tissue, fat
_LOOK_EVERY_MM = 4.0
_MARGIN_MM = 10.0


def body_mask(image: Volume) -> tuple[NDArray[np.bool_], Slices]:
    """The patient, looked for every 4 mm: bool on `image.data[looks]`, and these `looks`.

    It is the largest connected thing denser than -300 HU; lungs, gas and what does not touch it are no part of it.
    """
    i, j, k = (slice(None, None, max(1, round(_LOOK_EVERY_MM / mm))) for mm in image.spacing_mm)
    looks = (i, j, k)
    dense: NDArray[Any] = image.data[looks] > _AIR_BELOW_HU
    return cc3d.largest_k(np.ascontiguousarray(dense), k=1, connectivity=6) > 0, looks


def body_box(image: Volume) -> Box:
    """First and last voxel (inclusive) of the patient along each axis of the file, with a margin of 10 mm.

    The patient is the largest connected thing denser than -300 HU, looked for every 4 mm; a table that does not touch
    it is left out. A scan without anything that dense is taken whole.
    """
    body, looks = body_mask(image)
    strides = [look.step for look in looks]
    if not body.any():
        body = np.ones_like(body)
    ends = []
    for axis, (stride, mm, n) in enumerate(zip(strides, image.spacing_mm, image.shape, strict=True)):
        hits = np.flatnonzero(body.any(axis=tuple(a for a in range(3) if a != axis))) * stride
        # What lies between two looks is not known to be air.
        margin = stride - 1 + int(np.ceil(_MARGIN_MM / mm))
        ends.append((max(0, int(hits[0]) - margin), min(n - 1, int(hits[-1]) + margin)))
    return ends[0], ends[1], ends[2]
