"""Closed contours in a slice as pixels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from skimage.measure import grid_points_in_poly

Points = NDArray[np.float64]
_DIGITS = 4  # of a pixel: rounded text must not move a corner off the pixel centre that it was drawn through
_INSIDE = 1


def fill(contours: Sequence[Points], shape: tuple[int, int]) -> tuple[tuple[int, int], NDArray[np.bool_]]:
    """The pixels of `shape` whose centres lie inside an odd number of contours, or on one of them.

    `contours`: float64 `(points, 2)` each, in pixels; a pixel's centre has whole numbers. So a contour within another
    is a hole, and one within the hole is an island. A hole that is cut out by a channel of no width (a keyhole) needs
    no more than that rule. Centres on a line count as inside, because some programs draw through the outermost pixels
    of a structure. Gives the first pixel of a part of the slice, and that part, bool; it is empty where nothing is.
    """
    rounded = [np.round(points, _DIGITS) for points in contours]
    low = np.clip(np.floor(np.min([points.min(axis=0) for points in rounded], axis=0)), 0, shape).astype(int)
    high = np.clip(np.ceil(np.max([points.max(axis=0) for points in rounded], axis=0)) + 1, low, shape).astype(int)
    inside, on_line = np.zeros((2, *(high - low)), np.bool_)
    for points in rounded:
        first = np.clip(np.floor(points.min(axis=0)), low, high).astype(int)
        last = np.clip(np.ceil(points.max(axis=0)) + 1, first, high).astype(int)
        if (last == first).any():
            continue
        found = grid_points_in_poly(tuple(last - first), points - first, binarize=False)
        part = tuple(slice(a, b) for a, b in zip(first - low, last - low, strict=True))
        inside[part] ^= found == _INSIDE
        on_line[part] |= found > _INSIDE
    return (int(low[0]), int(low[1])), inside | on_line
