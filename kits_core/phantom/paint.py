"""A contrast-enhanced CT in Hounsfield units for any label map, real ones included."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from kits_core.errors import KitsError
from kits_core.labels import Label
from kits_core.phantom.fields import (
    CoarseGrid,
    FloatArray,
    LabelArray,
    coarse_grid,
    distance_mm,
    pooled_foreground,
    ramp,
    smooth_noise,
    upsample_slab,
)
from kits_core.phantom.scenery import draw_scenery

_SLAB_VOXELS = 4_000_000
"""Voxels at full resolution that are painted at once. Beside the result, memory holds only float32 copies of these."""

_PSF_MM = 0.6
_CLOSING_MM = 9.0
"""Hollows narrower than twice this (the renal sinus) do not count as surface when the cortex is laid."""


def paint(
    labels: LabelArray, spacing_mm: tuple[float, float, float], rng: np.random.Generator
) -> npt.NDArray[np.int16]:
    """HU image of a label map, int16 of the same shape, in [-1024, 3071].

    `labels`: uint8 `(slice, row, column)`, axes inferior, posterior, left; anywhere in the grid, also empty.
    `spacing_mm`: voxel spacing in the order of the axes. The patient (body, bone, organs) is built around the labels;
    kidneys are in corticomedullary contrast (cortex 150-200 HU, medulla 90-110), tumours 20-130 HU with necrotic cores,
    cysts 0-20; then partial volume and spatially correlated noise of 10-15 HU. Same generator state, same image.
    Raises `KitsError` unless `labels` is 3-D uint8 with values 0 to 3 and the spacing is positive.
    """
    _check(labels, spacing_mm)
    shape = (labels.shape[0], labels.shape[1], labels.shape[2])
    grid = coarse_grid(shape, spacing_mm)
    sampled = labels[:: grid.step[0], :: grid.step[1], :: grid.step[2]]
    outside_mm = distance_mm(~pooled_foreground(labels, grid), grid.spacing_mm)
    scenery = draw_scenery(sampled, outside_mm, grid, rng)
    inside = {
        Label.KIDNEY: _parenchyma(outside_mm, grid, rng),
        Label.TUMOR: _tumor(sampled, grid, rng),
        Label.CYST: _cyst(grid, rng),
    }
    return _render(labels, spacing_mm, grid, scenery=scenery, inside=inside, rng=rng)


def _check(labels: LabelArray, spacing_mm: tuple[float, float, float]) -> None:
    if labels.ndim != 3 or labels.dtype != np.uint8 or labels.size == 0 or labels.max() > max(Label):
        raise KitsError(f"labels must be 3-D uint8 with values 0 to 3; got {labels.dtype} {labels.shape}")
    if len(spacing_mm) != 3 or min(spacing_mm) <= 0:
        raise KitsError(f"spacing_mm must be three numbers above 0; got {spacing_mm}")


def _parenchyma(outside_mm: FloatArray, grid: CoarseGrid, rng: np.random.Generator) -> FloatArray:
    """HU of kidney tissue: bright cortex along the outer surface, columns of cortex between darker pyramids."""
    closed = outside_mm < _CLOSING_MM
    depth_mm = distance_mm(closed, grid.spacing_mm) - np.float32(_CLOSING_MM)
    cortex, medulla = rng.uniform(155, 195), rng.uniform(92, 108)
    columns = smooth_noise(grid.shape, grid.spacing_mm, 16, rng)
    pyramids = ramp(depth_mm - np.float32(rng.uniform(5.5, 7.5)) - 2 * columns, 3.0)
    texture = smooth_noise(grid.shape, grid.spacing_mm, 6, rng)
    return np.float32(cortex) + pyramids * np.float32(medulla - cortex) + 4 * texture


def _tumor(sampled: LabelArray, grid: CoarseGrid, rng: np.random.Generator) -> FloatArray:
    """HU of tumour tissue: its own level from place to place, mottled, with dark necrosis deep inside."""
    depth_mm = distance_mm(sampled == Label.TUMOR, grid.spacing_mm)
    level = np.float32(rng.uniform(52, 82)) + 16 * smooth_noise(grid.shape, grid.spacing_mm, 110, rng)
    hu = level + 11 * smooth_noise(grid.shape, grid.spacing_mm, 11, rng)
    patches = smooth_noise(grid.shape, grid.spacing_mm, 18, rng)
    necrosis = ramp(depth_mm - 8 + 4 * patches, 4.0) * ramp(patches + np.float32(rng.uniform(-0.8, 0.6)), 0.5)
    hu += necrosis * (np.float32(rng.uniform(20, 36)) - hu)
    return np.clip(hu, 20, 130)


def _cyst(grid: CoarseGrid, rng: np.random.Generator) -> FloatArray:
    """HU of simple cysts: near water, their level differing from place to place."""
    level = np.float32(rng.uniform(6, 14)) + 3 * smooth_noise(grid.shape, grid.spacing_mm, 60, rng)
    return np.clip(level, 0, 20)


def _render(
    labels: LabelArray,
    spacing_mm: tuple[float, float, float],
    grid: CoarseGrid,
    *,
    scenery: FloatArray,
    inside: dict[Label, FloatArray],
    rng: np.random.Generator,
) -> npt.NDArray[np.int16]:
    """Full-resolution slabs: tissue of each label over the scenery, white noise, then one blur for both.

    One kernel shapes edges and noise, as a scanner's reconstruction kernel does. Slices draw their noise from their own
    generator, so that the result does not depend on the size of the slabs.
    """
    # At least half a voxel: the labels are all or nothing, the image of an edge is not.
    sigmas = [max(_PSF_MM, 0.5 * s) / s for s in spacing_mm]
    radii = [int(3 * sigma + 0.5) for sigma in sigmas]
    noise_hu = rng.uniform(10, 15) / _noise_gain(sigmas, radii)
    key = int(rng.integers(2**62))
    slices = labels.shape[0]
    slab = max(1, _SLAB_VOXELS // (labels.shape[1] * labels.shape[2]))
    result = np.empty(labels.shape, np.int16)
    for start in range(0, slices, slab):
        stop = min(slices, start + slab)
        first, last = max(0, start - radii[0]), min(slices, stop + radii[0])
        hu = _tissue(labels[first:last], grid, scenery, inside, first)
        for offset, index in enumerate(range(first, last)):
            hu[offset] += np.float32(noise_hu) * np.random.default_rng((key, index)).standard_normal(
                labels.shape[1:], dtype=np.float32
            )
        for axis, (sigma, radius) in enumerate(zip(sigmas, radii, strict=True)):
            hu = gaussian_filter1d(hu, sigma, axis=axis, radius=radius, mode="nearest")
        result[start:stop] = np.rint(np.clip(hu[start - first : stop - first], -1024, 3071))
    return result


def _tissue(
    labels: LabelArray, grid: CoarseGrid, scenery: FloatArray, inside: dict[Label, FloatArray], first: int
) -> FloatArray:
    last = first + len(labels)
    hu = np.array(upsample_slab(scenery, grid, first, last), copy=True)
    for label, field in inside.items():
        mask = labels == label
        if mask.any():
            np.copyto(hu, upsample_slab(field, grid, first, last), where=mask)
    return hu


def _noise_gain(sigmas: list[float], radii: list[int]) -> float:
    """Standard deviation of unit white noise after the blur."""
    gain = 1.0
    for sigma, radius in zip(sigmas, radii, strict=True):
        weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        gain *= float(np.sqrt(np.sum((weights / weights.sum()) ** 2)))
    return gain
