"""Gantry tilt: slices that lie one above the other at an angle, put upright, and labels put back."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from kits_core.geometry.volume import Affine, Shape, Volume
from kits_core.scan.stack import Stack

_AIR_HU = -1000
_NO_SHIFT_VOX = 1e-3  # rounded positions must not add a column


def untilt(hu: NDArray[Any], stack: Stack) -> Volume:
    """The slices of a tilted stack on an upright grid, which holds all of them; air where there is none.

    `hu`: `(column, row, slice)`. The planes stay where they are, because tilted slices are parallel too: each is moved
    within its plane, by linear interpolation in two dimensions, so nothing is blurred from slice to slice. int16 stays
    int16, rounded.
    """
    shape, affine = grid_of(stack)
    first, size = _frame(stack)
    upright = np.empty(shape, hu.dtype, order="F")
    for k, shift in enumerate(stack.shifts_vox):
        image = SimpleITK.GetImageFromArray(np.ascontiguousarray(hu[:, :, k].T, dtype=np.float32))
        move = SimpleITK.TranslationTransform(2, (first - shift).tolist())
        moved = SimpleITK.Resample(
            image, size, move, SimpleITK.sitkLinear, (0.0, 0.0), (1.0, 1.0), (1.0, 0.0, 0.0, 1.0), float(_AIR_HU)
        )
        values = SimpleITK.GetArrayViewFromImage(moved).T
        upright[:, :, k] = np.rint(values) if hu.dtype.kind == "i" else values
    return Volume(upright, affine)


def grid_of(stack: Stack) -> tuple[Shape, Affine]:
    """Shape and affine (RAS mm) of the volume that a stack is read as: its own, or upright if it is tilted."""
    stored = (stack.slices[0].columns, stack.slices[0].rows, len(stack.slices))
    if not stack.tilted:
        return stored, stack.affine
    first, size = _frame(stack)
    column, row, step = stack.affine[:3, :3].T
    normal = np.cross(column, row)
    normal *= np.sign(normal @ step) / np.linalg.norm(normal)
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([column, row, (step @ normal) * normal])
    affine[:3, 3] = stack.affine[:3, 3] + first[0] * column + first[1] * row
    return (*size, len(stack.slices)), affine


def slices_of(labels: NDArray[np.uint8], stack: Stack) -> Iterator[NDArray[np.uint8]]:
    """Labels on the grid of `grid_of`, on the slices as stored, `(row, column)` each; tilted, by the nearest pixel."""
    if not stack.tilted:
        yield from labels.transpose(2, 1, 0)
        return
    columns, rows = stack.slices[0].columns, stack.slices[0].rows
    first, _ = _frame(stack)
    for k, shift in enumerate(stack.shifts_vox):
        i, j = (round(float(n)) for n in shift - first)
        yield labels[i : i + columns, j : j + rows, k].T


def _frame(stack: Stack) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """First column and row of the upright grid, counted on the first slice, and its size in columns and rows."""
    low = np.floor(stack.shifts_vox.min(axis=0) + _NO_SHIFT_VOX)
    high = np.ceil(stack.shifts_vox.max(axis=0) - _NO_SHIFT_VOX)
    more = (high - low).astype(int)
    return low, (stack.slices[0].columns + int(more[0]), stack.slices[0].rows + int(more[1]))
