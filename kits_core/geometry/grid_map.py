"""The record of how one grid was laid over another: orientation, crop, padding and resizing in one invertible map."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import nibabel as nib
import numpy as np

from kits_core.geometry.volume import Affine, Shape, Volume

Triple = tuple[float, float, float]

_SPACING_DIGITS = 6  # of a millimetre


@dataclass(frozen=True)
class GridMap:
    """Where each voxel of a target grid lies in a source grid.

    The target's axes run along the source's own axes (never rotated against them, so nothing is lost to a rotation),
    reordered and flipped to point as nearly as possible to R, A, S. Along target axis `a`, voxel `t` has its centre at
    `origin_vox[a] + step_vox[a] * t`, counted in voxels of the reoriented source.

    `axes[a]` is the source axis that target axis `a` follows; `flipped[a]` says that it runs against it.
    """

    source_shape: Shape
    source_affine: tuple[tuple[float, ...], ...]
    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    origin_vox: Triple
    step_vox: Triple
    shape: Shape

    @classmethod
    def whole(cls, source: Volume, shape: Shape) -> Self:
        """The whole source on a grid of `shape`; outer faces coincide, each axis is stretched on its own."""
        i, j, k = source.shape
        return cls.of_box(source, ((0, i - 1), (0, j - 1), (0, k - 1)), shape)

    @classmethod
    def of_box(cls, source: Volume, box: Sequence[tuple[float, float]], shape: Shape) -> Self:
        """A box of the source on a grid of `shape`; outer faces coincide, each axis is stretched on its own.

        `box`: the centres of the first and last voxel inside it along each axis of the source, in voxels of the
        source; they may lie between voxels and outside the source.
        """
        axes, flipped = _orientation(source.affine)
        steps, origins = [], []
        for axis, flip, m in zip(axes, flipped, shape, strict=True):
            first, last = box[axis]
            step = (last - first + 1) / m
            start = source.shape[axis] - 1 - last if flip else first
            steps.append(step)
            origins.append(start + (step - 1) / 2)
        return cls(
            source_shape=source.shape,
            source_affine=tuple(tuple(float(v) for v in row) for row in source.affine),
            axes=axes,
            flipped=flipped,
            origin_vox=_triple(origins),
            step_vox=_triple(steps),
            shape=shape,
        )

    @classmethod
    def at_spacing(cls, source: Volume, box: Sequence[tuple[float, float]], shape: Shape, spacing_mm: float) -> Self:
        """A grid of `shape` (the same on every axis) and of equal spacing, about the centre of a box of the source."""
        whole = cls.whole(source, shape)
        steps, origins = [], []
        for axis, flip, m in zip(whole.axes, whole.flipped, shape, strict=True):
            # Computed in this order, and with the spacing's 32-bit rounding removed, all layouts of a scan give the
            # same bits.
            first, last = box[axis] if not flip else (source.shape[axis] - 1 - end for end in reversed(box[axis]))
            step = spacing_mm / round(source.spacing_mm[axis], _SPACING_DIGITS)
            steps.append(step)
            origins.append((first + last) / 2 - (m - 1) / 2 * step)
        return replace(whole, origin_vox=_triple(origins), step_vox=_triple(steps))

    def padded(self, voxels: int) -> Self:
        """The same grid with `voxels` more of the same size on all six sides."""
        i, j, k = (n + 2 * voxels for n in self.shape)
        origin = _triple(o - voxels * step for o, step in zip(self.origin_vox, self.step_vox, strict=True))
        return replace(self, origin_vox=origin, shape=(i, j, k))

    def plane(self, axis: int, index: int) -> Self:
        """The one plane of voxels `index` along a target axis."""
        origin, shape = list(self.origin_vox), list(self.shape)
        origin[axis] += index * self.step_vox[axis]
        shape[axis] = 1
        i, j, k = shape
        return replace(self, origin_vox=_triple(origin), shape=(i, j, k))

    def nearest(self, axis: int, source_index: int) -> int:
        """The index along a target axis nearest to a voxel of the source, kept inside the grid."""
        source_axis = self.axes[axis]
        place = self.source_shape[source_axis] - 1 - source_index if self.flipped[axis] else source_index
        found = round((place - self.origin_vox[axis]) / self.step_vox[axis])
        return min(max(found, 0), self.shape[axis] - 1)

    @property
    def oriented_shape(self) -> Shape:
        """Shape of the source after its axes are put in the target's order."""
        i, j, k = (self.source_shape[axis] for axis in self.axes)
        return i, j, k

    @property
    def affine(self) -> Affine:
        """Float64 `(4, 4)`: index in the target grid to RAS mm."""
        to_source = np.zeros((4, 4))
        to_source[3, 3] = 1.0
        for target_axis, source_axis in enumerate(self.axes):
            step, origin = self.step_vox[target_axis], self.origin_vox[target_axis]
            if self.flipped[target_axis]:
                last = self.source_shape[source_axis] - 1
                step, origin = -step, last - origin
            to_source[source_axis, target_axis] = step
            to_source[source_axis, 3] = origin
        return np.asarray(self.source_affine) @ to_source

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` makes the same map again."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """The map that `to_json` wrote."""
        values = {key: tuple(value) for key, value in record.items()}
        values["source_affine"] = tuple(tuple(row) for row in record["source_affine"])
        return cls(**values)


def _orientation(affine: Affine) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """For each of R, A, S: the source axis nearest to it, and whether that axis points the other way."""
    ornt = nib.io_orientation(affine)  # row per source axis: (RAS axis, direction)
    source_of = {int(ras): (axis, direction < 0) for axis, (ras, direction) in enumerate(ornt)}
    (r, fr), (a, fa), (s, fs) = source_of[0], source_of[1], source_of[2]
    return (r, a, s), (bool(fr), bool(fa), bool(fs))


def _triple(values: Any) -> Triple:
    i, j, k = (float(v) for v in values)
    return i, j, k
