"""Resampling along the axes, there (shrinking without aliasing) and back (labels by arg-max of probabilities).

Every target axis runs along a source axis, so a 3-D resampling is three 1-D ones: three small weight matrices. The
kernel is the triangle (linear interpolation), widened by the step where the grid is shrunk, which is the usual
antialiasing filter for linear reduction (Heckbert 1989, "Fundamentals of texture mapping and image warping", 3.5).
The work goes slab by slab, so the memory is bounded by the result and one slab, however long the scan.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kits_core.geometry.grid_map import GridMap

FloatArray = NDArray[np.float32]


def axis_weights(n_in: int, n_out: int, origin: float, step: float) -> FloatArray:
    """float32 `(n_out, n_in)`: sample `t` is taken at `origin + step * t`, with samples 1 apart.

    A row sums to one, or to zero where the sample lies outside the input's outer faces.
    """
    centre = origin + step * np.arange(n_out)[:, None]
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(n_in)[None, :] - centre) / max(1.0, step))
    # Near a face part of the kernel hangs over the edge; what is left of it is brought back to one.
    beyond = (centre <= -0.5) | (centre >= n_in - 0.5)
    nearest = np.clip(np.rint(centre[:, 0]).astype(int), 0, n_in - 1)
    empty = weights.sum(axis=1) == 0
    weights[empty, nearest[empty]] = 1.0
    weights /= weights.sum(axis=1, keepdims=True)
    return np.where(beyond, 0.0, weights).astype(np.float32)


def resample_image(data: NDArray[Any], grid: GridMap, fill: float) -> FloatArray:
    """`data` (source grid, any real dtype) as float32 on `grid.shape`; `fill` where the target leaves the source."""
    return (
        _shrink(_oriented(data, grid), _weights(grid), lambda slab: slab.astype(np.float32) - np.float32(fill)) + fill
    )


def resample_labels(labels: NDArray[np.uint8], grid: GridMap, values: Sequence[int]) -> NDArray[np.uint8]:
    """Label map `labels` (source grid) on `grid.shape`: each voxel takes the value of `values` with the largest share.

    Each value's indicator is resampled linearly, one at a time, and the largest wins; of equals the first in `values`,
    which is also what voxels outside the source get. Nearest neighbour would drop thin structures at random instead.
    """
    oriented, weights = _oriented(labels, grid), _weights(grid)
    best = np.zeros(grid.shape, dtype=np.float32)
    result = np.full(grid.shape, values[0], dtype=np.uint8)
    for value in values:
        share = _shrink(oriented, weights, lambda slab, value=value: (slab == value).astype(np.float32))
        wins = share > best
        result[wins] = value
        np.maximum(best, share, out=best)
    return result


def restore_labels(probabilities: FloatArray, grid: GridMap) -> NDArray[np.uint8]:
    """The class of largest probability on the source grid.

    `probabilities`: float32 `(*grid.shape, classes)`. Returns uint8 of `grid.source_shape`; class 0 outside the grid.
    Each output slab is interpolated for all classes and reduced at once, so no probability volume of the source's size
    is ever held.
    """
    up = [
        axis_weights(m, n, -origin / step, 1.0 / step)
        for n, m, origin, step in zip(grid.oriented_shape, grid.shape, grid.origin_vox, grid.step_vox, strict=True)
    ]
    classes = probabilities.shape[-1]
    by_class = np.ascontiguousarray(np.moveaxis(probabilities, -1, 1), dtype=np.float32)
    result = np.zeros(grid.oriented_shape, dtype=np.uint8)
    for index in range(grid.oriented_shape[0]):
        support = np.flatnonzero(up[0][index])
        if support.size == 0:
            continue
        plane = np.tensordot(up[0][index, support], by_class[support], axes=1)
        best = up[1] @ plane[0] @ up[2].T
        for value in range(1, classes):
            share = up[1] @ plane[value] @ up[2].T
            result[index][share > best] = value
            np.maximum(best, share, out=best)
    return _in_source_order(result, grid)


def inside_grid(grid: GridMap) -> tuple[slice, slice, slice]:
    """The part of the source array (in its own order) whose voxel centres lie inside the target grid's outer faces."""
    slices: list[slice] = [slice(None)] * 3
    for target_axis, source_axis in enumerate(grid.axes):
        n, step, origin = grid.source_shape[source_axis], grid.step_vox[target_axis], grid.origin_vox[target_axis]
        first = max(0, int(np.ceil(origin - step / 2)))
        last = min(n - 1, int(np.floor(origin + step * (grid.shape[target_axis] - 0.5))))
        if grid.flipped[target_axis]:
            first, last = n - 1 - last, n - 1 - first
        slices[source_axis] = slice(first, last + 1)
    return slices[0], slices[1], slices[2]


def _weights(grid: GridMap) -> list[FloatArray]:
    return [
        axis_weights(n, m, origin, step)
        for n, m, origin, step in zip(grid.oriented_shape, grid.shape, grid.origin_vox, grid.step_vox, strict=True)
    ]


def _oriented(data: NDArray[Any], grid: GridMap) -> NDArray[Any]:
    """A view of `data` with axes in the target's order and direction."""
    if data.shape != grid.source_shape:
        raise ValueError(f"the map was made for a source of shape {grid.source_shape}, got {data.shape}")
    flips = tuple(slice(None, None, -1 if flipped else 1) for flipped in grid.flipped)
    return data.transpose(grid.axes)[flips]


def _in_source_order(oriented: NDArray[np.uint8], grid: GridMap) -> NDArray[np.uint8]:
    flips = tuple(slice(None, None, -1 if flipped else 1) for flipped in grid.flipped)
    return np.ascontiguousarray(oriented[flips].transpose(np.argsort(grid.axes)))


def _shrink(oriented: NDArray[Any], weights: Sequence[FloatArray], as_float: Any) -> FloatArray:
    """Apply the three weight matrices, reading one slab of the input at a time along its slowest axis in memory."""
    slow = int(np.argmax(np.abs(oriented.strides)))
    second, third = (axis for axis in range(3) if axis != slow)
    slabs = np.moveaxis(oriented, slow, 0)
    reduced = np.empty((slabs.shape[0], weights[second].shape[0], weights[third].shape[0]), dtype=np.float32)
    for index in range(slabs.shape[0]):
        reduced[index] = weights[second] @ as_float(slabs[index]) @ weights[third].T
    return np.moveaxis(np.tensordot(weights[slow], reduced, axes=1), 0, slow)
