"""Gantry tilt: slices that lie one above the other at an angle, put upright, and labels put back."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from kits_core.geometry.volume import Volume
from kits_core.scan.stack import Stack

_AIR_HU = -1000


def untilt(hu: NDArray[Any], stack: Stack) -> Volume:
    """The slices of a tilted stack on an upright grid, which holds all of them; air where there is none.

    `hu`: `(column, row, slice)`. The planes stay where they are, because tilted slices are parallel too: each is moved
    within its plane, by linear interpolation in two dimensions, so nothing is blurred from slice to slice. int16 stays
    int16, rounded.
    """
    first, size = _frame(stack, hu.shape)
    upright = np.empty((*size, hu.shape[2]), hu.dtype, order="F")
    for k, shift in enumerate(stack.shifts_vox):
        image = SimpleITK.GetImageFromArray(np.ascontiguousarray(hu[:, :, k].T, dtype=np.float32))
        move = SimpleITK.TranslationTransform(2, (first - shift).tolist())
        moved = SimpleITK.Resample(
            image, size, move, SimpleITK.sitkLinear, (0.0, 0.0), (1.0, 1.0), (1.0, 0.0, 0.0, 1.0), float(_AIR_HU)
        )
        values = SimpleITK.GetArrayViewFromImage(moved).T
        upright[:, :, k] = np.rint(values) if hu.dtype.kind == "i" else values
    return Volume(upright, upright_affine(stack))


def upright_affine(stack: Stack) -> NDArray[np.float64]:
    """Float64 `(4, 4)`: index in the upright grid to RAS mm."""
    column, row, step = stack.affine[:3, :3].T
    normal = np.cross(column, row)
    normal *= np.sign(normal @ step) / np.linalg.norm(normal)
    first, _ = _frame(stack, (0, 0, 0))
    affine = np.eye(4)
    affine[:3] = np.column_stack(
        [column, row, (step @ normal) * normal, stack.affine[:3, 3] + first[0] * column + first[1] * row]
    )
    return affine


def slices_of(labels: NDArray[np.uint8], stack: Stack) -> Iterator[NDArray[np.uint8]]:
    """Labels of the upright grid on the slices as stored, `(row, column)` each, by the nearest pixel."""
    columns, rows = stack.slices[0].columns, stack.slices[0].rows
    first, _ = _frame(stack, (0, 0, 0))
    for k, shift in enumerate(stack.shifts_vox):
        i, j = (round(float(n)) for n in shift - first)
        yield labels[i : i + columns, j : j + rows, k].T


def _frame(stack: Stack, shape: tuple[int, ...]) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """First column and row of the upright grid, counted on the first slice, and its size in columns and rows."""
    low, high = np.floor(stack.shifts_vox.min(axis=0)), np.ceil(stack.shifts_vox.max(axis=0))
    more = (high - low).astype(int)
    return low, (shape[0] + int(more[0]), shape[1] + int(more[1]))
