"""A mask's voxels on the grid of its scan."""

from pathlib import Path

import numpy as np

from kits_core.errors import CaseError
from kits_core.geometry.grid import TOLERANCE
from kits_core.geometry.volume import Volume


def on_grid_of(image: Volume, mask: Volume, path: Path, case: str) -> tuple[Volume, list[str]]:
    """A mask on the grid of `image`, 0 where its own does not reach, and notes.

    The mask's axes may have another order and direction, and its grid may be a part of the scan's, or reach beyond it.
    Raises `CaseError` unless the voxels of both lie in the same places, by a tenth of a voxel.
    """
    exact = np.linalg.inv(mask.affine) @ image.affine
    whole = np.rint(exact)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in image.shape])).reshape(3, -1)
    off = np.abs((exact - whole)[:3, :3] @ corners + (exact - whole)[:3, 3:]).max()
    turn = whole[:3, :3].astype(int)
    if off > TOLERANCE or not np.array_equal(turn @ turn.T, np.eye(3, dtype=int)):
        raise CaseError(
            case,
            expected=f"{path.name} on the scan's voxels, {_grid(image)}",
            got=_grid(mask),
            next_step="resample it to the scan's grid, by the nearest voxel",
        )
    result = np.zeros(image.shape, mask.data.dtype, order="F")
    axes = np.abs(turn).argmax(axis=0)  # of the mask, for each of the scan's
    oriented, here, there = mask.data.transpose(axes), [], []
    for axis, own in enumerate(axes):
        size, first = mask.shape[own], int(whole[own, 3])
        if turn[own, axis] < 0:
            oriented, first = np.flip(oriented, axis), size - 1 - first
        low = min(max(0, -first), image.shape[axis])
        high = max(low, min(image.shape[axis], size - first))
        here.append(slice(low, high))
        there.append(slice(low + first, high + first) if high > low else slice(0, 0))
    result[tuple(here)] = oriented[tuple(there)]
    beyond = np.count_nonzero(result) < np.count_nonzero(oriented)
    return Volume(result, image.affine), [f"{path.name} reaches beyond the scan"] if beyond else []


def _grid(volume: Volume) -> str:
    spacing = " x ".join(f"{mm:.4g}" for mm in volume.spacing_mm)
    return f"{' x '.join(map(str, volume.shape))} voxels of {spacing} mm, axes {volume.orientation}"
