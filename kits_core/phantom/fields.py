"""Coarse grids, smooth random fields and interpolation: what keeps painting a 278-million-voxel scan small."""

from collections.abc import Sequence
from dataclasses import dataclass

import edt
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
LabelArray = npt.NDArray[np.uint8]

_COARSE_MM = 1.6
"""Target step of the coarse grid. Edges drawn on it are anti-aliased, so linear interpolation hides the step."""


@dataclass(frozen=True)
class CoarseGrid:
    """Every `step`-th voxel of a volume with `full_shape`; `spacing_mm` is that of the coarse grid."""

    full_shape: tuple[int, int, int]
    step: tuple[int, int, int]
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    def axes_mm(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Millimetres from voxel 0, one array an axis, shaped to broadcast to `shape`."""
        z, y, x = (
            np.arange(n, dtype=np.float32) * np.float32(s) for n, s in zip(self.shape, self.spacing_mm, strict=True)
        )
        return z[:, None, None], y[None, :, None], x[None, None, :]


def coarse_grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> CoarseGrid:
    """The grid of about 1.6 mm (never finer than the scan) that covers a volume of `shape` voxels."""
    step = tuple(max(1, round(_COARSE_MM / s)) for s in spacing_mm)
    coarse = tuple((n - 1) // k + 1 for n, k in zip(shape, step, strict=True))
    return CoarseGrid(
        shape,
        (step[0], step[1], step[2]),
        (coarse[0], coarse[1], coarse[2]),
        (spacing_mm[0] * step[0], spacing_mm[1] * step[1], spacing_mm[2] * step[2]),
    )


def pooled_foreground(labels: LabelArray, grid: CoarseGrid) -> npt.NDArray[np.bool_]:
    """Coarse mask that is true where any voxel of the block is labelled, so that no speck is lost."""
    pooled: npt.NDArray[np.uint8] = labels
    for axis, step in enumerate(grid.step):
        pooled = np.maximum.reduceat(pooled, np.arange(0, pooled.shape[axis], step), axis=axis)
    return pooled > 0


def distance_mm(mask: npt.NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> FloatArray:
    """Distance of each true voxel to the nearest false one, float32 mm; the volume's border counts as more of the same.

    All true gives a constant large distance (1000 mm) instead of infinity.
    """
    found: FloatArray = edt.edt(np.ascontiguousarray(mask), anisotropy=spacing_mm, black_border=False, parallel=1)
    return np.minimum(found, np.float32(1000.0))


def smooth_noise(
    grid_shape: Sequence[int], spacing_mm: Sequence[float], wavelength_mm: float, rng: np.random.Generator
) -> FloatArray:
    """Gaussian noise of mean 0 and standard deviation about 1 that varies over `wavelength_mm`, float32 `grid_shape`.

    White noise on a knot every half wavelength, through cubic B-splines: isotropic in mm on any anisotropic grid.
    """
    knot_mm = wavelength_mm / 2
    positions = [
        np.arange(n, dtype=np.float32) * np.float32(s / knot_mm) for n, s in zip(grid_shape, spacing_mm, strict=True)
    ]
    knots = tuple(int(np.ceil(p[-1])) + 4 for p in positions)
    field = rng.standard_normal(knots, dtype=np.float32)
    for axis, position in enumerate(positions):
        lower = np.floor(position).astype(np.intp)
        field = _weighted(field, axis, lower, _bspline(position - lower))
    return field / np.float32(0.48**1.5)  # the mean squared weight of a cubic B-spline is 0.479 an axis


def upsample_slab(field: FloatArray, grid: CoarseGrid, start: int, stop: int) -> FloatArray:
    """Trilinear values of a coarse `field` at the full-resolution slices `start:stop`, float32."""
    for axis, (step, full) in enumerate(zip(grid.step, grid.full_shape, strict=True)):
        index = np.arange(start, stop) if axis == 0 else np.arange(full)
        if step == 1:
            field = field[start:stop] if axis == 0 else field
            continue
        position = index.astype(np.float32) / np.float32(step)
        lower = np.minimum(np.floor(position).astype(np.intp), field.shape[axis] - 1)
        fraction = position - lower
        if lower.max() == field.shape[axis] - 1:  # beyond the last sample the field goes on unchanged
            field = np.concatenate([field, np.take(field, [-1], axis=axis)], axis=axis)
        field = _weighted(field, axis, lower, np.stack([1 - fraction, fraction]))
    return field


def ramp(signed_mm: FloatArray, edge_mm: float = _COARSE_MM) -> FloatArray:
    """Coverage in [0, 1] of a voxel whose distance inside a surface is `signed_mm`: an anti-aliased edge."""
    return np.clip(signed_mm / np.float32(edge_mm) + np.float32(0.5), 0, 1)


def _bspline(t: FloatArray) -> FloatArray:
    weights: FloatArray = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    ).astype(np.float32)
    return weights / np.float32(6)


def _weighted(field: FloatArray, axis: int, lower: npt.NDArray[np.intp], weights: FloatArray) -> FloatArray:
    """Sum over taps of `field` at `lower + tap` along `axis`, times the tap's weights."""
    spread = [1, 1, 1]
    spread[axis] = -1
    total = np.take(field, lower, axis=axis)
    total *= weights[0].reshape(spread)
    for tap in range(1, len(weights)):
        total += np.take(field, lower + tap, axis=axis) * weights[tap].reshape(spread)
    return total
