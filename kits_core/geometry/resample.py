"""Resampling along the axes, there (shrinking without aliasing) and back (labels by arg-max of probabilities).

Every target axis runs along a source axis, so a 3-D resampling is three 1-D ones: three small sparse matrices. The
kernel is the triangle (linear interpolation), widened by the step where the grid is shrunk, which is the usual
antialiasing filter for linear reduction (Heckbert 1989, "Fundamentals of texture mapping and image warping", 3.5).
The work goes plane by plane in the order of memory, so what it needs beyond the result is one plane, however long the
scan; label maps are looked at only where there are labels.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from kits_core.geometry.boxes import Slices, bounding_box, grown
from kits_core.geometry.grid_map import GridMap

FloatArray = NDArray[np.float32]


def axis_weights(n_in: int, n_out: int, origin: float, step: float) -> FloatArray:
    """float32 `(n_out, n_in)`: sample `t` is taken at `origin + step * t`, with samples 1 apart.

    A row sums to one, or to zero where the sample lies outside the input's outer faces.
    """
    centre = origin + step * np.arange(n_out)[:, None]
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(n_in)[None, :] - centre) / max(1.0, step))
    # Near a face, part of the kernel lies outside. The remaining weights are scaled to a sum of one.
    beyond = (centre <= -0.5) | (centre >= n_in - 0.5)
    nearest = np.clip(np.rint(centre[:, 0]).astype(int), 0, n_in - 1)
    empty = weights.sum(axis=1) == 0
    weights[empty, nearest[empty]] = 1.0
    weights /= weights.sum(axis=1, keepdims=True)
    return np.where(beyond, 0.0, weights).astype(np.float32)


def resample_image(data: NDArray[Any], grid: GridMap, fill: float) -> FloatArray:
    """`data` (source grid, any real dtype) as float32 on `grid.shape`; `fill` where the target leaves the source."""
    return _shrink(*_read(data, grid), lambda plane: plane.astype(np.float64) - fill) + np.float32(fill)


def resample_labels(labels: NDArray[np.uint8], grid: GridMap, values: Sequence[int]) -> NDArray[np.uint8]:
    """Label map `labels` (source grid) on `grid.shape`: each voxel takes the value of `values` with the largest share.

    The first of `values` is the background: it gets the remaining share, wins ties, and fills the voxels outside the
    source. The others are resampled linearly, one at a time; of equal shares the first one wins. Nearest neighbour
    would drop thin structures at random instead.
    """
    oriented, weights = _read(labels, grid)
    result = np.full(grid.shape, values[0], dtype=np.uint8)
    box = bounding_box(oriented != values[0])
    if box is None:
        return result
    within = [csr_array(w[:, part]) for w, part in zip(weights, box, strict=True)]
    background, best = np.ones(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    for value in values[1:]:
        share = _shrink(oriented[box] == value, within, lambda plane: plane.astype(np.float64))
        background -= share
        wins = share > best
        result[wins] = value
        np.maximum(best, share, out=best)
    result[background >= best] = values[0]
    return result


def restore_labels(probabilities: FloatArray, grid: GridMap) -> NDArray[np.uint8]:
    """The class of largest probability on the source grid.

    `probabilities`: float32 `(*grid.shape, classes)`. Returns uint8 of `grid.source_shape`; class 0 outside the grid.
    Each output plane is interpolated for all classes and reduced at once, so no probability volume of the source's size
    is ever held. Where class 0 leads at all corners of a cell, it also leads inside. So only the other cells are
    computed.
    """
    result = np.zeros(grid.source_shape, dtype=np.uint8)
    box = bounding_box(np.argmax(probabilities, axis=-1) > 0)
    if box is not None:
        cells = grown(box, (1, 1, 1), grid.shape)
        whole = (slice(0, n) for n in grid.oriented_shape)
        up = [_back(grid, axis, part) for axis, part in enumerate(cells)]
        target = tuple(_rows(w, part) for w, part in zip(up, whole, strict=True))
        near = np.ascontiguousarray(np.moveaxis(probabilities[cells], -1, 0), dtype=np.float32)
        _restore(near, [w[rows] for w, rows in zip(up, target, strict=True)], _oriented(result, grid)[target])
    return result


def inside_grid(grid: GridMap) -> Slices:
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


def _read(data: NDArray[Any], grid: GridMap) -> tuple[NDArray[Any], list[csr_array]]:
    """The part of `data` that a grid's samples read, its axes in the target's order, and the weights of its voxels."""
    weights = [
        csr_array(axis_weights(n, m, origin, step))
        for n, m, origin, step in zip(grid.oriented_shape, grid.shape, grid.origin_vox, grid.step_vox, strict=True)
    ]
    part = tuple(_columns(w) for w in weights)
    inner = [csr_array(w[:, columns]).astype(np.float64) for w, columns in zip(weights, part, strict=True)]
    return _oriented(data, grid)[part], inner


def _back(grid: GridMap, axis: int, cells: slice) -> csr_array:
    """From `cells` of one target axis to the whole source axis."""
    n, m = grid.oriented_shape[axis], grid.shape[axis]
    origin, step = grid.origin_vox[axis], grid.step_vox[axis]
    return csr_array(axis_weights(m, n, -origin / step, 1.0 / step)[:, cells])


def _rows(weights: csr_array, whole: slice) -> slice:
    """The rows from the first to the last that has a weight."""
    found = np.flatnonzero(np.diff(weights.indptr))
    return slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(whole.start, whole.start)


def _columns(weights: csr_array) -> slice:
    """The columns from the first to the last that has a weight."""
    return slice(int(weights.indices.min()), int(weights.indices.max()) + 1) if weights.nnz else slice(0, 0)


def _restore(near: FloatArray, up: Sequence[csr_array], target: NDArray[np.uint8]) -> None:
    """Interpolate `near` `(classes, x, y, z)` and write each voxel's leading class into `target` `(x, y, z)`."""
    classes, _, ny, nz = near.shape
    for index in range(target.shape[0]):
        row = up[0][[index]]
        plane = np.tensordot(row.data, near[:, row.indices], axes=(0, 1)).astype(np.float32)
        # Both remaining axes at once for all classes: along y on (y, classes * z), then along z on (z, classes * y).
        along_y = up[1] @ plane.transpose(1, 0, 2).reshape(ny, classes * nz)
        rows = along_y.reshape(-1, classes, nz).transpose(2, 1, 0).reshape(nz, -1)
        shares = (up[2] @ rows).reshape(target.shape[2], classes, -1)
        best = shares[:, 0].copy()
        found = np.zeros(best.shape, np.uint8)
        for value in range(1, classes):
            found[shares[:, value] > best] = value
            np.maximum(best, shares[:, value], out=best)
        target[index] = found.T


def _oriented(data: NDArray[Any], grid: GridMap) -> NDArray[Any]:
    """A view of `data` with axes in the target's order and direction."""
    if data.shape != grid.source_shape:
        raise ValueError(f"the map was made for a source of shape {grid.source_shape}, got {data.shape}")
    flips = tuple(slice(None, None, -1 if flipped else 1) for flipped in grid.flipped)
    return data.transpose(grid.axes)[flips]


def _shrink(
    oriented: NDArray[Any], weights: Sequence[csr_array], as_float: Callable[[NDArray[Any]], NDArray[np.float64]]
) -> FloatArray:
    """Apply the three weight matrices, reading the input one plane at a time along its slowest axis in memory.

    The order of the additions depends on that axis. Computed with 64 bits and rounded to 32, the sums do not.
    """
    order = sorted(range(3), key=lambda axis: -abs(oriented.strides[axis]))
    planes = oriented.transpose(order)
    slow, middle, fast = (weights[axis] for axis in order)
    columns = slow.tocsc()
    result = np.zeros((slow.shape[0], middle.shape[0], fast.shape[0]), dtype=np.float64)
    for index in range(planes.shape[0]):
        part = slice(columns.indptr[index], columns.indptr[index + 1])
        reduced = fast @ (middle @ np.ascontiguousarray(as_float(planes[index]))).T
        for target, weight in zip(columns.indices[part], columns.data[part], strict=True):
            result[target] += weight * reduced.T
    return result.astype(np.float32).transpose(np.argsort(order))
